"""Photographs of digits, simulated: 1200 x 900 pixels, JPEG, each legible at a glance.

    python tests/photographs.py --model digit_classifier.keras --data mnist.npz

prints how many of each kind predict_model.py reads, of digits that the
network reads when they are fed directly. `--save FOLDER` keeps the pictures,
`--sheet FILE` makes a contact sheet of one of each kind with the answers.

A function makes each kind, from a random generator and a digit as MNIST's.
Pictures are float32 arrays of shape (h, w, 3), the light that the camera
gets: 0 is black, 1 is white. The measures, where none is named, are shares
of the picture's height.
"""

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import predict_model
import train_model

HEIGHT, WIDTH = 900, 1200
CHALK = (0.9, 0.9, 0.88)
BLACK = (0.13, 0.13, 0.15)

# ---------------------------------------------------------------- paper and ink


def grain(random, deviation, size, height=HEIGHT, width=WIDTH):
    """Smooth noise around 1, its lumps `size` pixels wide; shape (height, width, 1)."""
    shape = max(2, height // size + 1), max(2, width // size + 1)
    noise = random.normal(0, deviation, shape).astype(np.float32)
    return 1 + cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)[..., np.newaxis]


def paper(random, colour=None):
    """A sheet that fills the picture."""
    if colour is None:
        colour = random.uniform(0.75, 0.95) * np.array([1, 1, random.uniform(0.92, 1)])
    sheet = np.full((HEIGHT, WIDTH, 3), colour, np.float32)
    return sheet * grain(random, 0.01, 3) * grain(random, 0.01, 200)


