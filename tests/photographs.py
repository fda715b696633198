"""Simulated photographs of handwritten digits, each legible at a glance.

    python tests/photographs.py --model digit_classifier.keras --data mnist.npz

prints for each kind of photograph the share that predict_model.py reads right,
of digits that the network reads when they are fed directly.

A picture is float of shape (HEIGHT, WIDTH, 3), 0 is black and 1 white; ink is
float32 of shape (HEIGHT, WIDTH), 1 where it covers. Lengths are in pixels. A spot
is the middle of a digit and the length of its longer side.
"""

import collections
import io
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import people

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import predict_model
import train_model

HEIGHT, WIDTH = 900, 1200
LEFT_TOP, RIGHT_BOTTOM = (150, 150), (1000, 750)  # the area for digits; things lie beside it
WIRE = [(0, 40), (0, 190), (60, 190), (60, 0), (14, 0), (14, 160), (46, 160), (46, 40)]
BLANK = np.full((28, 28), 1, np.uint8)  # in the place of a digit; too pale to leave ink

Spot = collections.namedtuple("Spot", "x y size")
# A pen makes strokes wider than MNIST's by a share of the digit's size; a dry one is uneven.
Pen = collections.namedtuple("Pen", "colour wider dryness", defaults=[0, 0])

# ---------------------------------------------------------------- digits, and sheets for them


def place(digit, spot):
    """Return the ink of a digit that is enlarged at a spot, with a smooth outline."""
    left, top, width, height = cv2.boundingRect(digit)
    scale = spot.size / max(width, height)
    middle = np.array((left + width / 2, top + height / 2)) - 0.5
    enlarged = np.column_stack([scale * np.eye(2), spot[:2] - scale * middle])
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


def paper(rng, spot, colour=(1, 1, 0.96)):
    return np.float32(colour) * rng.uniform(0.75, 0.95) * smooth(rng, 0.01)


def lined(rng, spot, squared=False):
    spacing, width, tilt = rng.uniform((40, 2, -0.05), (90, 4, 0.05))
    lines = distance(np.pi / 2 + tilt) % spacing < width
    if squared:
        lines |= distance(tilt) % spacing < width
    return np.where(lines, np.float32((0.55, 0.65, 0.8)), paper(rng, spot))


def on_desk(rng, spot, sheet=paper, gaps=(100, 250), sides=4):
    """Return a sheet on a desk; so many of its sides are in view, at these gaps to the digit."""
    reach = spot.size / 2 + rng.uniform(*gaps, 4)
    hidden = (rng.integers(4) + np.arange(4 - sides)) % 4
    reach[hidden] = 2 * WIDTH
    tilt, covered = rng.uniform(-0.08, 0.08), True
    for side in range(4):
        covered &= distance(tilt + side * np.pi / 2, spot.x, spot.y) < reach[side]
    shadow = cv2.GaussianBlur(np.float32(covered), (0, 0), 8)[..., None]
    desk = np.float32((0.25, 0.2, 0.15)) * smooth(rng, 0.12, 6, 200) * (1 - 0.4 * shadow)
    return np.where(covered, sheet(rng, spot), desk)


# ---------------------------------------------------------------- marks, light, and other steps


def square(rng, ink, spot, width, sides=(0, 1, 2, 3), beyond=8):
    """Draw sides of a square (left, upper, right, lower), each longer by `beyond` at its ends."""
    left_top = spot[:2] - spot.size * rng.uniform(0.7, 0.85, 2)
    right_bottom = spot[:2] + spot.size * rng.uniform(0.7, 0.85, 2)
    for side in sides:
        start, end = left_top - beyond, right_bottom + beyond
        start[side % 2] = end[side % 2] = (*left_top, *right_bottom)[side]
        cv2.polylines(ink, [np.int32([start, end])], False, 1, width)


def frame(rng, ink, spot, width):
    cv2.rectangle(ink, (60, 60), (WIDTH - 60, HEIGHT - 60), 1, width)


def circle(rng, ink, spot, width):
    radii = np.int32(spot.size * rng.uniform((0.78, 0.75), (0.95, 0.85)))
    cv2.ellipse(ink, (int(spot.x), int(spot.y)), radii, 0, 0, 360, 1, width)


def lamp(rng, spot):
    x, y = rng.uniform((200, 150), (1000, 750))
    far = np.hypot(distance(0, x), distance(np.pi / 2, 0, y)) / WIDTH
    return 1.1 / (1 + rng.uniform(2, 5) * far**2)


def window(rng, spot):
    return np.clip(0.75 + distance(rng.uniform(0, 6), spot.x, spot.y) / 1500, 0.35, 1.1)


def rotated(rng, picture, spot):
    matrix = cv2.getRotationMatrix2D((spot.x, spot.y), rng.uniform(-12, 12), 1)
    return cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)


def paper_clip(rng, picture, spot):
    wire = np.int32(WIRE) + (1050, rng.integers(50, 600))
    return cv2.polylines(picture, [wire], False, (0.45, 0.45, 0.48), 5)


