"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first prints the accuracy on MNIST's test set, the classification report
and the confusion matrix, and plots the misclassified digits. The second reads
each image, prints its digits, and plots what the network saw. Train the
network first: `train_model.py`.

Importing this file does what importing `train_model.py` does, and has Pillow
open the photographs of today's phones: HEIC, and 200 million pixels.
"""

import contextlib
import csv
import json
import math
import os
import re
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import NamedTuple

# First, as it sets Keras up.
import train_model
from train_model import (
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    as_input,
    check_writable,
    drawable,
    load_digits,
    make_parser,
    new_plot,
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
import pi_heif
import tensorflow as tf
from PIL import Image, ImageOps

pi_heif.register_heif_opener()  # the photographs of iPhones
Image.MAX_IMAGE_PIXELS = 250_000_000  # Phones take 200 million; Pillow warns of more.

CERTAIN = 0.8  # A digit with less confidence is reported as uncertain.
IMAGE_FILE = r"(?i).*\.(avif|bmp|gif|hei[cf]|jp2|jpe?g|p[bgp]m|png|tga|tiff?|webp)"
# The plots of both scripts, in a folder of images, are not read.
OWN_PLOT = r"training_curves\.png|own_digits\.png|(own_)?(misclassified|confusion_matrix)\.png"


# ---------------------------------------------------------------- prediction and scores


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
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; train_model.py makes it")
    try:
        model = keras.saving.load_model(path, compile=False)
        (probabilities,) = predict(model, NOTHING.picture[np.newaxis])
        adds_up = np.isclose(probabilities.sum(), 1, atol=1e-3)
        if probabilities.shape != (CLASSES,) or probabilities.min() < 0 or not adds_up:
            raise ValueError("its outputs are no ten probabilities")
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        reason = str(error).rpartition("Exception encountered: ")[2]
        raise InputError(
            f"{path}: {saved_by(path)} cannot be used with Keras {keras.__version__}:"
            f" {textwrap.shorten(reason, 300)}; wanted is a network from images of 28x28 pixels"
            " to ten probabilities, by a softmax"
        ) from error
    return model


def saved_by(path):
    """Say which Keras saved a `.keras` file, where that can be told."""
    with contextlib.suppress(Exception), zipfile.ZipFile(path) as file:
        version = json.loads(file.read("metadata.json"))["keras_version"]
        return f"a network saved by Keras {version}"
    return "the file"


def predict(model, images):
    """Predict the digits in images that are as MNIST's.

    Args:
        model: The network, from load_model.
        images: uint8 (n, 28, 28), 0 (background) to 255 (ink).

    Returns:
        Probabilities, float32 (n, 10).
    """
    inputs = as_input(images).reshape(-1, *model.input_shape[1:])
    parts = np.array_split(inputs, len(inputs) // 500 + 1)  # More at a time take much memory.
    return np.concatenate([model.predict_on_batch(part) for part in parts])


class Reading(NamedTuple):
    """A digit of an image, and how the network reads it."""

    picture: np.ndarray  # as MNIST's are: uint8 (28, 28), 0 (background) to 255 (ink)
    box: tuple  # left, top, width, height in pixels of what as_image returns: at most SIDE large
    row: int  # 1 is the top one
    place: int  # in its row, 1 is the left one
    score: float  # how much it is like a digit
    probabilities: np.ndarray = np.zeros(CLASSES, np.float32)  # all 0: not read yet

    @property
    def digit(self):
        """The most probable digit, an int."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self):
        """Its probability, from 0 to 1."""
        return self.probabilities.max()


# An image that was not read as one digit, an empty sheet, a blank input to try a network on.
NOTHING = Reading(np.zeros(IMAGE_SHAPE, np.uint8), None, 1, 1, 0.0)


def predict_digit(model, image):
    """Read the digit in one image; of several, the one that is most like a digit.

    Args:
        model: The network, from load_model.
        image: As for predict_digits.

    Returns:
        The digit, an int, and the probabilities, float32 (10,).

    Raises:
        InputError: It is no image, or there is no digit in it.
    """
    best = max(predict_digits(model, image), key=lambda reading: reading.score)
    return best.digit, best.probabilities


