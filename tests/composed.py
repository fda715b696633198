"""Compose pictures of numbers that are hard to read, and print how many are read right, by kind.

    python tests/composed.py --model digit_classifier.keras --data mnist.npz

Their digits are MNIST's validation images. "told" is a wrong reading with a doubt, or an error.
"""

import argparse
import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import predict_model
import train_model
from predict_model import Image, cv2, np

HEIGHT, CELL = 80, 94  # of a digit, and of a cell of a form, in pixels
SIZE, ORIGIN = 2400, 700  # of the canvas, and where the first line of digits begins, in pixels
WHITE, PAPER, DIM = (255, 255, 255, 255), (232, 230, 222, 255), (80, 78, 74, 255)  # RGBA
BLACK, BLUE, GREY = (25, 25, 30, 255), (30, 45, 130, 255), (120, 120, 125, 255)
BRIGHT = (225, 30, 30, 255), (20, 150, 50, 255), (30, 70, 235, 255), (215, 185, 0, 255)
ALONG, BETWEEN = slice(ORIGIN, ORIGIN + 10 * CELL), slice(ORIGIN, ORIGIN + 10 * CELL + 1, CELL)
BOXES = np.s_[ORIGIN - CELL : ORIGIN + 1 : CELL, ALONG], np.s_[ORIGIN - CELL : ORIGIN, BETWEEN]
COMB = np.s_[ORIGIN, ALONG], np.s_[ORIGIN - CELL // 2 : ORIGIN, BETWEEN]  # rows and columns
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

    # is any digit, x an erased one, o a small one, 1 a thin one, . one with a dot in its loop,
    0 a slashed one, / a slash. A pen, its width in pixels, draws the middle of the strokes anew.
    """
    if symbol == " ":
        return "", np.zeros((2, 2 * HEIGHT), np.uint8)
    choices = {"1": [1], "/": [1], ".": [0, 6, 8, 9], "0": [0]}
    digit, pen = rng.choice(choices.get(symbol, range(10))), 1 if symbol == "1" else pen
    scale = HEIGHT / 20 * rng.normal(1, 0.06) * {"o": 0.5, "/": 1.3}.get(symbol, 1)
    enlarge = scale * np.float32([[1, -0.4 * (symbol == "/"), 12], [0, 1, 4]])
    ink = cv2.warpAffine(rng.choice(digits[digit]), enlarge, (240, 240), flags=cv2.INTER_CUBIC)
    ink = np.uint8(np.clip(4.0 * cv2.GaussianBlur(ink, None, scale / 2.5) - 380, 0, 255))
    if pen:
        depth = cv2.distanceTransform(np.uint8(ink > 127), cv2.DIST_L2, 5)
        is_side = cv2.Laplacian(cv2.GaussianBlur(depth, None, scale / 2.5), -1) > -1 / scale
        ink = np.uint8(255 * (cv2.distanceTransform(np.uint8(is_side), cv2.DIST_L2, 5) < pen / 2))
    if symbol in ".0":
        solid = np.uint8(ink > 60)
        cv2.floodFill(solid, None, (0, 0), 1)  # Only loops stay 0.
        _, radius, _, middle = cv2.minMaxLoc(cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5))
        if radius < 4:
            return write(rng, digits, symbol, pen)
        reach = (symbol == "0") * rng.uniform(0.4, 1.3) * radius * np.array([1, -1.3])
        cv2.line(ink, *np.int32([middle - reach, middle + reach]), 255, round(min(radius, 8)))
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


def touching(rng, digits):
    text, picture = compose(rng, digits, **PLAIN | dict(patterns=["##"], gap=(-0.15, -0.05)))
    parts, _ = cv2.connectedComponents(np.uint8(np.asarray(picture)[..., 0] < 100))
    return (text, picture) if parts == 2 else touching(rng, digits)


def small(rng, digits, count, edge):
    chosen = rng.integers(10, size=count)
    ink = np.hstack([rng.choice(digits[digit]) for digit in chosen])[edge:, edge:]
    pixels = np.dstack([255 - ink] * 3 + [np.full_like(ink, 255)])
    return "".join(map(str, chosen)), Image.fromarray(np.pad(pixels, [(0, edge)] * 2 + [(0, 0)]))


def crumpled(rng, digits):
    folds = [rng.normal(size=(count, count)) / count**1.3 for count in (3, 6, 12, 24)]
    depth = sum(abs(cv2.resize(it, (800, 600), interpolation=cv2.INTER_CUBIC)) for it in folds)
    light = cv2.Sobel(depth, -1, 1, 0)
    return "", photograph(rng, np.dstack([160 + 40 * light / light.std()] * 3), *PLAIN["photo"])


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
    "ruled line": dict(lines=[np.s_[ORIGIN % 112 - 4 :: 112]]),
    "graph paper": dict(lines=[np.s_[::30], np.s_[:, ::30]], pens=[3, 5]),
    "dot in loop": dict(patterns=["."]),
    "slashed zero": dict(patterns=["0"]),
    "pair of 28x28": functools.partial(small, count=2, edge=0),
    "clear edge": functools.partial(small, count=1, edge=1),
    "touching": touching,
    "more than 100": dict(patterns=["\n".join(["#" * columns] * 9) for columns in (13, 14, 15)]),
    "tilted row": dict(patterns=["#" * 8], climb=(12, 22)),
    "two columns": dict(patterns=["## ##\n## ##", "## ###\n## ###\n## ###", "### ##\n### ##"]),
    "date": dict(patterns=["#/#/##", "##/#/##", "##/##/##"]),
    "erased": dict(patterns=["#x", "x##"], papers=[(255, 255, 255, 0), (0, 0, 0, 0)], photo=()),
    "alpha 0": dict(inks=[[(*BLACK[:3], 0)]], papers=[(*PAPER[:3], 0)], photo=()),
    "crumpled": crumpled,
}
load_digits = functools.cache(train_model.load_digits)


def pictures(kind, count, seed, data="auto"):
    """Yield pictures of a kind: what is to be read, without spaces, and a PIL image."""
    rng, made = np.random.default_rng([seed, *kind.encode()]), KINDS[kind]
    images, labels = train_model.split(*load_digits(data, "train")[:2], 0.2)[1]
    digits = [images[labels == digit] for digit in range(10)]
    for _ in range(count // 8 if kind == "more than 100" else count):
        yield made(rng, digits) if callable(made) else compose(rng, digits, **PLAIN | made)


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
    for kind in KINDS:
        results = [judge(model, *it) for it in pictures(kind, arguments.count, 0, arguments.data)]
        print("|", kind, *(f"| {results.count(it)}" for it in ("right", "told", "sure")), "|")


if __name__ == "__main__":
    train_model.run_as_script(main)
