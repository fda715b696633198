"""Simulated photographs of handwritten digits, each legible at a glance.

    python tests/photographs.py --model digit_classifier.keras --data mnist.npz

prints for each kind of photograph the share that predict_model.py reads right,
of digits that the network reads when they are fed directly. A kind is named for
the one part of `photograph` that it replaces: sheet, mark, pen, light, or step.

A picture is float of shape (HEIGHT, WIDTH, 3), 0 is black and 1 white; ink is
float32 of shape (HEIGHT, WIDTH), 1 where it covers. Lengths are in pixels.
"""

import collections
import io
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import predict_model
import train_model

HEIGHT, WIDTH = 900, 1200
LEFT_TOP, RIGHT_BOTTOM = (150, 150), (1000, 750)  # the area for digits; things lie beside it
MIDDLE = np.float32([WIDTH / 2, HEIGHT / 2])
ACROSS, DOWN = 0, np.pi / 2  # directions
DARK_WOOD, LIGHT_WOOD = (0.25, 0.2, 0.15), (0.85, 0.68, 0.5)
WIRE = [(0, 40), (0, 190), (60, 190), (60, 0), (14, 0), (14, 160), (46, 160), (46, 40)]
BLANK = np.full((28, 28), 1, np.uint8)  # in the place of a digit; too pale to leave ink

Spot = collections.namedtuple("Spot", "x y size")  # the middle of a digit, and its longer side
# A pen makes strokes wider than MNIST's by a share of the digit's size; a dry one is uneven.
Pen = collections.namedtuple("Pen", "colour wider dryness", defaults=[0, 0])
INK = Pen((0.13, 0.13, 0.15))

# ---------------------------------------------------------------- digits, and sheets for them


def place(digit, spot):
    """Return the ink of a digit that is enlarged at a spot, with a smooth outline."""
    left, top, width, height = cv2.boundingRect(digit)
    scale = spot.size / max(width, height)
    x = spot.x - scale * (left + width / 2 - 0.5)
    y = spot.y - scale * (top + height / 2 - 0.5)
    enlarged = np.float32([[scale, 0, x], [0, scale, y]])
    ink = cv2.warpAffine(np.float32(digit / 255), enlarged, (WIDTH, HEIGHT))
    ink = cv2.GaussianBlur(ink, (0, 0), 0.45 * scale)
    return np.clip((ink - 0.42) * scale / 2 + 0.5, 0, 1)


def write(rng, picture, ink, pen, size):
    """Return the picture with ink of this pen on it."""
    change = round(abs(pen.wider) * size)
    tip = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (change + 1, change + 1))
    ink = cv2.dilate(ink, tip) if pen.wider > 0 else cv2.erode(ink, tip)
    ink = ink[..., None] * np.clip(smooth(rng, pen.dryness) - pen.dryness / 2, 0.3, 1)
    return picture * (1 - ink) + np.float32(pen.colour) * ink