def predict_digits(model, image):
    """Read all digits in one image.

    Args:
        model: The network, from load_model.
        image: The path of an image file, a file object, a PIL image, or an array
            of shape (h, w), (h, w, 3) or (h, w, 4): uint8 from 0 to 255, or of
            another type, in whatever range.

    Returns:
        A list of Readings, in rows from the top, each from left to right.

    Raises:
        InputError: It is no image, or there is no digit in it.
    """
    readings = find_digits(image)
    probabilities = predict(model, np.array([reading.picture for reading in readings]))
    return [reading._replace(probabilities=row) for reading, row in zip(readings, probabilities)]


def describe(readings):
    """Return the number in an image, a space between rows, and the least confidence."""
    parts = [
        f" {reading.digit}" if reading.place == 1 else f"{reading.digit}" for reading in readings
    ]
    return "".join(parts).strip(), f"{min(reading.confidence for reading in readings):.1%}"


def list_doubts(readings):
    """Say which digits of one image are uncertain, and what else they may be."""
    for position, reading in enumerate(readings, 1):
        if reading.confidence < CERTAIN:
            which = f"digit {position} " if len(readings) > 1 else ""
            second = reading.probabilities.argsort()[-2]
            yield f"{which}uncertain, perhaps {second} ({reading.probabilities[second]:.1%})"


def calibration_error(labels, probabilities):
    """Compute the expected calibration error.

    It is the mean distance between accuracy and mean confidence in ten bins of
    confidence, weighted by their images (Guo, Pleiss, Sun and Weinberger, "On
    calibration of modern neural networks", ICML 2017).

    Args:
        labels: The true digits, int (n,).
        probabilities: float (n, 10).

    Returns:
        A float from 0 to 1.
    """
    confidences = probabilities.max(axis=1)
    right = np.float32(probabilities.argmax(axis=1) == labels)
    sums, _ = np.histogram(confidences, 10, (0, 1), weights=confidences - right)
    return abs(sums).sum() / len(labels)


def print_classification_report(confusion, labels):
    """Print precision, recall, F1 score and support of each digit, and their averages.

    Where a digit was never predicted its precision counts as 0. Digits that
    neither occur nor were predicted have no row and no part in the averages. The labels are
    all true digits, also of images that are not in the confusion matrix as they were not read.
    """
    predicted, support = confusion.sum(axis=0), np.bincount(labels, minlength=CLASSES)
    counts = np.maximum([predicted, support, (predicted + support) / 2], 1)
    scores = (np.diag(confusion) / counts).T  # precision, recall, F1 score
    occurring = np.flatnonzero(support + predicted)
    line = "{:>12}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format
    print("\n              precision     recall   f1-score    support")
    for digit in occurring:
        print(line(digit, *scores[digit], support[digit]))
    print(line("macro avg", *scores[occurring].mean(axis=0), len(labels)))
    print(line("weighted avg", *support @ scores / len(labels), len(labels)))


def report_scores(model, data, labels, probabilities, pictures, plots, prefix=""):
    """Print and plot the scores of n images with labels, int (n,), named `data` in words.

    Probabilities, (n, 10), are all 0 for an image that was not read as one digit; pictures
    are what the network saw. The plots' names in the folder `plots` begin with the prefix.
    """
    is_read = probabilities.any(axis=1)
    true, shares = labels[is_read], probabilities[is_read]
    predicted = shares.argmax(axis=1)
    confusion = tf.math.confusion_matrix(true, predicted, CLASSES).numpy()
    mistakes = len(labels) - confusion.trace()
    unread = len(labels) - len(true)
    print_result("network", model.name)
    print_result("data", data)
    print_result("accuracy", f"{1 - mistakes / len(labels):.2%} of {len(labels):,} images")
    if len(true):
        losses = keras.losses.sparse_categorical_crossentropy(true, shares)
        print_result("loss", f"{np.mean(losses):.4f}")
        print_result("calibration error", f"{calibration_error(true, shares):.2%}")
    print_result("misclassified", f"{mistakes:,}")
    if unread:
        print_result("unread", f"{unread:,} not read as one digit, counted as wrong")
    print_classification_report(confusion, labels)
    print(f"\nconfusion matrix, a row a true digit, a column a predicted one\n{confusion}\n")
    title = f"{data}: {mistakes:,} of {len(labels):,} misclassified"
    wrong = predicted != true
    figure = plot_mistakes(pictures[is_read][wrong], true[wrong], shares[wrong], title)
    save_plot(figure, Path(plots, f"{prefix}misclassified.png"), "Misclassified digits")
    figure = plot_confusion(confusion, title)
    save_plot(figure, Path(plots, f"{prefix}confusion_matrix.png"), "Confusion matrix")


