"""Files, arrays and places that people have, of which a good guess is wrong."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from conftest import PREDICT, find_digits, run_main, sheet_of_fours, small_network
from PIL import Image, features

import predict_model
from predict_model import as_image
from train_model import InputError, keras, plt

FOUR = sheet_of_fours(size=200)
SEEN = find_digits(FOUR)[0].picture


def likeness(image):
    """Correlation of the only digit of an image with that of FOUR, from -1 to 1."""
    (digit,) = find_digits(image)
    return np.corrcoef(digit.picture.ravel(), SEEN.ravel())[0, 1]


MODES = {
    "grey": FOUR,
    "palette": FOUR.convert("P"),
    "16-bit": Image.fromarray(np.asarray(FOUR).astype(np.uint16) * 200),
    "RGBA": FOUR.convert("RGBA"),
    "CMYK": FOUR.convert("RGB").convert("CMYK"),
}
# Orientation in a file: by which of Pillow's transpositions what is upright was stored.
STORED = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}


def stored(image, orientation):
    return image if orientation == 1 else image.transpose(STORED[orientation])


def test_alpha_of_0_all_over_is_none():
    rows = np.dstack([np.asarray(FOUR.resize((900, 900)))] * 3 + [np.zeros((900, 900), np.uint8)])
    assert likeness(Image.fromarray(rows)) > 0.95


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("image", MODES.values(), ids=MODES)
def test_uncompressed_tiff_is_upright_however_it_is_stored(tmp_path, image, orientation):
    path = tmp_path / "a.tif"
    stored(image.crop((0, 0, 200, 190)), orientation).save(path, tiffinfo={274: orientation})
    upright, size = as_image(path)
    assert size == upright.size == (200, 190) and likeness(path) > 0.95


@pytest.mark.parametrize("orientation", STORED)
def test_size_is_that_of_the_upright_image_before_it_was_reduced(tmp_path, orientation):
    exif, path = Image.Exif(), tmp_path / "a.jpg"
    exif[274] = orientation
    stored(FOUR.resize((3001, 2003)), orientation).save(path, exif=exif)
    image, size = as_image(path)
    assert size == (3001, 2003) and max(image.size) == predict_model.SIDE
    again, _ = as_image(image)
    assert again.size == image.size and np.array_equal(again, image)


@pytest.mark.parametrize("brand", [b"mif1", None])
@pytest.mark.parametrize("format", ["HEIC", "AVIF"])
def test_heic_and_avif_of_any_main_brand_are_read(tmp_path, format, brand):
    content = Path(__file__).with_name("four.heic").read_bytes()
    if format == "AVIF":
        if not features.check("avif"):
            pytest.skip("needs a Pillow with AVIF")
        FOUR.convert("RGB").save(tmp_path / "a.avif")
        content = (tmp_path / "a.avif").read_bytes()
    assert likeness(io.BytesIO(content[:8] + (brand or content[8:12]) + content[12:])) > 0.9


@pytest.mark.parametrize("format", ["TIFF", "PNG", "BMP"])
@pytest.mark.parametrize("across, down", [(204, 98), (98, 204), (300, 1), (0, 300), (200, 200)])
def test_pixels_are_made_square_by_any_likely_resolution(across, down, format):
    is_likely, file = 0.3 < across / down < 3, io.BytesIO()
    width, height = (across, down) if is_likely else (200, 200)
    image = FOUR.resize((width, height), Image.Resampling.BILINEAR)
    image.save(file, format, dpi=(across, down))
    reduced, size = as_image(file)
    assert size == (width, height) and likeness(file) > 0.9
    assert reduced.width == pytest.approx(reduced.height, abs=2)
    assert as_image(reduced)[0].size == reduced.size  # It is not stretched again.


@pytest.mark.parametrize("shape", [(784,), (1, 784), (28, 28, 1)])
@pytest.mark.parametrize("type", [np.uint8, np.float64])
def test_row_of_a_table_is_an_image_of_mnists_size(shape, type):
    assert likeness(SEEN.reshape(shape).astype(type)) > 0.95


@pytest.mark.parametrize("data", [b"no image" * 9999, "text" * 9999])
def test_what_is_no_image_is_told_in_a_line_of_ordinary_length(data):
    with pytest.raises(InputError) as refusal:
        predict_model.predict_digits(None, data)
    assert len(str(refusal.value)) < 300 and "\n" not in str(refusal.value)


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
    titles = [axis.get_title() for axis in plt.figure(plt.get_fignums()[-1]).axes]
    assert set(names) <= set(titles)


@pytest.mark.parametrize(
    "saved, name, said",
    [
        ("a.h5", "hdf5.keras", "File not found"),
        ("a.keras", "zip.h5", "signature"),
        ("a.keras", "no_ending", "not supported"),
        (None, "exported", "SavedModel"),
    ],
)
def test_network_under_another_name_is_refused_with_kerass_reason_and_what_to_do(
    tmp_path, saved, name, said
):
    network = small_network()
    if saved:
        network.save(tmp_path / saved)
        (tmp_path / saved).rename(tmp_path / name)
    else:
        network.export(tmp_path / name, verbose=False)
    run = run_main(PREDICT, "--model", name, cwd=tmp_path, status=1)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{PREDICT}: error: {name}: Keras {keras.__version__} ") and said in line
    assert "rename it, or save it again" in line and len(line) < 600