def enlarged(digit, height):
    """Enlarge a digit of 28x28 to so many pixels with a smooth outline; float32, 0 to 1."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    digit = np.pad(digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    scale = height / (len(digit) - 2)
    large = cv2.resize(digit.astype(np.float32) / 255, None, fx=scale, fy=scale)
    large = cv2.GaussianBlur(large, (0, 0), 0.45 * scale)
    return np.clip((large - 0.42) * 0.5 * max(4, scale) + 0.5, 0, 1)


def place_digit(random, digit, low=0.17, high=0.7, area=(0, 0, HEIGHT, WIDTH), thinner=0.0):
    """Place a digit in an empty picture; answers its ink, float32 of shape (HEIGHT, WIDTH, 1).

    Its height is from `low` to `high`, as far as the area (top, left, bottom,
    right) has room; `thinner` takes a share of the stroke's width off.
    """
    top, left, bottom, right = area
    height = min(np.exp(random.uniform(np.log(low), np.log(high))) * HEIGHT, 0.8 * (bottom - top))
    ink = enlarged(digit, height)
    if ink.shape[1] > 0.8 * (right - left):
        ink = enlarged(digit, height * 0.8 * (right - left) / ink.shape[1])
    if thinner:
        # The stroke is about a seventh of the digit's height.
        side = max(1, int(thinner * len(ink) / 8))
        ink = cv2.erode(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    margins = [max(1, round(0.02 * HEIGHT))] * 2
    y = random.integers(top + margins[0], max(top + margins[0], bottom - len(ink) - margins[0]) + 1)
    x = random.integers(
        left + margins[1], max(left + margins[1], right - ink.shape[1] - margins[1]) + 1
    )
    picture = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    picture[y : y + len(ink), x : x + ink.shape[1], 0] = ink[: HEIGHT - y, : WIDTH - x]
    return picture


def write(picture, ink, colour=BLACK):
    """Write ink on a picture."""
    return picture * (1 - ink) + np.float32(colour) * ink


def ballpoint(random):
    return random.uniform((0.08, 0.1, 0.35), (0.2, 0.25, 0.6))


def lines(random, squared, angle=0.0, margin=False, spacing=None, shade=None):
    """The ruling of a school book, to multiply a sheet with."""
    spacing = spacing or random.uniform(0.045, 0.1) * HEIGHT
    width = max(1, round(spacing * random.uniform(0.025, 0.06)))
    shade = np.float32(shade or random.uniform((0.5, 0.6, 0.75), (0.7, 0.75, 0.9)))
    ruling = np.ones((HEIGHT * 2, WIDTH * 2, 3), np.float32)
    for y in np.arange(random.uniform(0, spacing), HEIGHT * 2, spacing).astype(int):
        ruling[y : y + width] *= shade
    if squared:
        for x in np.arange(random.uniform(0, spacing), WIDTH * 2, spacing).astype(int):
            ruling[:, x : x + width] *= shade
    if margin:
        x = round(random.uniform(0.6, 0.7) * WIDTH)
        ruling[:, x : x + width + 1] = (0.85, 0.45, 0.45)
    turn = cv2.getRotationMatrix2D((WIDTH, HEIGHT), angle, 1)
    turn[:, 2] -= (WIDTH / 2, HEIGHT / 2)
    return cv2.warpAffine(ruling, turn, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR)


def turned(random):
    return random.choice([-1, 1]) * random.uniform(0.7, 4)


# ---------------------------------------------------------------- light and camera


def coordinates():
    """The rows and columns of the picture, from 0 to 1; shapes (HEIGHT, 1, 1), (1, WIDTH, 1)."""
    rows, columns = np.linspace(0, 1, HEIGHT), np.linspace(0, 1, WIDTH)
    return rows[:, None, None].astype(np.float32), columns[None, :, None].astype(np.float32)


def lamp_light(random):
    """Bright in one place, dark in the corners."""
    y, x = coordinates()
    distance = (x - random.uniform(0.2, 0.8)) ** 2 + (0.75 * (y - random.uniform(0.2, 0.8))) ** 2
    return 1.1 / (1 + random.uniform(2, 5) * distance)


def window_light(random):
    """One side twice as bright as the other."""
    y, x = coordinates()
    slope = (x if random.random() < 0.7 else y) * np.ones((HEIGHT, WIDTH, 1), np.float32)
    slope = slope if random.random() < 0.5 else 1 - slope
    return 0.5 + 0.5 * slope


def edge_shadow(random, ink, softness):
    """A straight shadow whose edge crosses the digit; softness in pixels."""
    rows, columns = np.nonzero(ink[..., 0] > 0.5)
    y, x = rows.mean(), columns.mean()
    angle = random.uniform(0, 2 * np.pi)
    down, right = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    side = (right - x) * np.cos(angle) + (down - y) * np.sin(angle)
    lit = np.clip(side / softness + 0.5, 0, 1)[..., np.newaxis]
    return 1 - random.uniform(0.35, 0.55) * (1 - lit)


def hand_light(random, ink):
    """The shadow of a hand with four fingers that reaches over the digit."""
    rows, columns = np.nonzero(ink[..., 0] > 0.5)
    y, x, shadow = rows.mean(), columns.mean(), np.ones((HEIGHT, WIDTH), np.float32)
    for finger in range(4):
        end = x - 120 + 80 * finger + random.uniform(-15, 15), y - random.uniform(20, 120)
        start = 0.5 * WIDTH + 0.5 * (x - WIDTH / 2) + 70 * finger - 100, HEIGHT + 100
        cv2.line(shadow, [int(v) for v in start], [int(v) for v in end], 0.0, 62, cv2.LINE_AA)
    shadow = cv2.GaussianBlur(shadow, (0, 0), random.uniform(8, 20))
    return 1 - random.uniform(0.3, 0.5) * (1 - shadow[..., np.newaxis])


def camera(random, picture, blur=0.8, noise=0.012, quality=85):
    """Take the picture: out of focus by `blur` pixels, with noise; answers a PIL image, JPEG."""
    picture = cv2.GaussianBlur(picture, (0, 0), blur)
    picture = picture + random.normal(0, noise, picture.shape).astype(np.float32)
    return encoded(np.clip(255 * picture, 0, 255).astype(np.uint8), quality)


def encoded(picture, quality=85):
    """Encode an RGB array as JPEG; answers the bytes."""
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


# ---------------------------------------------------------------- the kinds: light


def plain(random, digit):
    return camera(random, write(paper(random), place_digit(random, digit)))


def lamp(random, digit):
    return camera(random, write(paper(random), place_digit(random, digit)) * lamp_light(random))


def window(random, digit):
    return camera(random, write(paper(random), place_digit(random, digit)) * window_light(random))


def sharp_shadow(random, digit):
    ink = place_digit(random, digit)
    return camera(random, write(paper(random), ink) * edge_shadow(random, ink, 4))


def frame_shadow(random, digit):
    """The shadow of one bar or two of a window's frame across the digit."""
    ink = place_digit(random, digit)
    rows, columns = np.nonzero(ink[..., 0] > 0.5)
    middle, shadow = np.array([columns.mean(), rows.mean()]), np.zeros((HEIGHT, WIDTH), np.float32)
    angle, width = random.uniform(0, np.pi), int(random.integers(50, 200))
    for bar in range(random.integers(1, 3)):
        along = 2 * WIDTH * np.array([np.cos(angle + 1.5 * bar), np.sin(angle + 1.5 * bar)])
        start, end = np.rint([middle - along, middle + along]).astype(int).tolist()
        cv2.line(shadow, start, end, 1.0, width, cv2.LINE_AA)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 2)[..., np.newaxis]
    return camera(random, write(paper(random), ink) * (1 - random.uniform(0.3, 0.5) * shadow))