# ---------------------------------------------------------------- plots


def plot_mistakes(pictures, labels, probabilities, title):
    """Plot mistakes, the most confident first, and no more than can be seen; returns the figure."""
    confidences = probabilities.max(axis=1)
    shown = np.argsort(-confidences, kind="stable")[:60]
    title += f"; shown: the {len(shown)} most confident mistakes"
    figure = new_grid(len(shown), 10, title)
    for axis, index in zip(figure.axes, shown):
        read = f"read {probabilities[index].argmax()} ({confidences[index]:.1%})"
        show_picture(axis, pictures[index], f"true {labels[index]}\n{read}")
    return figure


def plot_readings(images, total):
    """Plot images, pairs of a path and its Readings, beside what the network saw.

    A box shows where each digit is, a red one an uncertain digit. `total` images were read.
    Returns the figure.
    """
    pairs_a_row = math.ceil(math.sqrt(len(images)))
    title = f"{len(images)} of {total:,} images, as given and as the network saw them"
    figure = new_grid(2 * len(images), 2 * pairs_a_row, title)
    for (path, readings), given, seen in zip(images, figure.axes[::2], figure.axes[1::2]):
        show_picture(given, to_grey(as_image(path)), Path(path).name[-15:])
        number, confidence = describe(readings)
        show_picture(seen, tile(readings), f"{number[-15:]} ({confidence})")
        for reading in readings:
            left, top, width, height = reading.box
            colour = "red" if reading.confidence < CERTAIN else "tab:blue"
            given.add_patch(plt.Rectangle((left, top), width, height, fill=False, color=colour))
            given.text(left, top, reading.digit, color=colour, fontsize="small", va="bottom")
    return figure


def tile(readings):
    """Lay the pictures of an image's digits out in their rows."""
    columns = max(reading.place for reading in readings)
    tiles = np.zeros((readings[-1].row, columns, *IMAGE_SHAPE), np.uint8)
    for reading in readings:
        tiles[reading.row - 1, reading.place - 1] = reading.picture
    return np.block([[*row] for row in tiles])


def new_grid(count, columns, title):
    """Make a figure with so many places for pictures, its axes; returns it."""
    rows = max(1, math.ceil(count / columns))
    figure = new_plot(title, max(5, 1.2 * columns), 1.5 * rows + 0.5, rows, columns)
    for axis in figure.axes:
        axis.axis("off")
    return figure


def show_picture(axis, picture, text):
    """Show a picture, uint8 (h, w), below a text; returns what Matplotlib makes of it."""
    axis.set_title(drawable(text), fontsize="small", parse_math=False)
    axis.set(xticks=[], yticks=[])
    return axis.imshow(picture, cmap="gray", vmin=0, vmax=255)


def plot_confusion(confusion, title):
    """Plot a confusion matrix, int (10, 10); returns the figure."""
    figure = new_plot(title, 7, 6)
    (axis,) = figure.axes
    # By their logarithms, as the diagonal is a thousand times the rest.
    axis.imshow(np.log1p(confusion), cmap="Oranges", alpha=0.7)
    for (true, predicted), count in np.ndenumerate(confusion):
        axis.text(predicted, true, count or "", ha="center", va="center")
    digits = range(CLASSES)
    axis.set(xlabel="predicted digit", ylabel="true digit", xticks=digits, yticks=digits)
    return figure


# ---------------------------------------------------------------- the command line


def parse_arguments():
    """Parse the command line of predict_model.py."""
    parser, inputs = make_parser(
        "Score a trained network on test images, MNIST's by default, or read images of digits."
    )
    inputs.add_argument(
        "images", metavar="IMAGE", nargs="*", default=[], help="image files or folders to read"
    )
    inputs.add_argument(
        "--draw", action="store_true", help="open a window to draw digits in, and read them"
    )
    add = parser.add_argument
    add("--model", metavar="FILE", default=MODEL_FILE, help="the network of train_model.py")
    add("--csv", metavar="FILE", help="a row for each digit that was read; - is standard output")
    arguments = parser.parse_args()
    if arguments.csv and not arguments.images:
        parser.error("argument --csv: it is for images, and there are none")
    if arguments.csv and re.fullmatch(IMAGE_FILE, arguments.csv):
        parser.error(f"argument --csv: {arguments.csv} would replace an image")
    return arguments


