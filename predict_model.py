"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first scores the network of `train_model.py` on MNIST's test set, and plots its
mistakes. The second prints the digits in each image, and plots what the network saw.

Importing this file does what importing `train_model.py` does, puts this folder on
`sys.path`, and has Pillow open the photographs of today's phones: HEIC, and 200
million pixels.
"""

import contextlib
import csv
import io
import itertools
import math
import os
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out.

# First, as it sets Keras up.
from train_model import (
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    as_mnist,
    drawable,
    load_digits,
    make_parser,
    new_plot,
    predict,
    print_message,
    print_result,
    run_as_script,
    save_plot,
)

# isort: split
import cv2
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from matplotlib.widgets import LassoSelector
from PIL import Image, ImageOps

try:
    import pi_heif
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install -r requirements.txt")

Image.init()  # Pillow's own readers go first: pi_heif takes AVIF for HEIC, and cannot read it.
pi_heif.register_heif_opener()  # the photographs of iPhones
Image.MAX_IMAGE_PIXELS = 250_000_000  # Phones take 200 million; Pillow refuses twice as many.

COLUMNS = "path row place digit confidence doubt p0 p1 p2 p3 p4 p5 p6 p7 p8 p9"  # of --csv
CERTAIN = 0.8  # A digit with less confidence is reported as uncertain.
MOST_PLOTTED = 60  # images; more are too small to see
BATCH = 16  # images that the network reads at once: each call takes a millisecond to start


# ---------------------------------------------------------------- the command line


def main():
    """Score the test set, read images, or open the window to draw in; returns the exit status."""
    arguments = parse_arguments()
    model = load_model(arguments.model)
    status = 0
    if arguments.draw:
        draw_window(model)
    elif arguments.images:
        status = read_images(model, arguments)
    else:
        test_set = load_digits(arguments.data, "test")
        report_scores(model, *test_set, f"{arguments.plots}/")
    plt.show()
    return status


def parse_arguments():
    """Parse the command line of predict_model.py."""
    parser, inputs = make_parser("Score a trained network on test images, or read images.")
    add = inputs.add_argument
    add("images", metavar="IMAGE", nargs="*", default=[], help="image files or folders to read")
    add("--draw", action="store_true", help="open a window to draw digits in, which are read")
    add = parser.add_argument
    add("--model", metavar="FILE", default=MODEL_FILE, help="the network of train_model.py")
    add("--csv", metavar="FILE", help="a table to write, a row for each digit in the images")
    arguments = parser.parse_args()
    # With another ending it might replace an image, as in --csv *.png.
    if arguments.csv and not (arguments.images and arguments.csv.endswith(".csv")):
        parser.error("argument --csv: it needs images to read, and a name that ends in .csv")
    backend = plt.get_backend().lower().split("_")[-1]  # a notebook's ends in "backend_inline"
    if arguments.draw and backend in ("agg", "cairo", "inline", "pdf", "pgf", "ps", "svg"):
        raise InputError(
            "--draw: there is no display for its window; to draw in a browser,"
            " pip install tornado, and set MPLBACKEND=webagg"
        )
    return arguments


def read_images(model, arguments):
    """Read images, and score them if all lie in folders 0 to 9; returns the exit status."""
    if arguments.csv:
        # Where it cannot be written, that is said before the work.
        open(arguments.csv, "a").close()
    results, plotted = [], []
    remaining = pages(arguments.images)
    while batch := list(itertools.islice(remaining, BATCH)):
        for name, image, readings in read_batch(model, batch):
            results.append((name, readings))
            if readings and len(plotted) < MOST_PLOTTED:
                plotted.append((name, readings, image))
    if arguments.csv:
        write_table(arguments.csv, results)
    if plotted:
        save_plot(plot_readings(plotted), f"{arguments.plots}/own_digits.png")
    score_labelled(model, results, f"{arguments.plots}/own_")
    return 0 if all(readings for _, readings in results) else 1


def read_batch(model, batch):
    """Read some pages, and print what is read; yields the name, image and Readings of each."""
    found = [find_in_page(path, page) for _, path, page in batch]
    recognise(model, [digit for _, digits, _ in found for digit in digits])
    for (name, _, _), (image, digits, error) in zip(batch, found):
        readings = []
        try:
            if error:
                raise error
            readings = judge(digits)
            print(name, *describe(readings), *list_doubts(readings), sep="\t")
        except InputError as problem:
            print_message("error", f"{name}: {problem}")
        yield name, image, readings


def find_in_page(path, page):
    """Find the digits of a page; returns its image, the digits, and None or an error."""
    try:
        image, _ = as_image(path, page)
        return image, find_digits(image), None
    except InputError as error:
        return None, [], error


def write_table(path, results):
    """Write a CSV file with a row for each digit of the results of read_images."""
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS.split())
        for name, readings in results:
            for it in readings:
                digit = it.row, it.place, it.digit, it.confidence, it.doubt
                table.writerow([name, *digit, *it.probabilities])
    print_result("table saved as", path)


def score_labelled(model, results, plots):
    """Score images that all lie in folders 0 to 9: right is one read as just that digit."""
    pictures, labels = [], []
    for name, readings in results:
        folder = Path(name).absolute().parent
        if folder.name not in list("0123456789") or folder.parent.name.isdecimal():
            return  # It is no digit's, or the day of a date, as in 2026/1/5.
        if len(readings) == 1:
            pictures.append(readings[0].picture)
            labels.append(int(folder.name))
    if labels:
        unread = len(results) - len(labels)
        report_scores(model, np.array(pictures), np.array(labels), "images", plots, unread)


# ---------------------------------------------------------------- files of images

# The files that are read in a folder.
IMAGE_ENDINGS = (
    ".jpg .jpeg .jpe .jfif .mpo .jp2 .heic .heif .hif .avif .webp"
    " .png .gif .bmp .tga .tif .tiff .pbm .pgm .ppm .pnm"
)


def pages(paths):
    """Yield name, path and page of each image at or below the paths; a TIFF may have many."""
    for path in map(Path, paths):
        for file in [*files_below(path, set())] or [path]:
            count = count_pages(file) if file.suffix.lower() in (".tif", ".tiff") else 1
            for page in range(count):
                yield f"{file}[{page + 1}]" if count > 1 else str(file), file, page


def count_pages(path):
    """Count the pages of a TIFF, with the first one that cannot be opened, so that it is named."""
    count = 0
    try:
        with Image.open(path) as tiff:
            while True:
                tiff.seek(count)
                count += 1
    except EOFError:
        return count
    except Exception:  # of nearly any kind
        return count + 1


def files_below(folder, seen):
    """Yield the images in a folder and in those below it, by name; a linked folder only once."""
    if not folder.is_dir() or folder.resolve() in seen:
        return
    if not os.access(folder, os.R_OK | os.X_OK):
        yield folder
        return
    seen.add(folder.resolve())
    for path in sorted(folder.iterdir()):
        if path.name[0] == "." or path.name == "plots":  # hidden, or where plots are by default
            continue
        if path.is_dir():
            yield from files_below(path, seen)
        elif path.suffix.lower() in IMAGE_ENDINGS.split():
            yield path


def as_image(source, page=0):
    """Make an upright RGBA image, at most SIDE large, of what predict_digits is given.

    Returns it, and its width and height in pixels before. Raises InputError if it is no image.
    """
    try:
        if isinstance(source, str | os.PathLike):
            if os.path.isdir(source):
                raise ValueError("a folder without images, or one that you may not read")
            # A TIFF that is tagged as turned is scrambled by Pillow if it is opened by name.
            source = io.BytesIO(Path(source).read_bytes())
        if hasattr(source, "read"):
            image = Image.open(source)
            if page:  # Else as it opens: at the main image of a HEIC; a PSD has no page 0.
                image.seek(page)
        elif isinstance(source, Image.Image):
            image = source.copy()
        else:
            image = Image.fromarray(as_bytes(source))
        width, height = image.size
        if 0 in image.size:
            raise ValueError("it has no pixels")
        image.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        image = ImageOps.exif_transpose(image)
        across, down = image.info.pop("dpi", (1, 1))
        if (width > height) != (image.width > image.height):  # It was turned.
            width, height, across, down = height, width, down, across
        if image.mode[0] in "FI":  # floats, and integers of more than 8 bits
            image = Image.fromarray(as_bytes(image))
        image = image.convert("RGBA")
        least, most = image.getchannel("A").getextrema()
        if least == most:  # An alpha that is the same everywhere says nothing, even if it is 0.
            image.putalpha(255)
        if down / 3 < across < down * 3:  # Pixels of a fax are not square; more is a mistake.
            image = image.resize((image.width, round(image.height * across / down)))
        image.thumbnail((SIDE, SIDE), Image.BILINEAR)
        return image, (width, height)
    # What is no image, or a damaged one, can raise nearly anything in NumPy and Pillow.
    except Exception as error:
        reason = textwrap.shorten(str(error).split(" <")[0], 200)  # without Pillow's addresses
        reason = getattr(error, "strerror", None) or f"not an image that can be read ({reason})"
        raise InputError(reason) from error


def as_bytes(values):
    """Make a picture, uint8 (h, w) or (h, w, channels); any other type is scaled by its range."""
    values = np.squeeze(values)
    if values.ndim == 1:  # a row of a table
        values = values.reshape(IMAGE_SHAPE)
    if values.dtype != np.uint8:
        values = np.nan_to_num(np.float32(values))
        values = np.interp(values, (values.min(), values.max()), (0, 255)).astype(np.uint8)
    return values


# ---------------------------------------------------------------- reading the digits of an image

SURE = 0.99  # confidence: a wide digit of more is one
WIDE = 1  # widths by height: a digit that is wider is perhaps two
SLANT = 0.4  # widths by height: a straight line that slants more is perhaps a slash
STRAIGHT = 0.25  # widths by length of a straight line
ALIKE = 0.05  # heights: ones that differ less are perhaps bars; a hand's differ more
GAP = 1.1  # heights: a wider gap, in which a digit would fit, is between two numbers
ROW = 0.7  # heights: so far a digit may stand above or below the one before it in its row


@dataclass
class Reading:
    """A digit of an image, and how the network reads it."""

    picture: np.ndarray  # as MNIST's are: uint8 (28, 28), 0 (background) to 255 (ink)
    box: tuple  # left, top, width, height; from predict_digits in pixels of the image as given
    score: float  # how clearly it stands out
    doubt: str  # what is uncertain about it, or ""
    probabilities: np.ndarray = None  # float32 (10,), once the network has read it
    row: int = 1  # 1 is the top one
    place: int = 1  # in its row, 1 is the left one

    @property
    def digit(self):
        """The most probable digit, an int."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self):
        """Its probability, from 0 to 1."""
        return float(self.probabilities.max())


