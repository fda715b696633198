"""Compose pictures of numbers that are hard to read, and print how many are read right, by kind.

    python tests/composed.py --model digit_classifier.keras --data mnist.npz

Their digits are MNIST's validation images. "told" is a wrong reading with a doubt, or an error.
"""

import argparse

import cv2
from people import Image, np, predict_model, train_model

HEIGHT, CELL = 80, 94  # of a digit, and of a cell of a form, in pixels
SIZE, ORIGIN = 2400, 700  # of the canvas, and where the first line of digits begins, in pixels
WHITE, PAPER, DIM = (255, 255, 255, 255), (232, 230, 222, 255), (80, 78, 74, 255)  # RGBA
BLACK, BLUE, GREY = (25, 25, 30, 255), (30, 45, 130, 255), (120, 120, 125, 255)
BRIGHT = (225, 30, 30, 255), (20, 150, 50, 255), (30, 70, 235, 255), (215, 185, 0, 255)
ALONG, BETWEEN = slice(ORIGIN, ORIGIN + 10 * CELL), slice(ORIGIN, ORIGIN + 10 * CELL + 1, CELL)
BOXES = np.s_[ORIGIN - CELL : ORIGIN + 1 : CELL, ALONG], np.s_[ORIGIN - CELL : ORIGIN, BETWEEN]
COMB = np.s_[ORIGIN, ALONG], np.s_[ORIGIN - CELL // 2 : ORIGIN, BETWEEN]  # rows and columns
HIGH, WIDE = (ORIGIN - 115, ORIGIN + 36), (ORIGIN - 30, ORIGIN + 121)  # a box around one digit
BOX = (slice(*HIGH, 150), slice(*WIDE)), (slice(*HIGH), slice(*WIDE, 150))
TURN = np.linspace(0, 2 * np.pi, 1000)
CIRCLE = [(np.int32(ORIGIN - 40 + 75 * np.sin(TURN)), np.int32(ORIGIN + 45 + 75 * np.cos(TURN)))]
# Unless a kind says otherwise. Inks are sets, used in turn; gaps in heights, the climb in degrees.
PLAIN = dict(patterns=["###", "####", "######"], papers=[PAPER, WHITE], photo=(2, 6, 0), rough=0)
PLAIN |= dict(inks=[[BLACK], [BLUE]], pens=[0, 0, 5, 9], gap=(0.1, 0.4), climb=(-2, 2), lines=())


def compose(rng, digits, patterns, pens, inks, papers, gap, climb, rough, lines, photo):
    """Write one of the patterns; returns its digits and the picture, without photo a drawing."""
    pen, printed = rng.choice(pens), rng.choice([BLACK, BLUE, GREY])
    canvas = np.full((SIZE, SIZE, 4), rng.choice(papers), np.uint8)
    for line in lines:
        canvas[line] = printed
    canvas = cv2.erode(canvas, np.ones(rng.integers(1, 4, 2)))  # wider lines
    slope, row_height = np.tan(np.radians(rng.uniform(*climb))), rng.uniform(1.4, 2) * HEIGHT
    colours, text, boxes = rng.permutation(rng.choice(inks)), "", []
    for row, symbols in enumerate(rng.choice(patterns).split("\n")):
        x = ORIGIN
        for symbol in symbols:
            digit, ink = write(rng, digits, symbol, pen)
            height, width = ink.shape
            space = CELL - width if lines in (BOXES, COMB) else rng.uniform(*gap) * HEIGHT
            left = round(x + rng.uniform(0.3, 0.7) * space)
            base = ORIGIN + row * row_height - slope * (x - ORIGIN)
            top = round(base + rng.normal(0, 0.05) * HEIGHT) - height
            window = canvas[top : top + height, left : left + width]
            share = ink / 255 * np.clip(1 - rough * rng.normal(1, 2, ink.shape), 0, 1)
            window[:] = window + (colours[len(boxes) % len(colours)] - window) * share[..., None]
            window[..., 3] *= symbol != "x"
            boxes.append((left, top, left + width, top + height))
            x += width + space
            text += digit
    left, top, *_ = np.min(boxes, axis=0) - rng.integers(40, 200, 4)
    *_, right, bottom = np.max(boxes, axis=0) + rng.integers(40, 200, 4)
    picture = canvas[top:bottom, left:right]
    return text, photograph(rng, picture, *photo) if photo else Image.fromarray(picture)


def write(rng, digits, symbol, pen):
    """Write a symbol of a pattern; returns the digit to be read, or "", and ink, uint8 (h, w).

    # is any digit, x an erased one, o a small one, 1 a thin one, / a slash, a space a wide gap. A
    pen, its width in pixels, draws the middle of the strokes anew.
    """
    if symbol == " ":
        return "", np.zeros((2, 2 * HEIGHT), np.uint8)
    digit, pen = rng.choice([1] if symbol in "1/" else range(10)), 1 if symbol == "1" else pen
    scale = HEIGHT / 20 * rng.normal(1, 0.06) * {"o": 0.5, "/": 1.3}.get(symbol, 1)
    enlarge = scale * np.float32([[1, -0.4 * (symbol == "/"), 12], [0, 1, 4]])
    ink = cv2.warpAffine(rng.choice(digits[digit]), enlarge, (240, 240), flags=cv2.INTER_CUBIC)
    ink = np.uint8(np.clip(4.0 * cv2.GaussianBlur(ink, None, scale / 2.5) - 380, 0, 255))
    if pen:
        depth = cv2.distanceTransform(np.uint8(ink > 127), cv2.DIST_L2, 5)
        is_side = cv2.Laplacian(cv2.GaussianBlur(depth, None, scale / 2.5), -1) > -1 / scale
        ink = np.uint8(255 * (cv2.distanceTransform(np.uint8(is_side), cv2.DIST_L2, 5) < pen / 2))
    x, y, width, height = cv2.boundingRect(ink)
    return "" if symbol in "/x" else str(digit), ink[y : y + height, x : x + width]


def photograph(rng, picture, least, most, shadow):
    """Light a picture unevenly, perhaps a side in shadow, with least to most grain."""
    across = np.tensordot(rng.normal(size=2), np.indices(picture.shape[:2]), 1)
    across = cv2.normalize(across, None, -1, 1, cv2.NORM_MINMAX)
    light = 1 - rng.uniform(0, 0.15) * (1 + across) - shadow * np.clip(50 * across, 0, 1)
    grain = rng.normal(0, rng.uniform(least, most), light.shape)
    picture = cv2.GaussianBlur(picture[..., :3], None, rng.uniform(0.4, 1)) * light[..., None]
    return Image.fromarray(np.uint8(np.clip(picture + grain[..., None], 0, 255)))


KINDS = {
    "plain": {},
    "two rows": dict(patterns=["###\n###", "####\n##", "#####\n#####"]),
    "colours on white": dict(inks=[[BLACK, BLUE, *BRIGHT]], papers=[WHITE], photo=()),
    "colours on black": dict(inks=[[WHITE, *BRIGHT]], papers=[BLACK], photo=()),
    "whiteboard": dict(inks=[[BLACK, BLUE, *BRIGHT]], papers=[WHITE]),
    "small digit": dict(patterns=["o###", "##o#", "#o##", "###o", "##o"]),
    "thin 1": dict(patterns=["1###", "##1#", "#1#1", "###1"], pens=[11, 14, 17]),
    "chalk": dict(inks=[[WHITE]], papers=[DIM], rough=0.6),
    "pencil": dict(inks=[[GREY]], pens=[2, 3, 5], rough=0.3),
    "shade": dict(photo=(2, 5, 0.5)),
    "grain": dict(papers=[DIM], photo=(6, 14, 0)),
    "form boxes": dict(lines=BOXES),
    "comb field": dict(lines=COMB),
    "boxed": dict(patterns=["#"], lines=BOX),
    "circled": dict(patterns=["#"], lines=CIRCLE),
    "ruled line": dict(lines=[np.s_[ORIGIN % 112 - 4 :: 112]]),
    "graph paper": dict(lines=[np.s_[::30], np.s_[:, ::30]], pens=[3, 5]),
    "touching": dict(patterns=["##"], gap=(-0.15, -0.05)),
    "tilted row": dict(patterns=["#" * 8], climb=(12, 22)),
    "two columns": dict(patterns=["## ##\n## ##", "## ###\n## ###\n## ###", "### ##\n### ##"]),
    "date": dict(patterns=["#/#/##", "##/#/##", "##/##/##"]),
    "erased": dict(patterns=["#x", "x##"], papers=[(255, 255, 255, 0), (0, 0, 0, 0)], photo=()),
    "alpha 0": dict(inks=[[(*BLACK[:3], 0)]], papers=[(*PAPER[:3], 0)], photo=()),
}


def judge(model, digits, picture):
    """Read a picture; returns "right", "told" or "sure"."""
    try:
        readings = predict_model.predict_digits(model, picture)
    except train_model.InputError:
        return "told" if digits else "right"
    if predict_model.describe(readings)[0].replace(" ", "") == digits:
        return "right"
    return "told" if any(predict_model.list_doubts(readings)) else "sure"


def main():
    """Print a table with a row for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--data", default="auto", help="as for train_model.py")
    parser.add_argument("--count", type=int, default=40, help="of a kind; default: %(default)s")
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    print("| kind | right | told | sure and wrong |\n|---|---|---|---|")
    every = train_model.load_digits(arguments.data, "train")[:2]
    _, (images, labels) = train_model.split(*every, 0.2)
    digits = [images[labels == digit] for digit in range(10)]
    for kind in KINDS:
        rng, options = np.random.default_rng([0, *kind.encode()]), PLAIN | KINDS[kind]
        made = [compose(rng, digits, **options) for _ in range(arguments.count)]
        results = [judge(model, *it) for it in made]
        print("|", kind, *(f"| {results.count(it)}" for it in ("right", "told", "sure")), "|")


if __name__ == "__main__":
    train_model.run_as_script(main)