def score_test_set(model, arguments):
    """Score the network on the test images of `--data`, and plot its mistakes."""
    images, labels, data = load_digits(arguments.data, "test")
    probabilities = predict(model, images)
    report_scores(model, f"test images of {data}", labels, probabilities, images, arguments.plots)


def read_own_digits(model, arguments):
    """Read the digits in images, and score those in folders 0 to 9; returns the exit status."""
    plot = Path(arguments.plots, "own_digits.png")
    check_writable(plot)
    results = []
    with open_table(arguments.csv) as table:
        writer = csv.writer(table)
        columns = [f"p{digit}" for digit in range(CLASSES)]
        writer.writerow(["path", "row", "place", "digit", "confidence", *columns])
        for path in image_files(arguments.images):
            readings = read_image(model, path)
            results.append((path, readings))
            for reading in readings:
                digit = reading.row, reading.place, reading.digit, reading.confidence
                writer.writerow([path, *digit, *reading.probabilities])
        read = [(path, readings) for path, readings in results if readings]
        if read:
            save_plot(plot_readings(read[:100], len(read)), plot, "Your own digits")
        score_labelled(model, results, arguments.plots)
    return 0 if len(read) == len(results) else 1


def read_image(model, path):
    """Read an image file, and print its digits, or why there are none; returns the Readings."""
    try:
        readings = predict_digits(model, path)
    except InputError as error:
        print_message("error", f"{path}: {error}")
        return []
    print(path, *describe(readings), *list_doubts(readings), sep="\t")
    return readings


def score_labelled(model, results, plots):
    """Score the images in folders 0 to 9, if any: right is one that is read as just that digit."""
    scored = []
    for path, readings in results:
        folder = Path(os.path.abspath(path)).parent.name
        if re.fullmatch("[0-9]", folder):
            reading = readings[0] if len(readings) == 1 else NOTHING
            scored.append((int(folder), reading.probabilities, reading.picture))
    if scored:
        labels, probabilities, pictures = map(np.array, zip(*scored))
        report_scores(model, "images", labels, probabilities, pictures, plots, "own_")


@contextlib.contextmanager
def open_table(path):
    """Open a CSV file to write to, or none; - is standard output, for the table alone."""
    if path == "-":
        table = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):
            yield table
    else:
        path = path or os.devnull
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as table:
            yield table


def main():
    """Score the test set, read images, or open the window to draw in; returns the exit status."""
    arguments = parse_arguments()
    model = load_model(arguments.model)
    status = 0
    if arguments.draw:
        window = draw_window(model)
        if window.canvas.required_interactive_framework is None:
            raise InputError("--draw opens a window, and there is no display for it")
    elif arguments.images:
        status = read_own_digits(model, arguments)
    else:
        score_test_set(model, arguments)
    plt.show()
    return status


# ---------------------------------------------------------------- drawing digits

SHEET = (280, 420)  # pixels of the sheet to draw on, with room for three digits side by side
PEN = 18  # pixels of its stroke: a felt pen's, on such a sheet


