"""Reading images: every digit that people wrote, in whatever picture."""

import io
import json

import cv2
import numpy as np
import pytest
from conftest import BAR, FIVE, FOUR, draw, likeness, read_as_fours, reader, sheet_of_fours
from PIL import Image, ImageChops

from predict_model import as_image, describe, list_doubts, predict_digit, predict_digits
from train_model import InputError, synthetic_digits


def photo(strokes, sheet=0.85, ink=0.15, width=10, light=1, grain=0.01, quality=60):
    """Return a JPEG photo of strokes on a sheet; both are as bright as said, from 0 to 1."""
    lines = draw(strokes, 160, width, place=(200, 100), canvas=(480, 360), ink=255, ground=0)
    covered = cv2.GaussianBlur(np.asarray(lines) / 255, None, 0.8)
    picture = ((1 - covered) * sheet + covered * ink) * light
    picture += np.random.default_rng(1).normal(0, grain, picture.shape)
    image, file = Image.fromarray(np.uint8(np.clip(255 * picture, 0, 255))), io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def row(*drawings):
    """Put drawings side by side on one line."""
    sheet = Image.new("RGB", (120 * len(drawings), 120), "white")
    for place, drawing in enumerate(drawings):
        sheet.paste(drawing, (120 * place, 120 - drawing.height))
    return sheet


def coloured(ink, ground=(255, 255, 255)):
    return draw(FOUR, 120, ink=ink, ground=ground, mode="RGB")


PLAIN, WHITE = draw(FOUR, 100), draw([], 100)
LIGHT, BLACK = ImageChops.invert(PLAIN), ImageChops.invert(WHITE)
DIGIT, OTHER = (read_as_fours(draw(strokes))[0].picture for strokes in (FOUR, FIVE + BAR))
NOISE = np.random.default_rng(0).normal(0, 25, (100, 100))
NOISY = Image.fromarray(np.uint8(np.clip(PLAIN + NOISE, 0, 255)))

DOWN, ACROSS = np.ogrid[:360, :480]
RULED = np.where((DOWN + ACROSS / 20) % 33 < 1, 0.5, 0.85)
SQUARED = np.where(((DOWN + ACROSS / 20) % 22 < 2) | ((ACROSS - DOWN / 20) % 22 < 2), 0.6, 0.85)
LAMP = 1.1 / (1 + 12 * np.hypot(DOWN - 100, ACROSS - 150) ** 2 / 480**2)
DESK = 0.2 + 0.03 * np.sin(DOWN / 3 + ACROSS / 50)
BOX = [[(-0.1, -0.1), (1.1, -0.1), (1.1, 1.1), (-0.1, 1.1), (-0.1, -0.1)]]
ROUND = np.array([(np.cos(angle), np.sin(angle)) for angle in np.linspace(0, 6.3, 40)])
CIRCLE, LARGE_CIRCLE = [0.5 + 0.7 * ROUND], [0.5 + ROUND]
FOURS = {
    "light on dark": LIGHT,
    "16-bit": Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 200 + 3000),
    **{mode: PLAIN.convert(mode) for mode in ("1", "RGBA", "LA", "CMYK", "P", "YCbCr", "I")},
    "black ink only in alpha": Image.merge("LA", [BLACK, LIGHT]),
    "white ink only in alpha": Image.merge("LA", [WHITE, LIGHT]),
    "alpha of 0 all over": Image.merge("LA", [PLAIN, BLACK]),
    "row of a table": DIGIT.ravel(),
    "red on green as bright": coloured((200, 60, 60), (60, 131, 60)),
    "one pixel wide in 2,000": draw(FOUR, 1900, width=1, canvas=(2000, 2000)),
    "at the rim": PLAIN.crop((19, 0, 100, 100)),
    "small, with noise": NOISY.resize((50, 50)),
    "by a lamp": photo(FOUR, light=LAMP),
    "in low light with grain": photo(FOUR, light=0.25, grain=0.03),
    "squared": photo(FOUR, sheet=SQUARED, grain=0.02),
    "pencil": photo(FOUR, ink=0.55, width=4),
    "marker": photo(FOUR, width=24),
    "chalk": photo(FOUR, sheet=0.25, ink=0.85, grain=0.03),
    "boxed": photo(FOUR + BOX),
    "circled": photo(FOUR + CIRCLE),
    "in a large circle": photo(FOUR + LARGE_CIRCLE),
    "underlined": photo([*FOUR, [(-0.1, 1.1), (1.1, 1.1)]]),
}