def predict_digit(model, image):
    """Read the digit in one image; of several, the one that stands out most.

    Args:
        model: The network, from load_model.
        image: As for predict_digits.

    Returns:
        The digit, an int, and the probabilities, float32 (10,).

    Raises:
        InputError: It is no image, or no digit was found in it.
    """
    best = max(predict_digits(model, image), key=lambda reading: reading.score)
    return best.digit, best.probabilities


def predict_digits(model, image):
    """Read all digits in one image.

    Args:
        model: The network, from load_model.
        image: The path of an image file, a file object, a PIL image, or an array
            of shape (h, w), (h, w, 3), (h, w, 4) or (784,): uint8 from 0 to 255,
            or of another type, in whatever range.

    Returns:
        A list of Readings, in rows from the top, each from left to right; the number is
        to be trusted only if none has a doubt.

    Raises:
        InputError: It is no image, or no digit was found in it.
    """
    image, size = as_image(image)
    digits = find_digits(image)
    recognise(model, digits)
    readings = judge(digits)
    zoom = np.tile(np.divide(size, image.size), 2)  # to pixels of the image as given
    for it in readings:
        it.box = tuple(np.int32(it.box * zoom).tolist())  # rounded down, so within the image
    return readings


def recognise(model, digits):
    """Give digits the probabilities that the network predicts from their pictures."""
    pictures = [digit.picture for digit in digits]
    for digit, probabilities in zip(digits, predict(model, pictures) if digits else []):
        digit.probabilities = probabilities