def soft_shadow(random, digit):
    ink = place_digit(random, digit)
    light = edge_shadow(random, ink, random.uniform(80, 300))
    return camera(random, write(paper(random), ink) * light)


def hand_shadow(random, digit):
    ink = place_digit(random, digit, 0.25)
    return camera(random, write(paper(random), ink) * hand_light(random, ink))


def vignette(random, digit):
    y, x = coordinates()
    light = 1 - random.uniform(0.7, 1.1) * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    return camera(random, write(paper(random), place_digit(random, digit)) * light)


def glare(random, digit):
    y, x = coordinates()
    distance = (x - random.uniform(0, 1)) ** 2 + (y - random.uniform(0, 1)) ** 2
    light = random.uniform(0.4, 0.7) * np.exp(-distance / random.uniform(0.01, 0.04))
    picture = write(0.7 * paper(random), place_digit(random, digit))
    return camera(random, picture + light * 0.6)


def low_light(random, digit):
    picture = write(paper(random), place_digit(random, digit)) * random.uniform(0.2, 0.35)
    return camera(random, picture, blur=1.2, noise=0.025)


# ---------------------------------------------------------------- the kinds: paper


def ruled(random, digit):
    sheet = paper(random) * lines(random, squared=False)
    return camera(random, write(sheet, place_digit(random, digit, 0.25), ballpoint(random)))


def ruled_turned(random, digit):
    sheet = paper(random) * lines(random, squared=False, angle=turned(random))
    return camera(random, write(sheet, place_digit(random, digit, 0.25)))


def ruled_margin(random, digit):
    sheet = paper(random) * lines(random, squared=False, margin=True)
    return camera(random, write(sheet, place_digit(random, digit, 0.25), ballpoint(random)))


def ruled_lamp(random, digit):
    sheet = paper(random) * lines(random, squared=False)
    return camera(random, write(sheet, place_digit(random, digit, 0.25)) * lamp_light(random))


def squared(random, digit):
    sheet = paper(random) * lines(random, squared=True)
    return camera(random, write(sheet, place_digit(random, digit, 0.25)))


def squared_turned(random, digit):
    sheet = paper(random) * lines(random, squared=True, angle=turned(random))
    return camera(random, write(sheet, place_digit(random, digit, 0.25), ballpoint(random)))


def squared_window(random, digit):
    sheet = paper(random) * lines(random, squared=True, angle=random.uniform(-2, 2), margin=True)
    return camera(random, write(sheet, place_digit(random, digit, 0.25)) * window_light(random))


def squared_small(random, digit):
    height = random.uniform(0.1, 0.2)
    sheet = paper(random) * lines(random, squared=True, spacing=height * HEIGHT / 2.5)
    return camera(random, write(sheet, place_digit(random, digit, height, height)))


def squared_dark(random, digit):
    """Lines as dark as the ink, but thinner."""
    sheet = paper(random) * lines(random, squared=True, angle=random.uniform(-1, 1), shade=[0.25] * 3)
    return camera(random, write(sheet, place_digit(random, digit, 0.4, 0.7), (0.2, 0.2, 0.22)))


def coloured_paper(random, digit):
    colour = random.uniform(0.35, 0.95, 3)
    colour *= max(1, 0.5 / colour.mean())
    return camera(random, write(paper(random, np.minimum(colour, 1)), place_digit(random, digit)))