@pytest.mark.parametrize("image", FOURS.values(), ids=FOURS)
def test_digit_is_read_the_same_in_any_image(image):
    assert likeness(image, DIGIT) > 0.75 > likeness(image, OTHER) + 0.15


def test_slash_in_a_zero_is_no_digit_in_a_circle():
    zero = draw([0.5 + 0.4 * ROUND, [(0.35, 0.65), (0.65, 0.35)]], width=10)
    assert likeness(zero, read_as_fours(draw([0.5 + 0.4 * ROUND], width=10))[0].picture) > 0.8


@pytest.mark.parametrize("size", [60, 200])
def test_bar_of_a_five_belongs_to_it(size):
    assert likeness(draw(FIVE + BAR, size), OTHER) > 0.8 > likeness(draw(FIVE, size), OTHER)


def test_images_as_mnists_come_back_as_they_are():
    digits, _ = synthetic_digits(100, 5)
    alike = [likeness(Image.fromarray(digit), digit) for digit in digits]
    assert np.median(alike) > 0.97 and np.percentile(alike, 5) > 0.8


(DRAWN,), (LABEL,) = synthetic_digits(1, seed=0)
INK = 255 - cv2.resize(DRAWN, (56, 56))
PNG = cv2.imencode(".png", INK)[1].tobytes()
FORMS = {
    "0 to 1": INK / 255,
    "uint16": INK.astype(np.uint16) * 257,
    "(1, h, w, 1)": INK[np.newaxis, ..., np.newaxis],
    "RGBA": np.dstack([INK] * 3 + [np.full_like(INK, 255)]),
    "file object": io.BytesIO(PNG),
}


@pytest.mark.parametrize("image", FORMS.values(), ids=FORMS)
def test_predict_digit_reads_an_image_in_any_form(network, image):
    digit, probabilities = predict_digit(network, image)
    expected, others = predict_digit(network, Image.fromarray(INK))
    assert digit == expected == LABEL
    assert probabilities.shape == (10,) and probabilities == pytest.approx(others, abs=0.15)


@pytest.mark.parametrize("inks, clearest", [((0, 120), 0), ((120, 0), 1)])
def test_predict_digit_takes_the_clearest_of_several(inks, clearest):
    image, answers = row(*(draw(FOUR, 100, ink=ink) for ink in inks)), [(4, 1), (5, 1)]
    readings = predict_digits(reader(*answers), image)
    assert predict_digit(reader(*answers), image)[0] == readings[clearest].digit


NO_IMAGES = {
    "white": WHITE,
    "transparent": Image.new("RGBA", (90, 90), (0, 0, 0, 0)),
    "noise": Image.fromarray(np.uint8(128 + NOISE)),
    "no pixel": np.zeros((0, 0), np.uint8),
    "not a number": np.full((50, 50), np.nan),
    "no path": "text" * 9999,
    "text": io.BytesIO(b"no image"),
    "empty paper": photo([]),
    "empty, by a lamp": photo([], light=LAMP),
    "empty, ruled": photo([], sheet=RULED),
    "desk": photo([], sheet=DESK),
}