def judge(digits):
    """Put digits into rows, with their doubts; raises InputError if of several none is certain."""
    # Several marks of which none is clearly a digit are an object, or crumpled paper.
    if len(digits) > 1 and max(digit.confidence for digit in digits) < CERTAIN:
        raise InputError("no digit found with certainty")
    rows = in_rows(digits)
    for number, row in enumerate(rows, 1):
        for place, it in enumerate(row, 1):
            it.row, it.place, it.doubt = number, place, find_doubt(it, row)
    return [it for row in rows for it in row]


def describe(readings):
    """Return the numbers in an image, a space between two, and the least confidence."""
    text = ""
    for before, reading in zip([readings[0], *readings], readings):
        gap = reading.box[0] - before.box[0] - before.box[2]
        if reading.row > before.row or gap > GAP * max(before.box[3], reading.box[3]):
            text += " "
        text += str(reading.digit)
    return text, f"{min(reading.confidence for reading in readings):.1%}"


def list_doubts(readings):
    """List what is uncertain in one image, a text for each such digit."""
    name = "digit no. {} " if len(readings) > 1 else ""
    return [name.format(count) + it.doubt for count, it in enumerate(readings, 1) if it.doubt]


def find_doubt(reading, row):
    """Say what is uncertain about a digit of a row, or ""."""
    _, _, width, height = reading.box
    if reading.confidence < CERTAIN:
        second = reading.probabilities.argsort()[-2]
        return f"uncertain, perhaps {second} ({reading.probabilities[second]:.1%})"
    if width > WIDE * height and reading.confidence < SURE:
        return "perhaps two digits"
    if len(row) > 1 and reading.digit == 1 and is_slash(reading.picture > 127):
        return "perhaps a slash"
    if reading.digit == 1 and is_bar(reading, row):
        return "perhaps a bar of a form"
    return reading.doubt