def crumpled(random, digit):
    folds = np.ones((HEIGHT, WIDTH), np.float32)
    down, right = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for _ in range(14):
        angle = random.uniform(0, 2 * np.pi)
        side = (right - random.uniform(0, WIDTH)) * np.cos(angle)
        side += (down - random.uniform(0, HEIGHT)) * np.sin(angle)
        folds *= 1 + random.uniform(-0.07, 0.07) * np.tanh(side / random.uniform(3, 15))
    ink = place_digit(random, digit)
    return camera(random, write(paper(random), ink) * folds[..., np.newaxis])


def dusty(random, digit):
    sheet = paper(random)
    for _ in range(150):
        place = int(random.integers(WIDTH)), int(random.integers(HEIGHT))
        shade = sheet[place[1], place[0]] * random.uniform(0.4, 0.8)
        cv2.circle(sheet, place, int(random.integers(1, 4)), shade.tolist(), -1, cv2.LINE_AA)
    return camera(random, write(sheet, place_digit(random, digit, 0.3)))


# ---------------------------------------------------------------- the kinds: surroundings


def desk(random, dark):
    """A table top with a texture along the grain of its wood."""
    colour = random.uniform(0.12, 0.35) if dark else random.uniform(0.7, 0.9)
    wood = grain(random, 0.12, 6, HEIGHT, 40 * WIDTH)[:, ::40] * grain(random, 0.06, 60)
    streaks = cv2.GaussianBlur(wood, (0, 0), sigmaX=40, sigmaY=1.2)[..., np.newaxis]
    streaks = 1 + 2.5 * (streaks - 1)
    return np.clip(np.float32([1, 0.8, 0.6]) * colour * streaks, 0.02, 1).astype(np.float32)


