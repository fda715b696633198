"""Reading images: every digit that people wrote, in whatever picture."""

import csv
import io

import numpy as np
import photographs
import pytest
from conftest import PREDICT, files_in, linux_only, network_answering, result, run_main
from PIL import Image, ImageChops, ImageDraw

from predict_model import as_image, find_digits, plot_readings, predict_digits
from train_model import InputError, draw_digits, keras, plt

# Strokes on a square from 0 to 1.
FOUR = [[(0.55, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.65, 0.35), (0.65, 0.9)]]
FIVE = [[(0.35, 0.32), (0.35, 0.5), (0.6, 0.48), (0.63, 0.65), (0.55, 0.85), (0.35, 0.8)]]
BAR = [[(0.38, 0.08), (0.7, 0.07)]]


def draw(strokes, size=200, width=None, place=(0, 0), canvas=None, ink=0, ground=255, mode="L"):
    """Draw strokes with a pen, dark on light by default; returns a PIL image."""
    image = Image.new(mode, canvas or (size, size), ground)
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = np.ravel(np.multiply(stroke, size) + place).tolist()
        pen.line(points, fill=ink, width=width or size // 12, joint="curve")
    return image


def likeness(image, picture):
    """Correlation of the only digit of an image with a picture, from -1 to 1."""
    (digit,) = find_digits(image)
    return np.corrcoef(digit.picture.ravel(), picture.ravel())[0, 1]


PLAIN, WHITE = draw(FOUR, 100), draw([], 100)
LIGHT, BLACK = ImageChops.invert(PLAIN), ImageChops.invert(WHITE)
NOISE = np.random.default_rng(0).normal(0, 25, (100, 100))
FOURS = {
    "light on dark": LIGHT,
    "16-bit": Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 200 + 3000),
    "not a number": Image.fromarray(np.where(np.asarray(PLAIN), np.float32(0.4), np.nan)),
    **{mode: PLAIN.convert(mode) for mode in ("1", "RGBA", "LA", "CMYK", "P", "YCbCr", "I")},
    "black ink only in alpha": Image.merge("LA", [BLACK, LIGHT]),
    "white ink only in alpha": Image.merge("LA", [WHITE, LIGHT]),
    "red on green as bright": draw(FOUR, ink=(200, 60, 60), ground=(60, 131, 60), mode="RGB"),
    "pale pink on white": draw(FOUR, ink=(255, 190, 200), ground=(255, 255, 255), mode="RGB"),
    "in a corner of a photo": draw(FOUR, 150, place=(1300, 1000), canvas=(1600, 1200)),
    "one pixel wide in 2,000": draw(FOUR, 1900, width=1, canvas=(2000, 2000)),
    "thick stroke": draw(FOUR, width=30),
    "noise": Image.fromarray(np.uint8(np.clip(PLAIN + NOISE, 0, 255))).resize((200, 200)),
    "a specklet far away": ImageChops.darker(
        draw(FOUR), draw([[(0.97, 0.97), (0.98, 0.97)]], width=3)
    ),
    "below a ruled line": ImageChops.darker(
        draw(FOUR, 200, place=(100, 60), canvas=(400, 300)),
        draw([[(0, 0.1), (2, 0.1)]], 200, width=2, canvas=(400, 300)),
    ),
}


@pytest.mark.parametrize("name", FOURS)
def test_digit_is_read_the_same_in_any_image(name):
    four = find_digits(PLAIN)[0].picture
    five = find_digits(draw(FIVE + BAR))[0].picture
    assert likeness(FOURS[name], four) > 0.75 > likeness(FOURS[name], five) + 0.15


def test_bar_of_a_five_belongs_to_it():
    (five,) = find_digits(draw(FIVE + BAR))
    assert likeness(draw(FIVE), five.picture) < 0.8


def test_images_as_mnists_come_back_as_they_are():
    digits, _ = draw_digits(100, 5)
    alike = [likeness(Image.fromarray(digit), digit) for digit in digits]
    assert np.median(alike) > 0.99 and np.percentile(alike, 5) > 0.9


def test_image_that_lies_on_its_side_is_turned(tmp_path):
    exif, path = Image.Exif(), tmp_path / "a.jpg"
    exif[0x0112] = 6
    draw(FIVE, 900).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    assert likeness(as_image(path), find_digits(draw(FIVE))[0].picture) > 0.9


def test_large_photo_is_opened_at_a_fraction_of_its_size(tmp_path):
    draw(FIVE, 2400).save(tmp_path / "a.jpg")
    assert as_image(tmp_path / "a.jpg").size == (480, 480)


def test_photos_of_iphones_can_be_opened():
    assert Image.registered_extensions()[".heic"] == "HEIF"


def test_digits_are_found_in_rows_from_left_to_right():
    sheet = Image.new("L", (400, 420), 255)
    for row, strokes in enumerate((FOUR, FIVE)):
        for column in range(3 - row):
            sheet.paste(draw(strokes, 120), (20 + 130 * column, 20 + 200 * row))
    digits = find_digits(sheet)
    assert [digit.row for digit in digits] == [0, 0, 0, 1, 1]
    starts = [digit.box[0] for digit in digits]
    assert starts[:3] == sorted(starts[:3]) and starts[3:] == sorted(starts[3:])


