"""Reading images: every digit that people wrote, in whatever picture."""

import io
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import BAR, FIVE, FOUR, draw, find_digits, sheet_of_fours
from PIL import Image, ImageChops

from predict_model import as_image, describe, list_doubts, predict_digit, predict_digits
from train_model import InputError, synthetic_digits


def likeness(image, picture):
    """Correlation of the only digit of an image with a picture, from -1 to 1."""
    (digit,) = find_digits(image)
    return np.corrcoef(digit.picture.ravel(), picture.ravel())[0, 1]


def photo(strokes, sheet=0.85, ink=0.15, width=10, light=1, grain=0.01, quality=60):
    """Return a JPEG photo of strokes on a sheet; both are as bright as said, from 0 to 1."""
    lines = draw(strokes, 160, width, place=(200, 100), canvas=(480, 360), ink=255, ground=0)
    covered = cv2.GaussianBlur(np.asarray(lines) / 255, None, 0.8)
    picture = ((1 - covered) * sheet + covered * ink) * light
    picture += np.random.default_rng(1).normal(0, grain, picture.shape)
    image, file = Image.fromarray(np.uint8(np.clip(255 * picture, 0, 255))), io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


PLAIN, WHITE = draw(FOUR, 100), draw([], 100)
LIGHT, BLACK = ImageChops.invert(PLAIN), ImageChops.invert(WHITE)
DIGIT, OTHER = (find_digits(draw(strokes))[0].picture for strokes in (FOUR, FIVE + BAR))
NOISE = np.random.default_rng(0).normal(0, 25, (100, 100))
SHADE = Image.linear_gradient("L").resize((200, 200)).point(lambda value: 120 + value // 4)
DOWN, ACROSS = np.ogrid[:360, :480]


def squared(spacing, width, dark, upright=True):
    """Return how bright squared paper is, from 0 to 1, or ruled paper, without upright lines."""
    lying = (DOWN + ACROSS / 20) % spacing < width
    standing = (ACROSS - DOWN / 20) % spacing < width
    return np.where(lying | (standing & upright), dark, 0.85)


RULED = squared(33, 1, 0.5, upright=False)
LAMP = 1.1 / (1 + 12 * np.hypot(DOWN - 100, ACROSS - 150) ** 2 / 480**2)
DESK = 0.2 + 0.03 * np.sin(DOWN / 3 + ACROSS / 50)
EDGE = np.where(ACROSS + DOWN / 20 < 385, 0.85, DESK)
CORNER = np.where(DOWN - ACROSS / 20 < 300, EDGE, DESK)
BACK = np.asarray(draw(FIVE, 160, place=(20, 100), canvas=(480, 360), ink=1, ground=0))
BOX = [[(-0.1, -0.1), (1.1, -0.1), (1.1, 1.1), (-0.1, 1.1), (-0.1, -0.1)]]
CIRCLE = [[(0.5 + 0.8 * np.cos(angle), 0.5 + 0.7 * np.sin(angle)) for angle in range(7)]]
LINES = [[(0.0, -1), (0.0, 3)], [(-2, 0), (3, 0)]]
SHADES = Image.linear_gradient("L").resize((200, 200))
FOURS = {
    "light on dark": LIGHT,
    "16-bit": Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 200 + 3000),
    "not a number": Image.fromarray(np.where(np.asarray(PLAIN), np.float32(0.4), np.nan)),
    **{mode: PLAIN.convert(mode) for mode in ("1", "RGBA", "LA", "CMYK", "P", "YCbCr", "I")},
    "HEIC": Path(__file__).with_name("four.heic"),  # FOUR, drawn and saved by another library
    "black ink only in alpha": Image.merge("LA", [BLACK, LIGHT]),
    "white ink only in alpha": Image.merge("LA", [WHITE, LIGHT]),
    "red on green as bright": draw(FOUR, ink=(200, 60, 60), ground=(60, 131, 60), mode="RGB"),
    "blue on yellow paper by a lamp": Image.composite(
        Image.new("RGB", (200, 200), (60, 50, 150)),
        Image.merge("RGB", [Image.new("L", (200, 200), 210)] * 2 + [SHADE]),
        ImageChops.invert(draw(FOUR)),
    ),
    "pale pink on white": draw(FOUR, ink=(255, 190, 200), ground=(255, 255, 255), mode="RGB"),
    "pale cyan on white": draw(FOUR, ink=(190, 255, 255), ground=(255, 255, 255), mode="RGB"),
    "in a corner of a photo": draw(FOUR, 150, place=(1300, 1000), canvas=(1600, 1200)),
    "one pixel wide in 2,000": draw(FOUR, 1900, width=1, canvas=(2000, 2000)),
    "thick stroke": draw(FOUR, width=30),
    "at the rim": PLAIN.crop((19, 0, 100, 100)),
    "small, at the rim": PLAIN.resize((40, 40)).crop((8, 0, 40, 40)),
    "small, with noise": Image.fromarray(np.uint8(np.clip(PLAIN + NOISE, 0, 255))).resize((50, 50)),
    "blue on a coloured gradient": Image.merge("RGB", [SHADES, SHADES, draw(FOUR, ink=150)]),
    "noise": Image.fromarray(np.uint8(np.clip(PLAIN + NOISE, 0, 255))).resize((200, 200)),
    "light on black, compressed": photo(FOUR, sheet=0, ink=0.85),
    "strongly compressed": photo(FOUR, quality=12),
    "by a lamp": photo(FOUR, light=LAMP),
    "in dim light": photo(FOUR, light=0.1, grain=0.004),
    "in low light with grain": photo(FOUR, light=0.25, grain=0.03),
    "ruled": photo(FOUR, sheet=RULED),
    "squared": photo(FOUR, sheet=squared(45, 1, 0.5), grain=0.02),
    "finely squared": photo(FOUR, sheet=squared(22, 2, 0.6), grain=0.02),
    "another shines through": photo(FOUR, sheet=0.85 - 0.15 * BACK),
    "edge in view": photo(FOUR, sheet=EDGE),
    "corner in view": photo(FOUR, sheet=CORNER),
    "pencil": photo(FOUR, ink=0.55, width=4),
    "marker": photo(FOUR, width=24),
    "chalk": photo(FOUR, sheet=0.25, ink=0.85, grain=0.03),
    "boxed": photo(FOUR + BOX),
    "circled": photo(FOUR + CIRCLE),
    "in a corner of lines": photo(FOUR + LINES),
    "underlined": photo([*FOUR, [(-0.1, 1.1), (1.1, 1.1)]]),
}