def is_slash(is_ink):
    """Tell whether the ink, a mask, is one straight line that slants."""
    points = np.argwhere(is_ink)
    height, width = np.ptp(points, axis=0)
    _, size, _ = cv2.minAreaRect(np.float32(points))
    return width > SLANT * height and min(size) < STRAIGHT * max(size)


def is_bar(reading, row):
    """Tell whether another 1 of the row is as high, and stands as high, as bars of a form do."""
    _, top, _, height = reading.box
    ones = [it.box for it in row if it.digit == 1]
    alike = [box for box in ones if abs(box[1] - top) + abs(box[3] - height) < ALIKE * height]
    return len(alike) > 1  # itself, and another one


def in_rows(readings):
    """Sort digits into rows, from the top, each from left to right; a row may climb or fall."""
    rows = []
    for reading in sorted(readings, key=middle):
        row = min(rows, key=lambda row: climb(row[-1], reading), default=[])
        if row and climb(row[-1], reading) < ROW * max(row[-1].box[3], reading.box[3]):
            row.append(reading)
        else:
            rows.append([reading])
    return sorted(rows, key=lambda row: middle(row[0])[1])


def climb(before, reading):
    """Return how far above or below another digit a digit is."""
    return abs(middle(reading)[1] - middle(before)[1])


def middle(it):
    """Return the middle of the box of a digit or a mark."""
    left, top, width, height = it.box
    return left + width / 2, top + height / 2


# ---------------------------------------------------------------- finding the digits

SIDE = 480  # pixels of an image's longer side; finer detail than this is noise
SMALL = 56  # pixels of the longer side; a smaller image is enlarged
ROOM = 1.5  # widths by height: a small image that is less wide has room for one digit only
RIM = 4  # pixels of paper around a small image, whose ink may reach its sides
BLUR = 0.7  # pixels, a Gaussian's standard deviation: grain and compression are finer than strokes
PAPER = 0.35  # quantile of the pixels that is the paper: half may be ink, as in tight crops
LEVELS = 20, 40, 70, 110, 160  # of ink, from 0 to 255: from a hard pencil to a marker
SOFT = 3  # pixels around a mark: its soft edge

# What makes a mark no stroke of a pen.
LEAST_SCORE = 5000  # pixels of outline times their edge, as 20 x 250: specks have less
THICKEST = 0.28  # of its size: the thickest pens' digits are thinner, objects are not
WIDEST = 2.5  # widths by height: a digit is less wide, the bar of a 5 is wider
LINE = 0.4  # of the longer side of the image: a wider mark that is so wide is a line
FRAME = 0.1  # A mark is a frame if one within it has more than this share of its score.

# What makes a mark a digit beside the clearest one, or a part of one.
LEAST_HEIGHT = 0.35  # of its height: what is lower is no digit of the same writing
TALLEST = 1.4  # of its height, with its parts; of its width, a part, as the bar of a 5