EMPTY = {
    "white": WHITE,
    "transparent": Image.new("RGBA", (90, 90), (0, 0, 0, 0)),
    "a pixel": Image.new("L", (1, 1)),
    "a row": Image.new("L", (300, 1), 200),
    "no pixel": Image.new("L", (0, 0)),
    "noise": Image.fromarray(np.uint8(128 + NOISE)),
    "small noise": Image.fromarray(np.uint8(128 + NOISE[:28, :28])),
}


@pytest.mark.parametrize("name", EMPTY)
def test_image_without_a_digit_is_told(name):
    with pytest.raises(InputError):
        find_digits(EMPTY[name])


DIGIT = find_digits(PLAIN)[0].picture


# What lies beside the digit is read with it, lines as dark as the digit are taken for a part,
# the rim of a sheet for a 1.
HARD = {"paper clip", "dark squares", "sheet on a dark desk", "note"}


@pytest.mark.parametrize("name", sorted({*photographs.KINDS, *photographs.MARKED_KINDS} - HARD))
def test_photo_of_a_digit_shows_that_digit(name):
    """Of three photos of each kind one may fail."""
    make = (photographs.KINDS | photographs.MARKED_KINDS)[name]
    alike = []
    for seed in range(1 if name == "twelve megapixels" else 3):
        try:
            photo = Image.open(io.BytesIO(make(np.random.default_rng(seed), DIGIT)))
            found = find_digits(photo)
            alike.append(
                len(found) == 1 and np.corrcoef(found[0].picture.ravel(), DIGIT.ravel())[0, 1]
            )
        except InputError:
            alike.append(0)
    assert np.median(alike) > 0.6, alike


@pytest.mark.parametrize("name", sorted({*photographs.EMPTY_KINDS} - HARD))
def test_photo_without_a_digit_is_told(name):
    photo = photographs.EMPTY_KINDS[name](np.random.default_rng(1), photographs.BLANK)
    with pytest.raises(InputError):
        find_digits(Image.open(io.BytesIO(photo)))


# ---------------------------------------------------------------- the command line


@pytest.fixture
def album(tmp_path):
    """A folder with a network that reads a 4 or, with less confidence, a 5."""
    network_answering([0.01, *[0.001] * 3, 0.79, 0.193, *[0.001] * 4], tmp_path / "a.keras")
    two = Image.new("L", (300, 120), 255)
    two.paste(draw(FOUR, 120), (10, 0))
    two.paste(draw(FOUR, 120), (160, 0))
    for name, image in {
        "4/a.png": PLAIN,
        "4/two.png": two,
        "4/none.png": WHITE,
        "5/b.png": PLAIN,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.save(tmp_path / name)
    return tmp_path


def read(album, *arguments, status=0):
    return run_main(PREDICT, "--model", "a.keras", *arguments, cwd=album, status=status)


def test_line_of_several_digits_says_which_is_uncertain(album):
    line = read(album, "4/two.png").stdout.splitlines()[0]
    uncertain = "uncertain, digit 1 perhaps 5 (19.3%), digit 2 perhaps 5 (19.3%)"
    assert line == f"4/two.png\t44\t79.0%\t{uncertain}"


def test_table_has_a_row_a_digit(album):
    read(album, "4/two.png", "--csv", "a.csv")
    header, *rows = csv.reader((album / "a.csv").read_text().splitlines())
    assert header == ["path", "row", "place", "digit", "confidence", *(f"p{n}" for n in range(10))]
    assert [row[:5] for row in rows] == [
        ["4/two.png", "1", "1", "4", "0.790000"],
        ["4/two.png", "1", "2", "4", "0.790000"],
    ]


def test_labelled_image_is_right_only_if_read_as_just_that_digit(album):
    run = read(album, "4", "5", status=1)
    assert result(run.stdout, "accuracy") == "25.00% of 4 images"
    assert result(run.stdout, "unread").startswith("2 not")
    assert run.stderr == "predict_model.py: error: 4/none.png: no digit found\n"
    plots = {"own_digits.png", "own_misclassified.png", "own_confusion_matrix.png"}
    assert files_in(album / "plots").keys() == plots


@linux_only
def test_link_in_a_folder_named_by_a_digit_is_scored_by_that_folder(album):
    (album / "7").mkdir()
    (album / "7" / "link.png").symlink_to(album / "4" / "a.png")
    assert result(read(album, "7").stdout, "accuracy") == "0.00% of 1 images"


def test_folder_of_which_nothing_is_read_is_scored(album):
    run = read(album, "4/none.png", status=1)
    assert result(run.stdout, "accuracy") == "0.00% of 1 images" and "nan" not in run.stdout


def test_plot_shows_a_box_at_each_digit_and_what_the_network_saw(album):
    model = keras.saving.load_model(album / "a.keras")
    path = str(album / "4" / "two.png")
    readings = predict_digits(model, path)
    figure = plot_readings([(path, readings)], 1)
    given, seen = figure.axes
    assert len(given.patches) == len(given.texts) == 2
    assert [text.get_text() for text in given.texts] == ["4", "4"]
    pictures = [reading.found.picture for reading in readings]
    assert np.array_equal(seen.images[0].get_array(), np.hstack(pictures))
    plt.close(figure)