@pytest.mark.parametrize("image", FOURS.values(), ids=FOURS)
def test_digit_is_read_the_same_in_any_image(image):
    assert likeness(image, DIGIT) > 0.75 > likeness(image, OTHER) + 0.15


@pytest.mark.parametrize("size", [60, 200])
def test_bar_of_a_five_belongs_to_it(size):
    assert likeness(draw(FIVE + BAR, size), OTHER) > 0.8 > likeness(draw(FIVE, size), OTHER)


def test_images_as_mnists_come_back_as_they_are():
    digits, _ = synthetic_digits(100, 5)
    alike = [likeness(Image.fromarray(digit), digit) for digit in digits]
    assert np.median(alike) > 0.99 and np.percentile(alike, 5) > 0.85


@pytest.mark.parametrize("size", [28, 140])
def test_digit_fills_the_box_that_mnists_fill(size):
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 12:16] = 255
    assert likeness(Image.fromarray(bar).resize((size, size)), bar) > 0.85


def test_image_that_lies_on_its_side_is_turned(tmp_path):
    exif, path = Image.Exif(), tmp_path / "a.jpg"
    exif[0x0112] = 6
    draw(FIVE, 900).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    assert likeness(as_image(path)[0], find_digits(draw(FIVE))[0].picture) > 0.9