class Mark(NamedTuple):
    """A connected part of the ink, cut at a level."""

    box: tuple  # left, top, width, height in pixels
    score: float  # how much sharp outline it has: the change of brightness, summed along it
    edge: float  # the mean change of brightness along it, 0 to 255
    ink: np.ndarray  # uint8 (h, w), of the whole image
    mark_at: np.ndarray  # the number of the mark that each pixel belongs to, int (h, w)
    number: int  # this mark's


def find_digits(image):
    """Find the digits in an RGBA image, dark on light or light on dark.

    All marks of ink, cut at all levels, compete; of those that overlap the clearest one stays.
    Returns Readings without probabilities, their boxes in pixels of this image, of one digit only
    where there is room for no more; raises InputError where there is no digit.
    """
    pixels, scale, rim = enlarge(np.asarray(image.convert("RGBa")))  # times the alpha
    only_one = scale > 1 and image.width < ROOM * image.height
    options = []
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    # How dark it is, and how light; what is transparent is neither.
    for channels in (alpha - colours, colours):
        marks = compete(marks_in(*extract_ink(channels)))
        options.append(([marks], []) if only_one and marks else group(marks))
    digits, beside = max(options, key=lambda option: sum(parts[0].score for parts in option[0]))
    if not digits:
        raise InputError("no digit found")
    digits = [as_digit(parts) for parts in digits]
    for digit in digits:
        digit.doubt = digit.doubt or find_missing(digit, beside)
        corners = np.reshape(digit.box, (2, 2)).cumsum(axis=0) - rim
        first, last = (corners / scale).clip(0, image.size)
        digit.box = np.ravel([first, last - first])
    return digits


def enlarge(pixels):
    """Enlarge a small image with a rim around it; returns it, how much larger, and the rim."""
    scale = math.ceil(SMALL / max(pixels.shape))
    if scale == 1:
        return pixels, 1, 0
    rim = RIM * scale
    paper = np.median(pixels, axis=(0, 1)).tolist()  # what most of an image has
    pixels = pixels.repeat(scale, 0).repeat(scale, 1)
    pixels = cv2.copyMakeBorder(pixels, *[rim] * 4, cv2.BORDER_CONSTANT, value=paper)
    return pixels, scale, rim


def extract_ink(channels):
    """Make a picture of the ink, and one of the edges, both uint8 (h, w), of channels (h, w, 3).

    Ink is what is above the paper in any channel.
    """
    channels = cv2.GaussianBlur(channels, (0, 0), BLUR)
    edges = cv2.morphologyEx(channels, cv2.MORPH_GRADIENT, np.ones((5, 5)))
    rank = int(PAPER * channels[..., 0].size)
    inks = []
    for channel in cv2.split(channels):
        paper = np.partition(channel, rank, axis=None)[rank]
        inks.append(channel - np.minimum(channel, paper))
    return np.max(inks, axis=0), np.max(cv2.split(edges), axis=0)


def marks_in(ink, edges):
    """List the marks of a picture of ink, cut at each level, that may be strokes of a pen."""
    marks = []
    for level in LEVELS:
        if level >= ink.max():
            break
        mask = np.uint8(ink > level)
        count, mark_at, stats, _ = cv2.connectedComponentsWithStats(mask)
        outline = cv2.erode(mask, None) < mask
        lengths = np.bincount(mark_at[outline], minlength=count)
        scores = np.bincount(mark_at[outline], edges[outline], count)
        for number in np.flatnonzero(scores > LEAST_SCORE):
            *box, area = stats[number].tolist()
            edge = scores[number] / lengths[number]
            mark = Mark(box, scores[number], edge, ink, mark_at, number)
            if is_stroke(mark, 2 * area / lengths[number]):
                marks.append(mark)
    return marks


def is_stroke(mark, thickness):
    """Tell whether a mark, whose stroke is so many pixels thick, may be of a pen."""
    _, _, width, height = mark.box
    return (
        thickness < THICKEST * max(width, height)
        and width < max(WIDEST * height, LINE * max(mark.ink.shape))
        and sides(mark) < 2  # else it is at a corner of the image, or goes across it
    )


def sides(mark):
    """Count the sides of the image that a mark touches."""
    left, top, width, height = mark.box
    high, wide = mark.ink.shape
    return (left == 0) + (top == 0) + (left + width == wide) + (top + height == high)