def draw_window(model):
    """Make a window to draw digits in, which are read while they are drawn.

    Args:
        model: The network, from load_model.

    Returns:
        The matplotlib.figure.Figure; `plt.show()` runs it where there is a display.
    """
    sheet = np.full(SHEET, 255, np.uint8)
    stroke = []  # the events of the pen since it was set down
    with plt.rc_context({"toolbar": "None"}):
        figure = plt.figure("Draw a digit", figsize=(11, 4), facecolor="lightgrey")
    canvas = figure.canvas
    canvas.mpl_disconnect(canvas.manager.key_press_handler_id)  # Matplotlib's own keys
    left, middle, right = figure.subplots(1, 3, width_ratios=[3, 2, 2])
    right.set(xlim=(0, 1), xticks=[], yticks=range(CLASSES), ylim=(CLASSES, -1))
    drawn = show_picture(left, sheet, "draw here")
    seen = show_picture(middle, NOTHING.picture, "what the network sees")
    heading = right.set_title("")
    bars = right.barh(range(CLASSES), 0)
    changing = [drawn, seen, heading, *bars]
    plt.setp(changing, animated=True)

    def keep_background(event):
        """Copy the window as Matplotlib has drawn it: without what changes."""
        figure.background = canvas.copy_from_bbox(figure.bbox)
        show()

    def show():
        """Draw what changes onto the background, as drawing the whole window takes longer."""
        canvas.restore_region(figure.background)
        for artist in changing:
            figure.draw_artist(artist)
        canvas.blit(figure.bbox)

    def read():
        """Read the sheet, and show its digits, the last of them in the middle and in the bars."""
        text, last = "", NOTHING
        with contextlib.suppress(InputError):  # An empty sheet shows none.
            readings = predict_digits(model, sheet)
            text, last = " ".join(describe(readings)), readings[-1]
        drawn.set_data(sheet)
        seen.set_data(last.picture)
        heading.set_text(text)
        for bar, probability in zip(bars, last.probabilities):
            bar.set_width(probability)
            bar.set_color("tab:orange" if probability == last.confidence else "tab:blue")
        show()

    def press(event):
        if event.button == plt.MouseButton.RIGHT:
            clear(event)
        else:
            stroke.append(event)  # move adds it again: a line between two equal ends is a dot.
            move(event)

    def move(event):
        """Draw from where the pen was to where it is now; leaving the sheet ends the stroke."""
        if stroke and event.inaxes is left:
            stroke.append(event)
            ends = [(round(place.xdata), round(place.ydata)) for place in stroke[-2:]]
            cv2.line(sheet, *ends, 0, PEN, cv2.LINE_AA)
            read()
        else:
            stroke.clear()

    def clear(event):
        sheet[:] = 255
        read()

    def save(event):
        count = 1
        while (path := Path(f"drawn_{count}.png")).exists():
            count += 1
        try:
            Image.fromarray(sheet).save(path)
            print(f"saved as {path}")
        except OSError as error:
            print_message("error", f"{path}: {error.strerror}")

    def key(event):
        match event.key:
            case "backspace":
                clear(event)
            case "s":
                save(event)
            case "escape":
                plt.close(figure)

    canvas.mpl_connect("draw_event", keep_background)
    canvas.mpl_connect("button_press_event", press)
    canvas.mpl_connect("motion_notify_event", move)
    canvas.mpl_connect("button_release_event", lambda event: stroke.clear())
    canvas.mpl_connect("key_press_event", key)
    clear_button = plt.Button(figure.add_axes((0.13, 0.02, 0.1, 0.08)), "Clear")
    clear_button.on_clicked(clear)
    save_button = plt.Button(figure.add_axes((0.25, 0.02, 0.1, 0.08)), "Save")
    save_button.on_clicked(save)
    figure.buttons = clear_button, save_button  # One that nobody keeps does nothing.
    return figure


# ---------------------------------------------------------------- files of images


def image_files(paths):
    """Yield all images below each path, sorted; where there are none, the path itself."""
    for path in paths:
        below = Path(path).rglob("*") if path else []
        images = [
            str(file) for file in below if file.is_file() and is_image(file.relative_to(path))
        ]
        yield from sorted(images) or [path]


def is_image(path):
    """Whether a file below a folder is an image to read, by its name."""
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    own = re.fullmatch(OWN_PLOT, path.name)
    return not hidden and not own and re.fullmatch(IMAGE_FILE, path.name)


def as_image(source):
    """Make an RGBA image, upright, at most SIDE large, of what predict_digits is given.

    Raises InputError if it is no image; of an animation the first one is taken.
    """
    is_path = isinstance(source, str | os.PathLike)
    if is_path and os.path.exists(source) and not os.path.isfile(source):
        raise InputError("not a file, or a folder without images")
    try:
        if is_path or hasattr(source, "read"):
            source = Image.open(source)
            source.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        elif not isinstance(source, Image.Image):
            source = Image.fromarray(as_bytes(source))
        if 0 in source.size:
            raise ValueError("it has no pixels")
        image = ImageOps.exif_transpose(source)
        if image.mode[0] in "FI":  # floats, and integers of more than 8 bits
            image = Image.fromarray(as_bytes(image))
        image = image.convert("RGBA")
        image.thumbnail((SIDE, SIDE), Image.BILINEAR)
        return image
    # What is no image, or a damaged one, can raise nearly anything in NumPy and Pillow.
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"not an image that can be read ({error})"
        raise InputError(reason) from error