def test_digits_are_found_in_rows_from_left_to_right():
    sheet = Image.new("L", (420, 420), 255)
    for row, strokes in enumerate((FOUR, FIVE)):
        for column in range(3 - row):
            sheet.paste(
                draw(strokes, 120), (70 + 110 * column - 10 * row, 20 + 30 * column + 170 * row)
            )
    digits = find_digits(sheet)
    assert [digit.row for digit in digits] == [1, 1, 1, 2, 2]
    starts = [digit.box[0] for digit in digits]
    assert starts[:3] == sorted(starts[:3]) and starts[3:] == sorted(starts[3:])


(DRAWN,), (LABEL,) = synthetic_digits(1, seed=0)
INK = 255 - cv2.resize(DRAWN, (56, 56))
PNG = cv2.imencode(".png", INK)[1].tobytes()
FORMS = {
    "uint8": INK,
    "0 to 1": INK / 255,
    "-1 to 1": INK / 127.5 - 1,
    "uint16": INK.astype(np.uint16) * 257,
    "boolean": INK > 127,
    "(1, h, w, 1)": INK[np.newaxis, ..., np.newaxis],
    "float RGB": np.dstack([INK] * 3) / 255,
    "RGBA": np.dstack([INK] * 3 + [np.full_like(INK, 255)]),
    "lists": INK.tolist(),
    "file object": io.BytesIO(PNG),
    "opened": Image.open(io.BytesIO(PNG)),
}


@pytest.mark.parametrize("image", FORMS.values(), ids=FORMS)
def test_predict_digit_reads_an_image_in_any_form(network, image):
    digit, probabilities = predict_digit(network, image)
    expected, others = predict_digit(network, Image.fromarray(INK))
    assert digit == expected == LABEL
    assert probabilities.shape == (10,) and probabilities == pytest.approx(others, abs=0.15)


@pytest.mark.parametrize("inks, clearest", [((0, 120), 0), ((120, 0), 1)])
def test_predict_digit_takes_the_clearest_of_several(inks, clearest):
    sheet = Image.new("L", (200, 100), 255)
    for place, ink in enumerate(inks):
        sheet.paste(draw(FOUR, 100, ink=ink), (100 * place, 0))
    scores = [digit.score for digit in find_digits(sheet)]
    assert np.argmax(scores) == clearest


NO_IMAGES = {
    "white": WHITE,
    "transparent": Image.new("RGBA", (90, 90), (0, 0, 0, 0)),
    "a row": Image.new("L", (300, 1), 200),
    "noise": Image.fromarray(np.uint8(128 + NOISE)),
    "four pixels": np.array([[0], [90], [180], [255]], np.uint8),
    "no pixel": np.zeros((0, 0), np.uint8),
    "one axis": np.zeros(9, np.uint8),
    "not a number": np.full((50, 50), np.nan),
    "words": np.array([["a", "b"], ["c", "d"]]),
    "nothing": None,
    "ragged": [[1, 2], [3]],
    "text": io.BytesIO(b"no image"),
    "cut": io.BytesIO(PNG[:200]),
    "cut and opened": Image.open(io.BytesIO(PNG[:200])),
    "LAB": Image.new("LAB", (50, 50)),
    "empty paper": photo([]),
    "empty, by a lamp": photo([], light=LAMP),
    "empty, in low light": photo([], light=0.25, grain=0.03),
    "empty, ruled": photo([], sheet=RULED),
    "desk": photo([], sheet=DESK),
}