def compete(marks):
    """Return the marks with the most and sharpest outline, without overlaps and frames."""
    kept = []
    for mark in sorted(marks, key=lambda mark: mark.score * mark.edge, reverse=True):
        is_new = not any(covers(mark, other) or covers(other, mark) for other in kept)
        if is_new and not is_frame(mark, marks):
            kept.append(mark)
    return kept


def covers(mark, other):
    """Tell whether the middle of another mark is in the box of a mark."""
    left, top, width, height = mark.box
    x, y = middle(other)
    return left < x < left + width and top < y < top + height


def is_frame(mark, marks):
    """Tell whether a mark is a frame, box or circle: within it lies more than the slash of a 0."""
    return any(
        other.score > FRAME * mark.score
        and is_within(other, mark)
        and not is_slash(other.mark_at == other.number)
        for other in marks
    )


def is_within(mark, frame):
    """Tell whether a mark lies in the box of another one, and is other ink."""
    left, top, width, height = mark.box
    frame_left, frame_top, frame_width, frame_height = frame.box
    return (
        frame_left < left < left + width < frame_left + frame_width
        and frame_top < top < top + height < frame_top + frame_height
        and frame.number not in frame.mark_at[mark.mark_at == mark.number]
    )


def group(marks):
    """Group marks, the best first, into digits, lists of their parts; returns them and the rest."""
    digits, beside = [], []
    for mark in marks:
        tall = marks[0].box[3]  # the height of the clearest mark
        whole = next((parts for parts in digits if belongs(mark, parts[0], tall)), None)
        if whole:
            whole.append(mark)
        elif mark.box[3] > max(LEAST_HEIGHT * tall, mark.box[2] / WIDEST):
            digits.append([mark])
        else:
            beside.append(mark)
    return digits, beside


def belongs(mark, digit, tall):
    """Tell whether a mark is a part of a digit, above or below it, where digits are so tall."""
    (x, y), (digit_x, digit_y) = middle(mark), middle(digit)
    together = abs(y - digit_y) + (mark.box[3] + digit.box[3]) / 2
    return (
        abs(x - digit_x) < digit.box[2] / 2
        and mark.box[2] < TALLEST * digit.box[2]
        and together < TALLEST * tall
    )


def as_digit(parts):
    """Make a Reading of a mark and its parts, with the soft edges of the strokes."""
    best = parts[0]
    mask = np.uint8(np.any([part.mark_at == part.number for part in parts], axis=0))
    mask = cv2.dilate(mask, None, iterations=SOFT)
    left, top, width, height = box = cv2.boundingRect(mask)
    window = np.s_[top : top + height, left : left + width]
    picture = as_mnist(best.ink[window] * mask[window])
    return Reading(picture, box, best.score, "perhaps cut off" if sides(best) else "")


def find_missing(digit, beside):
    """Say whether a mark beside a digit, which is not read, may be a digit, or ""."""
    x, y = middle(digit)
    for mark in beside:
        mark_x, mark_y = middle(mark)
        if abs(mark_y - y) < digit.box[3]:
            return f"perhaps a digit is missing {'after' if mark_x > x else 'before'} it"
    return ""


# ---------------------------------------------------------------- the network and its scores