def smooth(rng, deviation, down=3, across=3):
    """Return smooth noise around 1, shape (HEIGHT, WIDTH, 1), of lumps `down` x `across`."""
    noise = np.float32(rng.normal(1, deviation, (HEIGHT // down + 1, WIDTH // across + 1)))
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., None]


def distance(angle, x=0, y=0):
    """Return how far each pixel is from a line through x, y, in the direction of an angle."""
    down, across = np.ogrid[:HEIGHT, :WIDTH]
    return np.float32((across - x) * np.cos(angle) + (down - y) * np.sin(angle))[..., None]


def from_line(rng, spot):
    """Return how far each pixel is from a line at random through the middle of a spot."""
    return distance(rng.uniform(0, 2 * np.pi), spot.x, spot.y)


def from_point(rng):
    """Return how far each pixel is from a point at random."""
    x, y = rng.uniform((200, 150), (WIDTH - 200, HEIGHT - 150))
    return np.hypot(distance(ACROSS, x), distance(DOWN, 0, y))


def paper(rng, spot, colour=(1, 1, 0.96)):
    brightness = rng.uniform(0.75, 0.95) * smooth(rng, 0.01) * smooth(rng, 0.01, 200, 200)
    return np.float32(colour) * brightness


def lined(rng, spot, margin=0, shade=(0.6, 0.7, 0.85)):
    """Return squared paper, or ruled paper with a margin line where that has a width."""
    sheet = paper(rng, spot)
    spacing, width, tilt = rng.uniform((40, 2, -0.05), (90, 4, 0.05))
    lines, upright = distance(DOWN + tilt) % spacing < width, distance(tilt, 900)
    if not margin:
        lines |= upright % spacing < width
    sheet = np.where(lines, sheet * np.float32(shade), sheet)
    return np.where(abs(upright) < margin / 2, np.float32((0.85, 0.4, 0.4)), sheet)


def crumpled(rng, spot):
    sheet = paper(rng, spot)
    for x, y in rng.uniform((0, 0), (WIDTH, HEIGHT), (14, 2)):
        fold = np.tanh(from_line(rng, Spot(x, y, 0)) / rng.uniform(3, 15))
        sheet = sheet * (1 + rng.uniform(-0.05, 0.05) * fold)
    return sheet


def on_desk(rng, spot, wood=DARK_WOOD, sheet=paper, gaps=(100, 250), sides=4):
    """Return a sheet on a desk; so many of its sides are in view, at these gaps to the digit."""
    reach = spot.size / 2 + rng.uniform(*gaps, 4)
    hidden = (rng.integers(4) + np.arange(4 - sides)) % 4
    reach[hidden] = 2 * WIDTH
    tilt, covered = rng.uniform(-0.08, 0.08), True
    for side in range(4):
        covered &= distance(tilt + side * np.pi / 2, spot.x, spot.y) < reach[side]
    desk = np.float32(wood) * smooth(rng, 0.12, 6, 200) * shadow(rng, covered, 8)
    return np.where(covered, sheet(rng, spot), desk)


# ---------------------------------------------------------------- marks, light, and other steps


def draw(rng, ink, points, width):
    """Draw a line along 60 points by a hand that is not quite steady."""
    wobble = cv2.resize(rng.normal(0, 3, (6, 2)), (2, 60), interpolation=cv2.INTER_CUBIC)
    cv2.polylines(ink, [np.int32(points + wobble)], False, 1, width)


def square(rng, ink, spot, width, sides=(0, 1, 2, 3), beyond=8):
    """Draw sides of a square (left, upper, right, lower), each longer by `beyond` at its ends."""
    left_top = spot[:2] - spot.size * rng.uniform(0.7, 0.85, 2)
    right_bottom = spot[:2] + spot.size * rng.uniform(0.7, 0.85, 2)
    for side in sides:
        start, end = left_top - beyond, right_bottom + beyond
        start[side % 2] = end[side % 2] = (*left_top, *right_bottom)[side]
        draw(rng, ink, np.linspace(start, end, 60), width)


def frame(rng, ink, spot, width):
    margin = int(rng.integers(25, 100))
    cv2.rectangle(ink, (margin, margin), (WIDTH - margin, HEIGHT - margin), 1, width)


def circle(rng, ink, spot, width):
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, 6.5, 60)
    radii = spot.size * rng.uniform((0.78, 0.75), (0.95, 0.85))
    draw(rng, ink, spot[:2] + radii * np.column_stack([np.cos(angles), np.sin(angles)]), width)


def shadow(rng, shape, softness):
    """Return the light around a shadow, bool of shape (HEIGHT, WIDTH, 1)."""
    shape = cv2.GaussianBlur(np.float32(shape), (0, 0), softness)[..., None]
    return 1 - rng.uniform(0.35, 0.5) * shape


def hand_shadow(rng, spot):
    right, down = distance(ACROSS, spot.x), distance(DOWN, 0, spot.y)
    fingers = (right % 85 < 70) & (abs(right) < 170) & (down > right**2 / 150 - 90)
    return shadow(rng, fingers, rng.uniform(10, 20))


def glare(rng, picture, spot):
    return 0.7 * picture + rng.uniform(0.25, 0.4) * np.exp(-((from_point(rng) / 200) ** 2))


def perspective(rng, picture, spot):
    corners = MIDDLE * np.float32([(-1, -1), (1, -1), (1, 1), (-1, 1)])  # from the middle
    moved = corners * np.float32(rng.uniform(1, 1.25, (4, 2)))
    matrix = cv2.getPerspectiveTransform(corners + MIDDLE, moved + MIDDLE)
    return cv2.warpPerspective(picture, matrix, (WIDTH, HEIGHT))


def tight_crop(rng, picture, spot):
    x, y, reach = int(spot.x), int(spot.y), int(rng.uniform(0.52, 0.56) * spot.size)
    return picture[y - reach : y + reach, x - reach : x + reach]


def ruler(rng, picture, spot):
    picture[:, 1040:1170] = (0.85, 0.75, 0.5)
    picture[np.arange(HEIGHT) % 14 < 2, 1040:1070] = 0.2
    return picture


def thing(rng, picture, spot, colour, width, points):
    """Return the picture with a thing on the right, lines of one width from point to point."""
    points = np.int32(points) + (1050, rng.integers(50, 600))
    return cv2.polylines(picture, [points], False, colour, width)


# ---------------------------------------------------------------- the kinds of photographs


def photograph(
    rng, digit, sheet=paper, mark=None, pen=INK, light=None, step=None, sizes=(160, 600), quality=85
):
    """Photograph a digit.

    Args:
        rng: np.random.Generator.
        digit: uint8 of shape (28, 28), 255 for ink.
        sheet: function (rng, spot) that returns the picture to write on.
        mark: function (rng, ink, spot, width) that draws more ink, or None.
        pen: Pen.
        light: function (rng, spot) that returns what to multiply the picture with, or None.
        step: function (rng, picture, spot) that returns another picture, or None.
        sizes: least and greatest size of the digit.
        quality: of the JPEG file, 0 to 100.

    Returns:
        The bytes of a JPEG file.
    """
    size = np.exp(rng.uniform(*np.log(sizes)))
    x, y = rng.uniform(np.add(LEFT_TOP, size / 2), np.subtract(RIGHT_BOTTOM, size / 2))
    spot = Spot(x, y, size)
    ink = place(digit, spot)
    if mark:
        mark(rng, ink, spot, round(size * rng.uniform(0.05, 0.12)))
    picture = write(rng, sheet(rng, spot), ink, pen, size)
    if light:
        picture = picture * light(rng, spot)
    if step:
        picture = step(rng, picture, spot)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    picture += 0.012 * rng.standard_normal(picture.shape, np.float32)
    colours = np.uint8(np.clip(255 * picture, 0, 255))[..., ::-1]
    return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def several(rng, digits):
    """Photograph digits side by side, as in a number.

    Args:
        rng: np.random.Generator.
        digits: uint8 of shape (2 or 3, 28, 28), 255 for ink.

    Returns:
        The bytes of a JPEG file.
    """
    row = []
    for digit in digits:
        row.append(np.pad(digit[:, digit.any(axis=0)], ((0, 0), (0, rng.integers(2, 6)))))
    return photograph(rng, np.hstack(row), sizes=(450, 600))


LIGHTS = {
    "lamp": lambda rng, spot: 1.1 / (1 + rng.uniform(2, 5) * (from_point(rng) / WIDTH) ** 2),
    "window": lambda rng, spot: np.clip(0.75 + from_line(rng, spot) / 1500, 0.35, 1.1),
    "low light": lambda rng, spot: rng.uniform(0.2, 0.35) * smooth(rng, 0.1, 1, 1),
    "sharp shadow": lambda rng, spot: shadow(rng, from_line(rng, spot) > 0, 1.5),
    "frame shadow": lambda rng, spot: shadow(rng, from_line(rng, spot) % 400 < 80, 1.5),
    "hand shadow": hand_shadow,
}
YELLOW, BOARD = partial(paper, colour=(1, 0.9, 0.45)), partial(paper, colour=(0.17, 0.27, 0.2))
SHEETS = {
    "ruled": partial(lined, margin=6),
    "squared": lined,
    "dark squares": partial(lined, shade=(0.3, 0.3, 0.3)),
    "coloured paper": lambda rng, spot: paper(rng, spot, rng.uniform(0.45, 1, 3)),
    "crumpled": crumpled,
    "dusty": lambda rng, spot: paper(rng, spot) * np.where(smooth(rng, 1, 6, 6) > 3.5, 0.5, 1),
    "sheet on a dark desk": on_desk,
    "sheet on a light desk": partial(on_desk, wood=LIGHT_WOOD),
    "note": partial(on_desk, wood=LIGHT_WOOD, sheet=YELLOW, gaps=(40, 100)),
    "edge in view": partial(on_desk, gaps=(60, 150), sides=1),
    "corner in view": partial(on_desk, gaps=(60, 150), sides=2),
}
PENS = {
    "pencil": Pen((0.3, 0.3, 0.32), wider=-0.03, dryness=0.2),
    "fine pen": Pen((0.1, 0.15, 0.5), wider=-0.04),
    "marker": Pen((0.1, 0.1, 0.15), wider=0.05),
    "dry pen": Pen((0.13, 0.13, 0.15), dryness=0.35),
    "coloured ink": Pen((0.75, 0.1, 0.12)),
}
STEPS = {
    "glare": glare,
    "out of focus": lambda rng, picture, spot: cv2.GaussianBlur(picture, (0, 0), rng.uniform(4, 8)),
    "perspective": perspective,
    "tight crop": tight_crop,
    "twelve megapixels": lambda rng, picture, spot: cv2.resize(picture, (4000, 3000)),
    "ruler": ruler,
    "pen": partial(thing, colour=(0.1, 0.2, 0.5), width=40, points=[(20, -900), (0, 200)]),
    "paper clip": partial(thing, colour=(0.45, 0.45, 0.48), width=5, points=WIRE),
    "thumb": partial(thing, colour=(0.8, 0.6, 0.5), width=150, points=[(100, 80), (300, 130)]),
}
MARKS = {
    "framed": frame,
    "boxed": square,
    "circled": circle,
    "in a cell": partial(square, beyond=WIDTH),
    "in a corner": partial(square, beyond=WIDTH, sides=[0, 1]),
    "underlined": partial(square, sides=[3]),
}


def kinds(part, choices, **parts):
    """Return the functions (rng, digit) that photograph with each choice of a part, by its name."""
    return {name: partial(photograph, **{part: one}, **parts) for name, one in choices.items()}


KINDS = {"plain": photograph, "compressed": partial(photograph, quality=12)}
KINDS |= kinds("light", LIGHTS) | kinds("sheet", SHEETS) | kinds("pen", PENS) | kinds("step", STEPS)
KINDS["chalk"] = partial(photograph, sheet=BOARD, pen=Pen((0.9, 0.9, 0.88), dryness=0.3))
MARKED_KINDS = kinds("mark", MARKS, sizes=(150, 260))
EMPTY = ("plain", "lamp", "window", "low light", "ruled", "squared", "crumpled", "edge in view")
EMPTY_KINDS = {name: KINDS[name] for name in (*EMPTY, "sheet on a dark desk", "note")}
EMPTY_KINDS["noise"] = partial(photograph, light=lambda rng, spot: smooth(rng, 0.2, 1, 1))
EMPTY_KINDS["desk"] = partial(photograph, sheet=partial(on_desk, gaps=(-WIDTH, -WIDTH)))


def read(model, file):
    """Return the digits that predict_model.py reads in the bytes of a file, such as "7" or ""."""
    try:
        found = predict_model.predict_digits(model, io.BytesIO(file))
    except train_model.InputError:
        return ""
    return "".join(str(digit.digit) for digit in found)


def main():
    parser = train_model.make_parser("Read simulated photographs of the digits of a test set.")
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--count", metavar="N", type=int, default=20, help="pictures of each kind")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    images, labels, data = train_model.load_digits(arguments.data, "test")
    legible = predict_model.predict(model, images).argmax(axis=1) == labels
    print(f"{data}: {legible.sum():,} of {len(labels):,} digits are read when fed directly\n")
    images, labels = images[legible], labels[legible]
    marked = dict(MARKED_KINDS)
    groups = {
        "underlined": {"underlined": marked.pop("underlined")},
        "marked": marked,
        "with a digit": KINDS,
        "without a digit": EMPTY_KINDS,
        "several digits": {"several": several},
    }
    summary = [""]
    for group, members in groups.items():
        shares = []
        for name, take in members.items():
            rng = np.random.default_rng([arguments.seed, *name.encode()])
            right = 0
            for _ in range(arguments.count):
                chosen = rng.integers(len(images), size=rng.integers(2, 4))
                digits, reading = images[chosen], "".join(map(str, labels[chosen]))
                if group != "several digits":
                    digits, reading = digits[0], reading[0]
                if group == "without a digit":
                    digits, reading = BLANK, ""
                if read(model, take(rng, digits)) == reading:
                    right += 1
            shares.append(right / arguments.count)
            print(f"{group:<18}{name:<24}{shares[-1]:8.1%}", flush=True)
        summary.append(f"{group:<18}mean {np.mean(shares):.2%}, worst {min(shares):.1%}")
    print(*summary, sep="\n")


if __name__ == "__main__":
    with train_model.run_as_script():
        main()