# ---------------------------------------------------------------- the kinds of photographs


def photograph(rng, digit, sheet=paper, mark=None, pen=None, light=None, step=None, quality=85):
    """Photograph a digit, uint8 of shape (28, 28), or a row of them; returns a JPEG file's bytes.

    The other arguments are as KINDS gives them: functions, a Pen, and the quality of the file.
    """
    sizes = (150, 260) if mark else (160, 600)
    if digit.shape[1] > 28:
        sizes = 450, 600
    size = np.exp(rng.uniform(*np.log(sizes)))
    x, y = rng.uniform(np.add(LEFT_TOP, size / 2), np.subtract(RIGHT_BOTTOM, size / 2))
    spot = Spot(x, y, size)
    ink = place(digit, spot)
    if mark:
        mark(rng, ink, spot, round(size * rng.uniform(0.05, 0.12)))
    picture = write(rng, sheet(rng, spot), ink, pen or Pen((0.13, 0.13, 0.15)), size)
    if light:
        picture = picture * light(rng, spot)
    if step:
        picture = step(rng, picture, spot)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    picture += 0.012 * rng.standard_normal(picture.shape, np.float32)
    colours = np.uint8(np.clip(255 * picture, 0, 255))[..., ::-1]
    return cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def several(rng, digits):
    row = [np.pad(d[:, d.any(axis=0)], ((0, 0), (0, rng.integers(2, 6)))) for d in digits]
    return photograph(rng, np.hstack(row))


YELLOW, BOARD = partial(paper, colour=(1, 0.9, 0.45)), partial(paper, colour=(0.17, 0.27, 0.2))
KINDS = {
    "plain": {},
    "compressed": {"quality": 12},
    "lamp": {"light": lamp},
    "window": {"light": window},
    "low light": {"light": lambda rng, spot: rng.uniform(0.2, 0.35) * smooth(rng, 0.1, 1, 1)},
    "ruled": {"sheet": lined},
    "squared": {"sheet": partial(lined, squared=True)},
    "sheet on a dark desk": {"sheet": on_desk},
    "note": {"sheet": partial(on_desk, sheet=YELLOW, gaps=(40, 100))},
    "edge in view": {"sheet": partial(on_desk, gaps=(60, 150), sides=1)},
    "corner in view": {"sheet": partial(on_desk, gaps=(60, 150), sides=2)},
    "pencil": {"pen": Pen((0.3, 0.3, 0.32), wider=-0.03, dryness=0.2)},
    "fine pen": {"pen": Pen((0.1, 0.15, 0.5), wider=-0.04)},
    "marker": {"pen": Pen((0.1, 0.1, 0.15), wider=0.05)},
    "chalk": {"sheet": BOARD, "pen": Pen((0.9, 0.9, 0.88), dryness=0.3)},
    "rotated": {"step": rotated},
    "twelve megapixels": {"step": lambda rng, picture, spot: cv2.resize(picture, (4000, 3000))},
    "paper clip": {"step": paper_clip},
    "framed": {"mark": frame},
    "boxed": {"mark": square},
    "circled": {"mark": circle},
    "in a corner": {"mark": partial(square, beyond=WIDTH, sides=[0, 1])},
    "underlined": {"mark": partial(square, sides=[3])},
}
KINDS = {name: partial(photograph, **parts) for name, parts in KINDS.items()}
EMPTY = "plain", "lamp", "window", "low light", "ruled", "squared", "edge in view", "note"
EMPTY_KINDS = {f"{name}, empty": KINDS[name] for name in EMPTY}
EMPTY_KINDS["desk"] = partial(photograph, sheet=partial(on_desk, gaps=(-WIDTH, -WIDTH)))


def read(model, file):
    """Return the number that predict_model.py reads in the bytes of a file, such as "7" or ""."""
    return people.read(model, io.BytesIO(file))[0]


def main():
    """Print the share that is read right, for each kind."""
    parser, _ = train_model.make_parser("Read simulated photographs of the digits of a test set.")
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--count", metavar="N", type=int, default=20, help="pictures of each kind")
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    images, labels, data = train_model.load_digits(arguments.data, "test")
    legible = predict_model.predict(model, images).argmax(axis=1) == labels
    images, labels = images[legible], labels[legible]
    print(f"{data}: {len(labels):,} of {len(legible):,} digits are read when fed directly\n")
    for name, take in [*KINDS.items(), *EMPTY_KINDS.items(), ("several digits", several)]:
        rng, right = np.random.default_rng([*name.encode()]), 0
        for _ in range(arguments.count):
            chosen = rng.integers(len(images), size=rng.integers(2, 4))
            digits, reading = images[chosen], "".join(map(str, labels[chosen]))
            if name in KINDS:
                digits, reading = digits[0], reading[0]
            elif name in EMPTY_KINDS:
                digits, reading = BLANK, ""
            if read(model, take(rng, digits)) == reading:
                right += 1
        print(f"{name:<24}{right / arguments.count:8.1%}", flush=True)


if __name__ == "__main__":
    train_model.run_as_script(main)