def as_bytes(values):
    """Scale an array of any type but uint8 by its own range; returns uint8."""
    values = np.asarray(values).squeeze()
    if values.dtype == np.uint8:
        return values
    values = np.nan_to_num(np.float32(values), posinf=0, neginf=0)
    return np.interp(values, (values.min(), values.max()), (0, 255)).astype(np.uint8)


# ---------------------------------------------------------------- reading an image

SIDE = 480  # pixels of an image's longer side; finer detail than this is noise
SMALL = 60  # pixels of an image's longer side that have room for one digit, and no surroundings
LEVELS = 20, 50, 90, 140  # of ink, from 0 to 255: from a hard pencil to a marker
LEAST_LIGHT = 30  # of 255: ink is compared to the light; on black all noise would be ink
MOST_MARKS = 100  # marks to look at: the digits of a full sheet
LEAST_SCORE = 2_000_000  # Blank sheets and desks stay below it, legible digits above.


class Mark(NamedTuple):
    """A connected part of the ink."""

    score: float  # how much it is like a digit; first, so that marks are sorted by it
    number: int
    x: float  # of its middle, in pixels
    y: float
    width: int
    height: int


def find_digits(image):
    """Find the digits in an image, given as for predict_digits, dark on light or light on dark.

    Returns at least one Reading, not read yet, in rows from the top, each from left to right;
    raises InputError where there is none.
    """
    grey = to_grey(as_image(image))
    grey = cv2.normalize(grey, None, 255, 0, cv2.NORM_INF)  # so dim light costs nothing
    ink, mark_at, found = best_marks(grey)
    found = [mark for mark in found if not surrounds(mark, found)]
    digits = digits_among(found)
    if not digits or digits[0].score < LEAST_SCORE:
        raise InputError("no digit found")
    if max(grey.shape) <= SMALL:
        digits = digits[:1]
        mark_at[mark_at > 0] = digits[0].number
    else:
        join_parts(mark_at, found, digits)
    readings = []
    for row, row_of_marks in enumerate(in_rows(digits), 1):
        for place, mark in enumerate(row_of_marks, 1):
            mask = np.uint8(mark_at == mark.number)
            box = cv2.boundingRect(mask)
            readings.append(Reading(as_mnist(ink, mask), box, row, place, mark.score))
    return readings


def to_grey(image):
    """Convert an image of as_image to grey, uint8 (h, w).

    Of its red, green, blue and alpha it is the channel with the most uneven edges:
    whatever colours ink and paper have, one of these shows them apart.
    """
    return max(cv2.split(np.asarray(image)), key=lambda channel: np.var(steepness(channel)))


def steepness(grey):
    """Return the largest less the smallest brightness of the 5x5 pixels around each, uint8."""
    return cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5)))


def best_marks(grey):
    """Find the marks in the picture of ink whose digits have the highest scores together.

    Returns that picture, uint8 (h, w), the number of the mark at each pixel, int (h, w), and a
    list of the Marks.
    """
    edges = steepness(grey)
    edges = np.maximum(edges - tenth_percentile(edges), 0)  # Noise and grain are no edges.
    pictures = []
    for ink, level in pictures_of_ink(grey):
        _, mark_at, boxes, _ = cv2.connectedComponentsWithStats(np.uint8(ink > level))
        largest = 1 + np.argsort(-boxes[1:, cv2.CC_STAT_AREA])[:MOST_MARKS]
        found = [measure_mark(number, mark_at, boxes[number], grey, edges) for number in largest]
        pictures.append((ink, mark_at, found))
    return max(pictures, key=lambda picture: sum(mark.score for mark in digits_among(picture[-1])))