def on_desk(random, digit, colour, dark, angle, corners=((0.2, 0.15), (0.8, 0.85))):
    """A sheet with a digit on a desk, its corners given in shares of the picture."""
    (left, top), (right, bottom) = np.multiply(corners, (WIDTH, HEIGHT)).tolist()
    sheet = np.zeros((HEIGHT, WIDTH), np.float32)
    box = cv2.boxPoints((((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top), angle))
    cv2.fillPoly(sheet, [np.rint(box).astype(int)], 1.0, cv2.LINE_AA)
    shadow = cv2.GaussianBlur(np.roll(sheet, (6, 6), (0, 1)), (0, 0), 6)[..., np.newaxis]
    picture = desk(random, dark) * (1 - 0.4 * shadow)
    picture = write(picture, sheet[..., np.newaxis], 1) * (1 - sheet[..., np.newaxis])
    picture += sheet[..., np.newaxis] * paper(random, colour)
    inset = 0.03 * HEIGHT + abs(np.sin(np.radians(angle))) * (right - left) / 2
    area = top + inset, left + inset, bottom - inset, right - inset
    area = np.clip(area, 0, (HEIGHT, WIDTH, HEIGHT, WIDTH)).astype(int)
    return write(picture, place_digit(random, digit, 0.15, 0.6, area))


def sheet_on_dark_desk(random, digit):
    return camera(random, on_desk(random, digit, (0.9, 0.9, 0.88), True, 0))


def sheet_on_light_desk(random, digit):
    return camera(random, on_desk(random, digit, random.uniform(0.45, 0.6, 3), False, 0))


def tilted_sheet(random, digit):
    dark = random.random() < 0.5
    colour = (0.9, 0.9, 0.88) if dark else random.uniform(0.5, 0.6, 3)
    return camera(random, on_desk(random, digit, colour, dark, random.uniform(-7, 7)))


NOTE = ((0.3, 0.2), (0.7, 0.75))


def note_on_dark_desk(random, digit):
    colour = random.uniform((0.8, 0.75, 0.3), (0.95, 0.9, 0.5))
    return camera(random, on_desk(random, digit, colour, True, random.uniform(-4, 4), NOTE))


def note_on_light_desk(random, digit):
    colour = random.uniform((0.6, 0.3, 0.3), (0.75, 0.6, 0.45))
    return camera(random, on_desk(random, digit, colour, False, random.uniform(-4, 4), NOTE))


def edge_in_view(random, digit):
    corners = [((-0.2, -0.2), (0.85, 1.2)), ((0.15, -0.2), (1.2, 1.2)), ((-0.2, 0.15), (1.2, 1.2))]
    corners = corners[random.integers(3)]
    dark = random.random() < 0.6
    colour = (0.9, 0.9, 0.88) if dark else random.uniform(0.45, 0.6, 3)
    return camera(random, on_desk(random, digit, colour, dark, random.uniform(-3, 3), corners))


def corner_in_view(random, digit):
    dark = random.random() < 0.6
    colour = (0.9, 0.9, 0.88) if dark else random.uniform(0.45, 0.6, 3)
    corners = ((-0.3, -0.3), (random.uniform(0.75, 0.88), random.uniform(0.75, 0.88)))
    return camera(random, on_desk(random, digit, colour, dark, random.uniform(-3, 3), corners))


# ---------------------------------------------------------------- the kinds: pen


def pencil(random, digit):
    ink = place_digit(random, digit, thinner=0.3) * np.clip(grain(random, 0.2, 3) - 0.25, 0.3, 1)
    return camera(random, write(paper(random), ink, (0.3, 0.3, 0.32)))


def pencil_lamp(random, digit):
    ink = place_digit(random, digit, 0.1, 0.25) * np.clip(grain(random, 0.2, 3) - 0.25, 0.4, 1)
    return camera(random, write(paper(random), ink, (0.3, 0.3, 0.32)) * lamp_light(random))


def fine_pen(random, digit):
    ink = place_digit(random, digit, 0.25, 0.6, thinner=0.6)
    return camera(random, write(paper(random), ink))


def ball_pen(random, digit):
    ink = place_digit(random, digit, thinner=0.4)
    return camera(random, write(paper(random), ink, ballpoint(random)))


def marker(random, digit):
    ink = place_digit(random, digit, 0.4, 0.8)
    side = int(0.02 * HEIGHT)
    ink = cv2.dilate(ink, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return camera(random, write(paper(random), ink[..., np.newaxis]))


def dry_pen(random, digit):
    streaks = np.clip(grain(random, 0.35, 4) - 0.2, 0.25, 1)
    ink = place_digit(random, digit, 0.3) * streaks
    return camera(random, write(paper(random), ink))


def chalk(random, digit):
    board = paper(random, random.uniform((0.12, 0.2, 0.15), (0.2, 0.33, 0.25)))
    wiped = grain(random, 0.12, 150)
    ink = place_digit(random, digit, 0.25) * np.clip(grain(random, 0.3, 3) - 0.15, 0.3, 1)
    return camera(random, write(board * wiped, ink, CHALK) * lamp_light(random))


def coloured_ink(random, digit):
    colours = [(0.75, 0.1, 0.12), (0.1, 0.5, 0.2), (0.5, 0.1, 0.55), (0.85, 0.35, 0.05)]
    colour = colours[random.integers(len(colours))]
    return camera(random, write(paper(random), place_digit(random, digit), colour))


# ---------------------------------------------------------------- the kinds: camera


def out_of_focus(random, digit):
    ink = place_digit(random, digit, 0.25)
    return camera(random, write(paper(random), ink), blur=random.uniform(4, 8))


def perspective(random, digit):
    picture = write(paper(random), place_digit(random, digit, 0.25, 0.6))
    corners = np.float32([(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)])
    moved = corners + random.uniform(-0.1, 0.1, (4, 2)) * (WIDTH, HEIGHT)
    matrix = cv2.getPerspectiveTransform(corners, moved.astype(np.float32))
    picture = cv2.warpPerspective(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    return camera(random, picture)


def compressed(random, digit):
    picture = write(paper(random), place_digit(random, digit))
    return camera(random, picture, quality=int(random.integers(8, 20)))


def tight_crop(random, digit):
    ink = enlarged(digit, HEIGHT * 0.8)
    margins = random.integers(5, 60, 4)
    ink = np.pad(ink, (margins[:2], margins[2:]))[..., np.newaxis]
    ink = cv2.resize(ink, (round(ink.shape[1] / len(ink) * HEIGHT), HEIGHT))[..., np.newaxis]
    sheet = cv2.resize(paper(random), (ink.shape[1], HEIGHT))
    light = cv2.resize(window_light(random), (ink.shape[1], HEIGHT))[..., np.newaxis]
    return camera(random, write(sheet, ink) * light)


def twelve_megapixels(random, digit):
    picture = write(paper(random), place_digit(random, digit, 0.1, 0.6)) * window_light(random)
    large = cv2.resize(picture, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    return camera(random, large, blur=1.5, noise=0.02)


# ---------------------------------------------------------------- the kinds: company

LEFT_HALF = (0, 0, HEIGHT, round(0.6 * WIDTH))


def beside_a_pen(random, digit):
    picture = write(paper(random), place_digit(random, digit, 0.25, 0.6, LEFT_HALF))
    x = random.uniform(0.72, 0.85) * WIDTH
    start, end = (x, random.uniform(0.05, 0.2) * HEIGHT), (x + random.uniform(-60, 60), 0.9 * HEIGHT)
    start, end = ([round(v) for v in point] for point in (start, end))
    colour = random.uniform(0.05, 0.6, 3).tolist()
    cv2.line(picture, start, end, colour, 40, cv2.LINE_AA)
    cv2.line(picture, start, end, (np.array(colour) + 0.2).tolist(), 10, cv2.LINE_AA)
    return camera(random, picture)


def beside_a_ruler(random, digit):
    picture = write(paper(random), place_digit(random, digit, 0.25, 0.6, LEFT_HALF))
    x = round(random.uniform(0.7, 0.85) * WIDTH)
    picture[:, x : x + 130] = (0.85, 0.75, 0.5)
    for number, y in enumerate(range(5, HEIGHT, 14)):
        picture[y : y + 2, x : x + (50 if number % 10 == 0 else 25)] = 0.2
    return camera(random, picture)


def beside_a_clip(random, digit):
    picture = write(paper(random), place_digit(random, digit, 0.25, 0.6, LEFT_HALF))
    x, y = round(0.75 * WIDTH), round(random.uniform(0.2, 0.5) * HEIGHT)
    for inset in (0, 12):
        box = [x + inset, y + 2 * inset], [x + 60 - inset, y + 190 - inset]
        for start, end in zip(
            [box[0], (box[1][0], box[0][1]), box[1]],
            [(box[1][0], box[0][1]), box[1], (box[0][0], box[1][1])],
        ):
            cv2.line(picture, start, end, (0.45, 0.45, 0.48), 5, cv2.LINE_AA)
    return camera(random, picture)


def beside_a_thumb(random, digit):
    picture = write(paper(random), place_digit(random, digit, 0.25, 0.6, LEFT_HALF))
    shape = np.zeros((HEIGHT, WIDTH), np.float32)
    centre = WIDTH - 40, round(random.uniform(0.3, 0.7) * HEIGHT)
    cv2.ellipse(shape, centre, (190, 85), random.uniform(-20, 20), 0, 360, 1.0, -1, cv2.LINE_AA)
    shadow = cv2.GaussianBlur(np.roll(shape, (15, -15), (0, 1)), (0, 0), 15)[..., np.newaxis]
    return camera(random, write(picture * (1 - 0.4 * shadow), shape[..., np.newaxis], (0.8, 0.6, 0.5)))


KINDS = [
    *(plain, lamp, window, sharp_shadow, frame_shadow, soft_shadow, hand_shadow, vignette),
    *(glare, low_light, ruled, ruled_turned, ruled_margin, ruled_lamp, squared),
    *(squared_turned, squared_window, squared_small, squared_dark, coloured_paper, crumpled, dusty),
    *(sheet_on_dark_desk, sheet_on_light_desk, tilted_sheet, note_on_dark_desk),
    *(note_on_light_desk, edge_in_view, corner_in_view),
    *(pencil, pencil_lamp, fine_pen, ball_pen, marker, dry_pen, chalk, coloured_ink),
    *(out_of_focus, perspective, compressed, tight_crop, twelve_megapixels),
    *(beside_a_pen, beside_a_ruler, beside_a_clip, beside_a_thumb),
]

# ---------------------------------------------------------------- no digit, or several

BLANK = np.zeros((28, 28), np.uint8)
BLANK[14, 14] = 1  # enlarged, it is too pale to be seen


def noise(random, digit):
    picture = np.full((HEIGHT, WIDTH, 3), random.uniform(0.2, 0.8), np.float32)
    return camera(random, picture, blur=0.3, noise=random.uniform(0.02, 0.2))


def dark_desk(random, digit):
    return camera(random, desk(random, True))


def light_desk(random, digit):
    return camera(random, desk(random, False))


# Each is made with BLANK in the place of a digit.
EMPTY_KINDS = [
    *(plain, lamp, window, vignette, low_light, ruled, ruled_turned, squared, squared_turned),
    *(squared_dark, crumpled, sheet_on_dark_desk, sheet_on_light_desk, tilted_sheet),
    *(note_on_dark_desk, edge_in_view, noise, dark_desk, light_desk),
]


def several(random, digits):
    """Two or three digits side by side on a sheet, as in a number."""
    height = random.uniform(0.25, 0.5) * HEIGHT
    inks = [enlarged(digit, height * random.uniform(0.9, 1.1)) for digit in digits]
    sheet, x = paper(random), random.integers(30, 60)
    top = random.integers(20, int(HEIGHT - 1.3 * height))
    ink = np.zeros((HEIGHT, WIDTH + 800, 1), np.float32)
    for part in inks:
        ink[top : top + len(part), x : x + part.shape[1], 0] = part
        x += part.shape[1] + round(height * random.uniform(0.05, 0.25))
    return camera(random, write(sheet, ink[:, :WIDTH]))


# ---------------------------------------------------------------- reading them


def read(model, photograph):
    """Read a photograph, the bytes of a file; answers the digit, or None, and whether it is alone."""
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(photograph)
        file.flush()
        try:
            picture, alone = predict_model.find_digit(predict_model.open_image(file.name))
        except train_model.InputError:
            return None, True
    return int(predict_model.predict(model, picture[np.newaxis]).argmax()), alone


def legible_digits(model, source):
    """Digits of a test set that the network reads when they are fed directly; images, labels."""
    images, labels, data = train_model.load_digits(source, "test")
    right = predict_model.predict(model, images).argmax(axis=1) == labels
    print(f"{data}: {right.sum():,} of {len(labels):,} digits are read when fed directly\n")
    return images[right], labels[right]


def contact_sheet(cells):
    """Lay out pictures, JPEG bytes with a text each, eight in a row; answers an RGB array."""
    tiles = []
    for photograph, text in cells:
        picture = cv2.imdecode(np.frombuffer(photograph, np.uint8), cv2.IMREAD_COLOR_RGB)
        scale = min(150 / picture.shape[1], 113 / picture.shape[0])
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((133, 154, 3), 255, np.uint8)
        tile[2 : 2 + picture.shape[0], 2 : 2 + picture.shape[1]] = picture
        place = (3, 128)
        cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 8)
    return np.vstack([np.hstack(tiles[first : first + 8]) for first in range(0, len(tiles), 8)])


def main():
    parser = train_model.make_parser("Read simulated photographs of the digits of a test set.")
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--count", metavar="N", type=int, default=20, help="pictures of each kind")
    parser.add_argument("--seed", metavar="N", type=int, default=0)
    parser.add_argument("--save", metavar="DIR", help="keep the pictures in this folder")
    parser.add_argument("--sheet", metavar="FILE", help="where to save a contact sheet, PNG")
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    images, labels = legible_digits(model, arguments.data)
    shares, cells = [], []
    for number, kind in enumerate([*KINDS, *EMPTY_KINDS, several]):
        random, right, name = np.random.default_rng([arguments.seed, number]), 0, kind.__name__
        for index in range(arguments.count):
            chosen = random.integers(len(images), size=3)
            digit, label = images[chosen[0]], labels[chosen[0]]
            if kind is several:
                digit = images[chosen[: random.integers(2, 4)]]
            elif number >= len(KINDS):
                digit, label = BLANK, None
            photograph = kind(random, digit)
            answer, alone = read(model, photograph)
            right += not alone if kind is several else answer == label
            if arguments.save:
                folder = Path(arguments.save, f"empty_{name}" if label is None else name)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{label}_{index}.jpg").write_bytes(photograph)
            if index == 0 and number < len(KINDS):
                cells.append((photograph, f"{answer}  {name}".replace("_", " ")))
        shares.append(right / arguments.count)
        heading = "no digit, " if len(KINDS) <= number < len(KINDS) + len(EMPTY_KINDS) else ""
        print(f"{heading + name.replace('_', ' '):<32}{shares[-1]:8.1%}", flush=True)
    digits, empty = shares[: len(KINDS)], shares[len(KINDS) : -1]
    print(f"\n{len(digits)} kinds with a digit: {np.mean(digits):.2%} read, worst {min(digits):.1%}")
    print(f"{len(empty)} kinds without: {np.mean(empty):.2%} told so, worst {min(empty):.1%}")
    if arguments.sheet:
        Image.fromarray(contact_sheet(cells)).quantize(200).save(arguments.sheet)


if __name__ == "__main__":
    with train_model.run_as_script():
        main()