def load_model(path):
    """Load a trained network, running no code that the file may hold.

    Args:
        path: A `.keras` or `.h5` file.

    Returns:
        A keras.Model from images (n, 28, 28, 1), (n, 28, 28) or (n, 784), 0
        (background) to 1 (ink), to probabilities (n, 10).

    Raises:
        InputError: The file is missing or damaged, or holds another network.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: there is no such file; train_model.py makes it")
    try:
        model = keras.saving.load_model(path, compile=False)
        (outputs,) = predict(model, np.zeros((1, *IMAGE_SHAPE), np.uint8))
        if len(outputs) != CLASSES or not math.isclose(outputs.sum(), 1, abs_tol=1e-3):
            raise ValueError("its outputs are no ten probabilities")
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        raise InputError(
            f"{path}: Keras {keras.__version__} cannot use it: {textwrap.shorten(str(error), 200)};"
            " wanted is a network from 28x28 pixels to ten probabilities, by a softmax, that Keras"
            " saved as .keras or, in HDF5, as .h5 (rename it, or save it again)"
        ) from error
    return model


def report_scores(model, images, labels, data, plots, unread=0):
    """Print and plot how well images as MNIST's are read; `plots` begins the paths of the plots.

    `unread` more images were not read as one digit: of accuracy and mistakes they count as wrong,
    and of nothing else.
    """
    probabilities = predict(model, images)
    predicted = probabilities.argmax(axis=1)
    confusion = tf.math.confusion_matrix(labels, predicted, CLASSES).numpy()
    wrong = predicted != labels
    mistakes, total = wrong.sum() + unread, len(labels) + unread
    loss = np.mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities))
    print_result("network", model.name)
    print_result("data", data)
    print_result("accuracy", f"{1 - mistakes / total:.2%} of {total:,} images")
    print_result("loss", f"{loss:.4f}")
    print_result("calibration error", f"{calibration_error(labels, probabilities):.2%}")
    print_result("misclassified", f"{mistakes:,}")
    if unread:
        print_result("unread", f"{unread:,} not read as one digit, counted as wrong")
    print_classification_report(confusion)
    print(f"\nconfusion matrix, a row a true digit, a column a predicted one\n{confusion}\n")
    title = f"{data}: {mistakes:,} of {total:,} misclassified"
    figure = plot_mistakes(title, images[wrong], labels[wrong], probabilities[wrong])
    save_plot(figure, f"{plots}misclassified.png")
    save_plot(plot_confusion(title, confusion), f"{plots}confusion_matrix.png")


def calibration_error(labels, probabilities):
    """Compute the expected calibration error of probabilities (n, 10), from 0 to 1.

    It is the mean distance between accuracy and confidence in ten bins of confidence, weighted by
    their images (Guo and others, "On calibration of modern neural networks", ICML 2017).
    """
    confidences = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    distances, _ = np.histogram(confidences, 10, (0, 1), weights=confidences - right)
    return abs(distances).sum() / len(labels)


def print_classification_report(confusion):
    """Print precision, recall, F1 score and support (how many there are) of each digit."""
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    # Where a digit was never predicted its precision counts as 0.
    counts = np.maximum([predicted, support, (predicted + support) / 2], 1)
    scores = np.diag(confusion) / counts
    print("\n  digit  precision     recall   f1-score    support")
    for row in zip(range(CLASSES), *scores, support):
        print("{:>7}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format(*row))


# ---------------------------------------------------------------- plots

PLACE = 32, 40  # width and height of a picture's place in a plot, in pixels of MNIST's images


def plot_mistakes(title, pictures, labels, probabilities):
    """Plot mistakes, the most confident first, and no more than can be seen; returns the figure."""
    confidences = probabilities.max(axis=1)
    shown = np.argsort(-confidences)[:MOST_PLOTTED]
    title = f"{title}; the most confident mistakes first"
    axis, places = new_grid(title, len(shown), 10)
    for place, i in zip(places, shown):
        read = f"read {probabilities[i].argmax()} ({confidences[i]:.1%})"
        show_picture(axis, pictures[i], f"true {labels[i]}\n{read}", *place)
    return axis.figure


def plot_confusion(title, confusion):
    """Plot a confusion matrix, int (10, 10); returns the figure."""
    figure = new_plot(title, 7, 6)
    axis = figure.gca()
    digits = range(CLASSES)
    # Logarithms, as the diagonal is a thousand times the rest.
    axis.pcolormesh(digits, digits, np.log1p(confusion), cmap="Oranges", alpha=0.7)
    for (true, predicted), count in np.ndenumerate(confusion):
        axis.text(predicted, true, count or "", ha="center", va="center")
    axis.set(xlabel="predicted digit", ylabel="true digit", xticks=digits, yticks=digits)
    axis.set(ylim=(CLASSES - 0.5, -0.5), aspect="equal")
    return figure


def plot_readings(results):
    """Plot images, with a box at each digit, beside what the network saw; returns the figure."""
    title = "Images, and what the network saw of them"
    axis, places = new_grid(title, 2 * len(results), 2 * math.ceil(len(results) ** 0.5))
    for (name, readings, image), given, seen in zip(results, places[::2], places[1::2]):
        large = IMAGE_SHAPE[0] / max(image.size)
        small = 1 / max(readings[-1].row, *(it.place for it in readings))
        show_picture(axis, image, end_of(name), *given, large)
        text = end_of(" ".join(describe(readings)))
        for it in readings:
            left, top, width, height = it.box * large + (*given, 0, 0)
            colour = "red" if it.doubt else "tab:blue"
            axis.add_patch(plt.Rectangle((left, top), width, height, fill=False, color=colour))
            axis.text(left, top + height, it.digit, color=colour, fontsize="small", va="top")
            left, top = np.array((it.place - 1, it.row - 1)) * small * IMAGE_SHAPE + seen
            show_picture(axis, it.picture, text if it is readings[0] else "", left, top, small)
    return axis.figure


def end_of(text):
    """Return the end of a text, as much of it as stands above a picture."""
    return text if len(text) < 16 else f"\N{HORIZONTAL ELLIPSIS}{text[-14:]}"


def new_grid(title, count, columns):
    """Make a figure with room for so many pictures; returns its axis, and where they begin."""
    rows = max(1, math.ceil(count / columns))
    figure = new_plot(title, max(5, 1.2 * columns), 1.5 * rows + 0.5)
    axis = figure.gca()
    width, height = PLACE
    axis.set(xlim=(0, columns * width), ylim=((rows - 0.3) * height, -0.3 * height), aspect="equal")
    axis.axis("off")
    return axis, [(cell % columns * width, cell // columns * height) for cell in range(count)]


def show_picture(axis, picture, text, left=0, top=0, pixel=1):
    """Show a picture, uint8 (h, w), or a PIL image, below a text; returns Matplotlib's image.

    Its top left corner is at a place of the axis, and its pixels are so large there.
    """
    height, width = np.shape(picture)[:2]
    extent = left, left + pixel * width, top + pixel * height, top
    axis.text(left, top, drawable(text), fontsize="small", va="bottom", parse_math=False)
    axis.set(xticks=[], yticks=[])
    return axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent)


# ---------------------------------------------------------------- the window to draw in

SHEET = (280, 420)  # pixels of the sheet to draw on, with room for three digits side by side
PEN = 18  # pixels of the stroke: a felt pen's, on such a sheet


def draw_window(model):
    """Make a window to draw digits in; returns the figure, which `plt.show()` runs."""
    plt.rcParams.update({"toolbar": "None", "keymap.quit": "escape"})  # run_as_script restores them
    figure = new_plot("Draw digits", 11, 4, 1, 3)
    figure.set_layout_engine(None)  # To lay out anew would take longer than to draw.
    figure.subplots_adjust(left=0.05, right=0.97)  # A pixel of the sheet is half a point large.
    left, centre, right = figure.axes
    sheet = np.full(SHEET, 255, np.uint8)
    drawn = show_picture(left, sheet, "draw here")

    def read():
        """Read the sheet, and show its number, and what its last digit is."""
        drawn.set_data(sheet)
        centre.clear()
        centre.axis("off")
        right.clear()
        right.set(ylim=(0, 1), xticks=range(CLASSES))
        with contextlib.suppress(InputError):  # An empty sheet has no digit.
            readings = predict_digits(model, sheet)
            last = readings[-1]
            show_picture(centre, last.picture, "the last digit, as the network sees it")
            right.bar(range(CLASSES), last.probabilities)
            said = [" ".join(describe(readings)), *list_doubts(readings)[:1]]
            right.set_title("\n".join(said), fontsize="medium")
        figure.canvas.draw_idle()

    def add_stroke(places):
        cv2.polylines(sheet, [np.int32(places)], False, 0, PEN, cv2.LINE_AA)
        read()

    def clear(event):
        sheet[:] = 255
        read()

    read()
    pen = LassoSelector(left, add_stroke, props={"color": "black", "linewidth": PEN / 2})
    clear_button = plt.Button(figure.add_axes((0.05, 0.05, 0.1, 0.08)), "Clear")
    clear_button.on_clicked(clear)
    save_button = plt.Button(figure.add_axes((0.17, 0.05, 0.1, 0.08)), "Save")
    save_button.on_clicked(lambda event: save_sheet(sheet))
    figure.widgets = pen, clear_button, save_button  # Matplotlib drops what nobody keeps.
    return figure


def save_sheet(sheet):
    """Save a sheet under the time as its name."""
    path = time.strftime("drawn_%Y-%m-%d_%H-%M-%S.png")
    try:
        Image.fromarray(sheet).save(path)
        print(f"saved as {path}")
    except OSError as error:
        print_message("error", f"{path}: {error.strerror}")


if __name__ == "__main__":
    run_as_script(main)
