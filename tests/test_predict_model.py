"""predict_model.py: scores, report, plots and tables, and which images are read."""

import csv
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import (
    ANSWER,
    BAR,
    FIVE,
    FOUR,
    PREDICT,
    draw,
    files_in,
    read_as_fours,
    result,
    run_main,
)
from conftest import sheet_of_fours as sheet

import predict_model
from train_model import plt


def figures():
    """Return the figures in the order they were made; each fits the screen of a laptop."""
    made = [plt.figure(number) for number in plt.get_fignums()]
    assert all(np.all(it.get_size_inches() * it.dpi <= (1301, 621)) for it in made)
    return made


def test_test_set_is_scored_and_its_mistakes_are_plotted(four, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.extend(figures()))
    images = np.random.default_rng(0).integers(0, 256, (1100, 28, 28), np.uint8)
    labels = np.where(np.arange(1100) < 40, 4, 2)
    np.savez(tmp_path / "a$_$.npz", x_test=images, y_test=labels)
    run = run_main(PREDICT, "--data", "a$_$.npz", "--model", four, cwd=tmp_path)
    assert result(run.stdout, "network") == "trained_on_MNIST" and not run.stderr
    assert result(run.stdout, "accuracy") == f"{40 / 1100:.2%} of 1,100 images"
    assert result(run.stdout, "misclassified") == "1,060"
    assert files_in(tmp_path / "plots").keys() == {"misclassified.png", "confusion_matrix.png"}
    mistakes, confusion = shown
    assert "a$_$.npz: 1,060 of 1,100 misclassified" in mistakes.get_suptitle()
    (axis,) = mistakes.axes
    assert {text.get_text() for text in axis.texts} == {"true 2\nread 4 (83.0%)"}
    # All are as confident, but for rounding, so any sixty are the most confident.
    pictures = {image.get_array().tobytes() for image in axis.images}
    assert len(pictures) == 60 and pictures <= {image.tobytes() for image in images[40:]}
    (axis,) = confusion.axes
    counts = {text.get_position(): text.get_text() for text in axis.texts if text.get_text()}
    assert counts == {(4, 4): "40", (4, 2): "1060"}


def test_report_fits_figures_worked_by_hand(capsys, tmp_path):
    labels, predictions = np.array([[0] * 4 + [1] * 6, [0, 0, 0, 1, 1, 1, 1, 1, 0, 2]])
    # The right ones, then the wrong ones; only those from 0.9 to 1 share one of the ten bins.
    confidences = np.array([0.89, 0.91, 0.55, 0.97, 0.91, 0.91, 0.91, 0.91, 0.97, 0.65])
    probabilities = np.repeat((1 - confidences[:, np.newaxis]) / 9, 10, axis=1)
    probabilities[np.arange(10), predictions] = confidences
    pictures = np.zeros((10, 28, 28), np.uint8)
    network = SimpleNamespace(name="a network", input_shape=(None, 28, 28, 1))
    network.predict_on_batch = lambda batch: probabilities
    plt.close("all")
    predict_model.report_scores(network, pictures, labels, "images", f"{tmp_path}/")
    text = " ".join(capsys.readouterr().out.split())
    assert "0 0.7500 0.7500 0.7500 4 1 0.8000 0.6667 0.7273 6 2 0.0000 0.0000 0.0000 0" in text
    assert "[[3 1 0 0 0 0 0 0 0 0] [1 4 1 0 0 0 0 0 0 0]" in text  # a row a true digit
    loss = np.log([0.89, 0.91, 0.55, *[0.91] * 4, 0.03 / 9, 0.03 / 9, 0.35 / 9]).mean()
    bins = abs(0.89 - 1) + abs(5 * 0.91 - 5 + 2 * 0.97) + abs(0.55 - 1) + 0.65
    assert f"loss {-loss:.4f}" in text and f"calibration error {10 * bins:.2f}%" in text
    # The most confident mistakes are shown first.
    texts = [text.get_text()[-6:] for text in figures()[0].axes[0].texts]
    assert texts[:3] == ["97.0%)", "97.0%)", "65.0%)"]


def put(album, name, image=None):
    """Put a picture of a four, or another one, into the album."""
    (album / name).parent.mkdir(parents=True, exist_ok=True)
    (image or sheet()).save(album / name)


@pytest.fixture
def read(four, tmp_path):
    """Return a function that runs predict_model.py in an album, which has the picture of a four."""
    put(tmp_path, "photos/digit.png")
    command = PREDICT, "--model", four
    return lambda *typed, **options: run_main(*command, *typed, cwd=tmp_path, **options)


def test_image_has_a_line_and_a_digit_a_row_of_the_table(tmp_path, read):
    put(tmp_path, "cut.png", draw(FOUR, place=(-45, 0)))
    put(tmp_path, "three.png", sheet([2, 1]))
    run = read("photos", "three.png", "cut.png", "--csv", "a.csv")
    lines = run.stdout.splitlines()[:3]
    assert lines[0] == "photos/digit.png\t4\t83.0%" and lines[1].startswith("three.png\t44 4\t")
    assert lines[2] == "cut.png\t4\t83.0%\tperhaps cut off"
    header, *rows = csv.reader((tmp_path / "a.csv").read_text().splitlines())
    assert ",".join(header) == "path,row,place,digit,confidence,doubt,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9"
    assert [row[0] for row in rows] == ["photos/digit.png", *["three.png"] * 3, "cut.png"]
    places = [["1", "1"], ["1", "1"], ["1", "2"], ["2", "1"], ["1", "1"]]
    assert [row[1:3] for row in rows] == places and {row[3] for row in rows} == {"4"}
    assert [row[5] for row in rows[::4]] == ["", "perhaps cut off"]
    values = [float(value) for value in [rows[0][4], *rows[0][6:]]]
    assert values == pytest.approx([0.83, *ANSWER], abs=1e-5)


