"""Files that people have, of which a good guess is wrong."""

import csv
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import PREDICT, likeness, read_as_fours, run_main, sheet_of_fours
from PIL import Image, features

from predict_model import SIDE, as_image

FOUR = sheet_of_fours(size=200)
SEEN = read_as_fours(FOUR)[0].picture
# Orientation in a file: by which of Pillow's transpositions what is upright was stored.
STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    "name, mode, size",
    [("a.tif", "L", (200, 190)), ("a.tif", "P", (200, 190)), ("a.jpg", "L", (3001, 2851))],
)
def test_image_is_upright_however_it_is_stored(tmp_path, orientation, name, mode, size):
    exif, path = Image.Exif(), tmp_path / name
    exif[274] = orientation
    image = FOUR.resize(size).convert(mode).transpose(STORED[orientation])
    image.save(path, exif=exif)
    upright, before = as_image(path)
    assert before == size and max(upright.size) <= SIDE and likeness(path, SEEN) > 0.9
    assert np.array_equal(as_image(upright)[0], upright)  # It is not turned again.


@pytest.mark.parametrize("brand", [b"mif1", None])
@pytest.mark.parametrize("format", ["HEIC", "AVIF"])
def test_heic_and_avif_of_any_main_brand_are_read(format, brand):
    file = io.BytesIO(Path(__file__).with_name("four.heic").read_bytes())  # by another library
    if format == "AVIF":
        if not features.check("avif"):
            pytest.skip("needs a Pillow with AVIF")
        FOUR.convert("RGB").save(file, format)
    content = file.getvalue()
    content = content[:8] + (brand or content[8:12]) + content[12:]
    assert likeness(io.BytesIO(content), SEEN) > 0.9


@pytest.mark.parametrize(
    "format, across, down",
    [("TIFF", 204, 98), ("PNG", 98, 204), ("BMP", 200, 200), ("TIFF", 300, 1), ("TIFF", 0, 300)],
)
def test_pixels_are_made_square_by_any_likely_resolution(format, across, down):
    is_likely, file = 0.3 < across / down < 3, io.BytesIO()
    width, height = (across, down) if is_likely else (200, 200)
    image = FOUR.resize((width, height), Image.Resampling.BILINEAR)
    image.save(file, format, dpi=(across, down))
    reduced, size = as_image(file)
    assert size == (width, height) and likeness(file, SEEN) > 0.9
    assert reduced.width == pytest.approx(reduced.height, abs=2)
    assert as_image(reduced)[0].size == reduced.size  # It is not stretched again.


@pytest.mark.parametrize(
    "name, pages", [("scan.tif", 3), ("one.tif", 1), ("a.gif", 1), ("a.mpo", 1)]
)
def test_each_page_of_a_tiff_is_an_image_and_of_others_the_first(four, tmp_path, name, pages):
    sheets = [sheet_of_fours([count]).convert("RGB") for count in (1, 2, 3)]
    more = [] if name == "one.tif" else sheets[1:]
    sheets[0].save(tmp_path / name, save_all=True, append_images=more)
    run = run_main(PREDICT, "--model", four, name, "--csv", "a.csv", cwd=tmp_path)
    names = [f"{name}[{page}]" for page in (1, 2, 3)] if pages > 1 else [name]
    lines = [line.split("\t")[:2] for line in run.stdout.splitlines() if "\t" in line]
    assert lines == [[it, "4" * number] for number, it in enumerate(names, 1)]
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        assert [*dict.fromkeys(row["path"] for row in csv.DictReader(file))] == names


def test_whole_pages_of_a_damaged_tiff_are_read_and_damaged_ones_are_named(four, tmp_path):
    pages = [sheet_of_fours([count]).convert("L") for count in (1, 2, 3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    whole = (tmp_path / "scan.tif").read_bytes()
    (tmp_path / "scan.tif").write_bytes(whole[: len(whole) // 2])
    run = run_main(PREDICT, "--model", four, "scan.tif", cwd=tmp_path, status=1)
    lines = [line.split("\t")[:2] for line in run.stdout.splitlines() if "\t" in line]
    assert lines == [["scan.tif[1]", "4"]]
    assert [line.split(": ")[2] for line in run.stderr.splitlines()] == [
        "scan.tif[2]",
        "scan.tif[3]",
    ]


def test_psd_whose_pages_begin_at_1_is_read():
    header = struct.pack(">H6xHIIHH", 1, 1, *FOUR.size, 8, 1)
    content = b"8BPS" + header + bytes(14) + FOUR.tobytes()  # nothing optional, not compressed
    assert likeness(io.BytesIO(content), SEEN) > 0.9