@pytest.mark.parametrize("bad", NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_of_a_digit_is_refused_in_a_line(bad):
    with pytest.raises(InputError) as refusal:
        predict_digit(reader((4, 1)), bad)
    assert 0 < len(str(refusal.value)) < 300 and "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("error")
def test_photo_of_200_million_pixels_is_not_too_large():
    with pytest.raises(InputError, match="truncated|incomplete|end of file"):
        as_image(io.BytesIO(b"P4 16320 12240 "))


F, GAP, SLASH, LINE = (
    draw(it, 120, 8) for it in (FOUR, [], [[(0.2, 0.9), (0.7, 0.1)]], [[(0.5, 0.1), (0.5, 0.9)]])
)
DOUBTS = {  # an image, what the network reads, the numbers, and the doubt
    "none": (row(F, F, F), [(4, 0.95)], "444", None),
    "two numbers": (row(F, F, GAP, GAP, F), [(4, 0.95)], "44 4", None),
    "uncertain": (row(F, F, F), [(4, 0.95), (4, 0.7), (4, 0.95)], "444", "uncertain, perhaps"),
    "too small to read": (row(F, draw(FOUR, 35, 8), F), [(4, 0.95)], "4 4", "is missing"),
    "slash": (row(draw(FOUR, 80), SLASH, draw(FOUR, 100)), [(1, 0.95)], "111", "2 perhaps a slash"),
    "bars": (
        row(LINE, draw([[(0.5, 0.12), (0.5, 0.9)]], 120, 8)),
        [(1, 0.95)],
        "11",
        "perhaps a bar of a form",
    ),
    "1 beside a 4": (row(LINE, F), [(4, 0.95), (1, 0.95)], "14", None),
    "two 1s": (row(LINE, draw(FOUR, 100)), [(1, 0.95)], "11", None),
    "wide": (draw(FOUR, 120).resize((300, 120)), [(2, 0.9)], "2", "perhaps two digits"),
    "cut off": (draw(FOUR, 200, place=(-45, 0)), [(4, 0.95)], "4", "perhaps cut off"),
}


@pytest.mark.parametrize("image, answers, numbers, doubt", DOUBTS.values(), ids=DOUBTS)
def test_numbers_are_told_and_what_is_uncertain(image, answers, numbers, doubt):
    readings = predict_digits(reader(*answers), image)
    assert describe(readings)[0] == numbers
    said = list_doubts(readings)
    assert bool(said) == bool(doubt) and all(doubt in text for text in said)


@pytest.mark.parametrize("size", [(10, 10), (17, 20), (29, 30), (45, 55), (200, 200)])
def test_box_lies_within_the_image_and_holds_the_ink(size):
    image = draw(FOUR).crop((18, 10, 160, 190)).resize(size)
    (reading,) = predict_digits(reader((4, 1)), image)
    left, top, width, height = reading.box
    assert 0 <= left <= left + width <= size[0] and 0 <= top <= top + height <= size[1]
    assert width > 0.7 * size[0] and height > 0.7 * size[1]


def test_several_digits_of_which_none_is_certain_are_refused():
    with pytest.raises(InputError, match="certainty"):
        predict_digits(reader((4, 0.7)), row(F, F, F))


INKS = (255, 0, 0), (0, 150, 0), (0, 0, 255), (200, 180, 0), (0, 0, 0)
MANY = {"inks": (row(*map(coloured, INKS)), 5), "120": (sheet_of_fours([12] * 10, size=60), 120)}


@pytest.mark.parametrize("sheet, count", MANY.values(), ids=MANY)
def test_all_digits_on_a_sheet_are_found(sheet, count):
    assert len(read_as_fours(sheet)) == count


@pytest.mark.parametrize("climb", [-25, 25])
def test_digits_are_in_rows_that_climb_or_fall_from_left_to_right(climb):
    sheet = Image.new("L", (1000, 800), 255)
    for place in (0, 1, 2, 3, 5, 6, 7, 8):
        for top in (300, 500)[: 2 if place < 6 else 1]:
            sheet.paste(draw(FOUR, 100), (20 + 105 * place, top - climb * (place - 3)))
    digits = read_as_fours(sheet)
    assert [it.row for it in digits] == [1] * 8 + [2] * 5
    assert [it.place for it in digits] == [*range(1, 9), *range(1, 6)]
    assert digits == sorted(digits, key=lambda it: (it.row, it.box[0]))


def test_box_is_in_pixels_of_the_image_as_given_and_json_takes_a_reading():
    (digit,) = read_as_fours(draw(FOUR, 800, place=(1000, 1000), canvas=(2400, 2000)))
    assert digit.box == pytest.approx((1160, 1080, 480, 640), abs=80)
    assert json.loads(json.dumps([digit.digit, digit.confidence, digit.box]))