def test_many_images_are_read_at_once_as_each_alone(tmp_path, trained, network):
    kinds = draw(FOUR), sheet([2, 1]), draw(FIVE + BAR), draw([]), draw(FOUR, place=(-45, 0))
    pictures = {f"{number:02}.png": kinds[number % 5] for number in range(40)}
    for name, picture in pictures.items():
        put(tmp_path, name, picture)
    (tmp_path / "16.png").write_bytes(b"damaged")
    run = run_main(PREDICT, "--model", trained[0], *pictures, cwd=tmp_path, status=1)
    failed = [line.split(": ")[2] for line in run.stderr.splitlines()]
    assert failed == sorted(["16.png", *list(pictures)[3::5]])
    lines = [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]
    assert [name for name, *_ in lines] == [name for name in pictures if name not in failed]
    for name, *rest in lines:
        readings = predict_model.predict_digits(network, pictures[name])
        assert rest == [*predict_model.describe(readings), *predict_model.list_doubts(readings)]


def test_plot_shows_a_box_at_each_digit_and_what_the_network_saw(tmp_path, read):
    put(tmp_path, "a picture of three digits.png", sheet([2, 1]).resize((1200, 900)))
    read("photos", "a picture of three digits.png")
    (axis,) = figures()[0].axes
    texts = [text.get_text() for text in axis.texts if text.get_text()]
    assert texts[3:] == ["\N{HORIZONTAL ELLIPSIS}ree digits.png", "4", "44 4 83.0%", "4", "4"]
    reduced, _ = predict_model.as_image(tmp_path / "a picture of three digits.png")
    digits = read_as_fours(reduced)
    given, *seen = axis.images[2:]
    assert np.array_equal(given.get_array(), reduced)
    left, right, bottom, top = given.get_extent()
    pixel = (right - left) / reduced.width
    assert (bottom - top) / reduced.height == pytest.approx(pixel)
    for box, digit in zip(axis.patches[1:], digits, strict=True):
        place = np.subtract(box.get_xy(), (left, top)) / pixel
        assert (*place, box.get_width() / pixel, box.get_height() / pixel) == pytest.approx(
            digit.box, abs=0.5
        )
    for picture, digit in zip(seen, digits, strict=True):
        assert np.array_equal(picture.get_array(), digit.picture)
        left, right, bottom, top = np.subtract(picture.get_extent(), seen[0].get_extent())
        assert (left, right, bottom, top) == pytest.approx(
            [14 * (digit.place - 1)] * 2 + [14 * (digit.row - 1)] * 2
        )


PICTURES = """a.PNG a.jpg a.JPEG a.jpe a.jfif a.mpo a.jp2 a.webp a.tif a.TIFF a.bmp a.gif a.pgm
    a.tga a.heic a.heif a.hif a.avif below/more/a.png scans.png/a.png own_digits.png z.png"""
OTHERS = """.hidden.png .ipynb_checkpoints/a.png __MACOSX/._a.png below/.thumbnails/a.png notes.pdf
    network.keras Thumbs.db png plots/own_digits.png"""


def test_pictures_of_the_user_in_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    pictures = ["two  spaces.png", *PICTURES.split()]
    for name in [*pictures, *OTHERS.split()]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    if sys.platform == "linux":
        (tmp_path / "z").symlink_to(tmp_path)  # Each folder is read once.
    files = [Path(file) for _, file, _ in predict_model.pages([str(tmp_path)])]
    assert [file.relative_to(tmp_path).as_posix() for file in files] == sorted(pictures)


UNREADABLE = {
    "No such file": lambda path: path.symlink_to("none"),
    "folder without images": lambda path: path.mkdir(),
    "not an image": lambda path: path.write_text("no picture"),
    "no digit": lambda path: draw([]).save(path),
}


@pytest.mark.parametrize("said", UNREADABLE)
def test_image_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path, read, said):
    UNREADABLE[said](tmp_path / "two  spaces.png")
    run = read("two  spaces.png", "photos", status=1)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{PREDICT}: error: two  spaces.png: ") and said in line
    assert "digit.png\t4" in run.stdout


@pytest.mark.parametrize(
    "names, accuracy",
    [
        ("4/a.png 4/two.png 4/blank.png 5/b.png", "25.00% of 4"),
        ("train/4/a.png test/4/a.png", "100.00% of 2"),
        ("4/a.png 10/a.png", None),
        ("4/a.png 4/more/a.png", None),
        ("4/a.png a.png", None),
    ],
)
def test_images_that_all_lie_in_folders_of_digits_are_right_if_read_as_just_that_digit(
    tmp_path, read, names, accuracy
):
    for name in names.split():
        put(tmp_path, f"set/{name}", {"blank": draw([]), "two": sheet([2])}.get(Path(name).stem))
    has_unread = "blank" in names
    run = read("set", status=int(has_unread))
    assert re.findall("accuracy +(.*) images", run.stdout) == ([accuracy] if accuracy else [])
    assert ("2 not read as one digit" in run.stdout) == has_unread
    assert (tmp_path / "plots" / "own_confusion_matrix.png").exists() == bool(accuracy)