@pytest.mark.parametrize("bad", NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_of_a_digit_is_refused_in_a_line(network, bad):
    with pytest.raises(InputError) as refusal:
        predict_digit(network, bad)
    assert str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("error")
def test_photo_of_200_million_pixels_is_not_too_large():
    with pytest.raises(InputError, match="truncated|incomplete|end of file"):
        as_image(io.BytesIO(b"P4 16320 12240 "))


def reader(*answers):
    """Make a network that returns these (digit, probability) for its inputs, in turn."""

    def predict_on_batch(batch):
        shares = np.full((len(batch), 10), 0.001)
        for row in shares:
            digit, share = next(turns)
            row[digit] = share
        return shares

    turns = itertools.cycle(answers)
    return SimpleNamespace(input_shape=(None, 28, 28, 1), predict_on_batch=predict_on_batch)


def row_of(*drawings, size=120):
    """Draw digits, each strokes and a size, side by side on one line."""
    sheet = Image.new("L", (size * len(drawings), size), 255)
    for place, (strokes, height) in enumerate(drawings):
        sheet.paste(draw(strokes, height, width=8), (size * place, size - height))
    return sheet


SLASH = [[(0.2, 0.9), (0.7, 0.1)]]
CERTAIN_ROW = row_of((FOUR, 120), (FOUR, 120), (FOUR, 120))
DOUBTS = {
    "none": (CERTAIN_ROW, [(4, 0.95)], "444", []),
    "an uncertain digit": (
        CERTAIN_ROW,
        [(4, 0.95), (4, 0.7), (4, 0.95)],
        "444",
        ["uncertain, perhaps"],
    ),
    "a digit too small to read": (
        row_of((FOUR, 120), (FOUR, 35), (FOUR, 120)),
        [(4, 0.95)],
        "4 4",
        ["perhaps a digit is missing"],
    ),
    "a slash": (
        row_of((FOUR, 120), (SLASH, 120), (FOUR, 120)),
        [(1, 0.95)],
        "111",
        ["digit 2 perhaps a slash"],
    ),
    "a wide digit": (
        draw(FOUR, 120).resize((300, 120)),
        [(2, 0.9)],
        "2",
        ["perhaps two digits"],
    ),
    "a digit cut off": (draw(FOUR, 200, place=(-45, 0)), [(4, 0.95)], "4", ["perhaps cut off"]),
    "two numbers": (
        row_of((FOUR, 120), (FOUR, 120), ([], 120), ([], 120), (FOUR, 120)),
        [(4, 0.95)],
        "44 4",
        [],
    ),
}


@pytest.mark.parametrize("image, answers, number, doubts", DOUBTS.values(), ids=DOUBTS)
def test_what_is_uncertain_is_said(image, answers, number, doubts):
    readings = predict_digits(reader(*answers), image)
    assert describe(readings)[0] == number
    said = list_doubts(readings)
    assert len(said) == len(doubts)
    assert all(doubt in text for doubt, text in zip(doubts, said, strict=True))


def test_several_digits_of_which_none_is_certain_are_refused():
    with pytest.raises(InputError, match="certainty"):
        predict_digits(reader((4, 0.7)), CERTAIN_ROW)


INKS = (255, 0, 0), (0, 150, 0), (0, 0, 255), (200, 180, 0), (0, 0, 0)


def test_inks_of_all_colours_are_found_on_one_sheet():
    sheet = Image.new("RGB", (600, 120), (255, 255, 255))
    for place, ink in enumerate(INKS):
        digit = draw(FOUR, 120, ink=ink, ground=(255, 255, 255), mode="RGB")
        sheet.paste(digit, (120 * place, 0))
    assert len(find_digits(sheet)) == len(INKS)


def test_row_follows_its_slope():
    sheet = Image.new("L", (900, 500), 255)
    for place in range(8):
        sheet.paste(draw(FOUR, 100), (20 + 105 * place, 380 - 40 * place))
    assert [digit.place for digit in find_digits(sheet)] == [*range(1, 9)]


def test_more_than_100_digits_are_found():
    assert len(find_digits(sheet_of_fours(rows=[12] * 10, size=60))) == 120


def test_box_is_in_pixels_of_the_image_as_given_and_json_takes_a_reading():
    large = draw(FOUR, 800, place=(1000, 1000), canvas=(2400, 2000))
    (digit,) = find_digits(large)
    left, top, width, height = digit.box
    assert abs(left - 1160) < 60 and abs(top - 1080) < 60
    assert abs(width - 480) < 100 and abs(height - 640) < 100
    assert json.loads(json.dumps([digit.digit, digit.confidence, digit.box]))