def pictures_of_ink(grey):
    """Yield what may be ink, uint8 (h, w), and a level to cut it at.

    Ink is darker or brighter than all around it, which a black-hat or a top-hat
    brings out (Meyer, "Contrast feature extraction", 1979; Serra, "Image analysis
    and mathematical morphology", 1982), here relative to the light. In a small
    image it is what differs from the background, the middle brightness of the border.
    """
    side = max(grey.shape)
    if side <= SMALL:
        background = np.median([*grey[0], *grey[-1], *grey[:, 0], *grey[:, -1]])
        ink = np.uint8(abs(grey - background))
        yield ink, cv2.threshold(ink, 0, 1, cv2.THRESH_OTSU)[0]
        return
    brush = np.ones((side // 5 | 1, side // 5 | 1))  # wider than a stroke
    light = np.maximum(cv2.morphologyEx(grey, cv2.MORPH_CLOSE, brush), LEAST_LIGHT)
    for hat in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        ink = cv2.divide(cv2.morphologyEx(grey, hat, brush), light, scale=255)
        for level in LEVELS:
            yield ink, level


def measure_mark(number, mark_at, box, grey, edges):
    """Measure a mark, and how much it is like a digit; returns the Mark.

    Ink is darker, or lighter, than all around it and sharp along all its outline,
    which tells it from shadows and rims of a sheet; it is long, thin, leaves room in
    its box, and is seldom wider than high, or at a side of the picture. The limits
    and powers were chosen on real pictures, of digits and of empty paper.
    """
    left, top, width, height, area = box.tolist()
    right, bottom = left + width, top + height
    rows, columns = grey.shape
    window = np.s_[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3]
    mask = np.uint8(mark_at[window] == number)
    around = cv2.dilate(mask, None, iterations=3) > mask
    outline = cv2.erode(mask, None) < mask
    darker = grey[window][around] - cv2.mean(grey[window], mask)[0]
    contrast = max(tenth_percentile(darker), tenth_percentile(-darker), 0)
    sharpness = tenth_percentile(edges[window][outline])
    length = np.count_nonzero(outline)
    long = (SIDE * length / max(rows, columns)) ** 0.75
    thin = min(length**2 / area, 50)
    free = min(1.1 - area / (width * height), 0.6)
    upright = min(1, height / width)
    sides = [left == 0, top == 0, right == columns, bottom == rows].count(True)
    score = contrast * sharpness * long * thin * free * upright * 0.3**sides
    return Mark(score, number, left + width / 2, top + height / 2, width, height)


def tenth_percentile(values):
    """Return the value that a tenth of the values stay below."""
    return float(np.sort(values, axis=None)[values.size // 10])


def surrounds(mark, others):
    """Tell whether a mark is a frame, box or circle: a likely digit lies wholly in it."""
    return any(
        other.score > LEAST_SCORE
        and 2 * abs(mark.x - other.x) < mark.width - other.width
        and 2 * abs(mark.y - other.y) < mark.height - other.height
        for other in others
    )


def digits_among(found):
    """Return the mark that is most like a digit, and those like it, the best first."""
    ranked = sorted(found, reverse=True)
    return [
        mark
        for mark in ranked
        if mark.score > 0.1 * ranked[0].score and 0.5 < mark.height / ranked[0].height < 2
    ]


def join_parts(mark_at, found, digits):
    """Give the smaller marks that are close to a digit, as the bar of a 5, its number."""
    for part in set(found) - set(digits):
        for digit in digits:
            across = abs(part.x - digit.x) - digit.width / 2
            down = abs(part.y - digit.y) - digit.height / 2
            size = max(part.width, part.height) / digit.height
            if max(across, down) < 0.3 * digit.height and 0.2 < size < 0.8:
                mark_at[mark_at == part.number] = digit.number


def in_rows(digits):
    """Sort digits into rows, from the top, each from left to right.

    A digit continues a row if the middle of the row's last digit is within the digit's height.
    """
    rows = []
    for digit in sorted(digits, key=lambda digit: digit.x):
        for row in rows:
            if abs(digit.y - row[-1].y) < digit.height / 2:
                row.append(digit)
                break
        else:
            rows.append([digit])
    return sorted(rows, key=lambda row: row[0].y)


def as_mnist(ink, mask):
    """Make the picture of a digit, as MNIST's are, of its ink where the mask is 1."""
    around = cv2.dilate(mask, None)  # with the soft edge of the strokes
    ink = cv2.normalize(ink, None, 255, 0, cv2.NORM_INF, mask=around)
    return train_model.as_mnist(ink)


if __name__ == "__main__":
    run_as_script(main)
