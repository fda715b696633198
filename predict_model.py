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
import itertools
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
from train_model import (
    BOX,
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    as_input,
    centred,
    check_writable,
    cut,
    drawable,
    load_digits,
    make_parser,
    new_plot,
    print_message,
    print_result,
    resized,
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
from matplotlib.backend_bases import MouseButton
from matplotlib.widgets import Button
from PIL import Image, ImageOps, ImageStat

pi_heif.register_heif_opener()  # the photographs of iPhones
Image.MAX_IMAGE_PIXELS = 250_000_000  # Phones take 200 million; Pillow refuses twice as many.

CERTAIN = 0.8  # A digit of less confidence is told to be uncertain.
IMAGE_FILE = r".*\.(avif|bmp|gif|hei[cf]|jp2|jpe?g|p[bgp]m|png|tga|tiff?|webp)"
# The plots of both scripts are no images to read, where they lie among them.
OWN_PLOT = r"training_curves\.png|own_digits\.png|(own_)?(misclassified|confusion_matrix)\.png"


# ---------------------------------------------------------------- prediction and scores


def load_model(path):
    """Load a trained network, running no code that the file may hold.

    Args:
        path: A `.keras` or `.h5` file.

    Returns:
        A keras.Model from images (n, 28, 28, 1), (n, 28, 28) or (n, 784), 0
        (ground) to 1 (ink), to probabilities (n, 10).

    Raises:
        InputError: The file is missing or damaged, or holds another network.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; train_model.py makes it")
    try:
        model = keras.saving.load_model(path, compile=False)
        (probabilities,) = predict(model, np.zeros((1, *IMAGE_SHAPE), np.uint8))
        shares = probabilities.min() >= 0 and np.isclose(probabilities.sum(), 1, atol=1e-3)
        if probabilities.shape != (CLASSES,) or not shares:
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
        images: uint8 (n, 28, 28), 0 (ground) to 255 (ink).

    Returns:
        Probabilities, float32 (n, 10).
    """
    inputs = as_input(images).reshape(-1, *model.input_shape[1:])
    parts = np.array_split(inputs, len(inputs) // 500 + 1)  # More at a time take much memory.
    return np.concatenate([model.predict_on_batch(part) for part in parts])


class Reading(NamedTuple):
    """A digit of an image, as the network reads it."""

    found: "Digit"
    probabilities: np.ndarray  # float32 (10,)

    @property
    def digit(self):
        """The most probable digit, an int."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self):
        """Its probability, from 0 to 1."""
        return self.probabilities.max()


def predict_digit(model, image):
    """Read the digit in one image; of several, the one that is most like ink.

    Args:
        model: The network, from load_model.
        image: As for predict_digits.

    Returns:
        The digit, an int, and the probabilities, float32 (10,).

    Raises:
        InputError: It is no image, or there is no digit in it.
    """
    best = max(predict_digits(model, image), key=lambda reading: reading.found.score)
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
    digits = find_digits(image)
    probabilities = predict(model, np.array([digit.picture for digit in digits]))
    return list(map(Reading, digits, probabilities))


def rows_of(readings):
    """Return the rows of the digits of one image, a list of lists of Readings."""
    rows = itertools.groupby(readings, key=lambda reading: reading.found.row)
    return [list(row) for _, row in rows]


def describe(readings):
    """Return the number that the digits of one image make, and the least confidence."""
    rows = ["".join(str(reading.digit) for reading in row) for row in rows_of(readings)]
    return " ".join(rows), f"{min(reading.confidence for reading in readings):.1%}"


def doubts(readings):
    """Say which digits of one image are uncertain, and what else they may be."""
    for place, reading in enumerate(readings, 1):
        if reading.confidence < CERTAIN:
            second = reading.probabilities.argsort()[-2]
            which = f"digit {place} " if len(readings) > 1 else ""
            yield f"{which}perhaps {second} ({reading.probabilities[second]:.1%})"


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
    excess = confidences - (probabilities.argmax(axis=1) == labels)
    sums, _ = np.histogram(confidences, 10, (0, 1), weights=excess)
    return abs(sums).sum() / len(labels)


def classification_report(confusion, unread):
    """Format precision, recall, F1 score and support of each digit, and their averages.

    Where a digit was never predicted its precision counts as 0. Digits that
    neither occur nor were predicted have no row and no part in the averages.

    Args:
        confusion: The confusion matrix, int (10, 10), a row a true digit.
        unread: How many of each true digit were not read, int (10,).

    Returns:
        A table, a str of several lines.
    """
    right, predicted = np.diag(confusion), confusion.sum(axis=0)
    support = confusion.sum(axis=1) + unread
    counts = np.stack([predicted, support, (predicted + support) / 2], axis=1)
    scores = right[:, np.newaxis] / np.maximum(counts, 1)  # precision, recall, F1 score
    occurring = np.flatnonzero(support + predicted)
    row = "{:>12}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format
    lines = ["              precision     recall   f1-score    support"]
    for digit in occurring:
        lines.append(row(digit, *scores[digit], support[digit]))
    lines.append(row("macro avg", *scores[occurring].mean(axis=0), support.sum()))
    lines.append(row("weighted avg", *support @ scores / support.sum(), support.sum()))
    return "\n".join(lines)


def report_scores(model, data, labels, probabilities, pictures, plots, prefix=""):
    """Print and plot what the network got right and wrong.

    Args:
        model: The network; its name says what it was trained on.
        data: What was read, in words.
        labels: The true digits, int (n,).
        probabilities: float32 (n, 10), all 0 for an image that was not read as one digit.
        pictures: What the network saw, uint8 (n, 28, 28).
        plots: The folder for the plots.
        prefix: What the names of the plots begin with.
    """
    read = probabilities.any(axis=1)
    predicted = np.where(read, probabilities.argmax(axis=1), -1)
    mistakes = np.count_nonzero(predicted != labels)
    confusion = tf.math.confusion_matrix(labels[read], predicted[read], CLASSES).numpy()
    unread = np.bincount(labels[~read], minlength=CLASSES)
    print_result("network", model.name)
    print_result("data", data)
    print_result("accuracy", f"{np.mean(predicted == labels):.2%} of {len(labels):,} images")
    if read.any():
        losses = keras.losses.sparse_categorical_crossentropy(labels[read], probabilities[read])
        error = calibration_error(labels[read], probabilities[read])
        print_result("loss", f"{np.mean(losses):.4f}")
        print_result("calibration error", f"{error:.2%}")
    print_result("misclassified", f"{mistakes:,}")
    if unread.any():
        print_result("unread", f"{unread.sum():,} not read as one digit, counted as wrong")
    print(f"\n{classification_report(confusion, unread)}\n")
    print(f"confusion matrix, a row a true digit, a column a predicted one\n{confusion}\n")
    title = f"{data}: {mistakes:,} of {len(labels):,} misclassified"
    wrong = read & (predicted != labels)
    figure = plot_mistakes(pictures[wrong], labels[wrong], probabilities[wrong], title)
    save_plot(figure, Path(plots, f"{prefix}misclassified.png"), "Misclassified digits")
    figure = plot_confusion(confusion, title)
    save_plot(figure, Path(plots, f"{prefix}confusion_matrix.png"), "Confusion matrix")


# ---------------------------------------------------------------- plots


def plot_mistakes(pictures, labels, probabilities, title):
    """Plot mistakes, the most confident first, and no more than can be seen; returns the figure."""
    confidences = probabilities.max(axis=1)
    shown = np.argsort(-confidences, kind="stable")[:60]
    title = f"{title}; shown: the {len(shown)} most confident mistakes"
    figure, axes = new_grid(len(shown), 10, title)
    for axis, index in zip(axes, shown, strict=False):
        predicted = probabilities[index].argmax()
        text = f"true {labels[index]}\nread {predicted} ({confidences[index]:.1%})"
        show_picture(axis, pictures[index], text)
    return figure


def plot_readings(images, total):
    """Plot images, pairs of a path and its Readings, beside what the network saw.

    A box shows where each digit is, a red one an uncertain digit. `total` images were read.
    Returns the figure.
    """
    pairs_a_row = math.ceil(math.sqrt(len(images)))
    title = f"{len(images)} of {total:,} images, as given and as the network saw them"
    figure, axes = new_grid(2 * len(images), 2 * pairs_a_row, title)
    for (path, readings), given, seen in zip(images, axes[::2], axes[1::2], strict=False):
        show_picture(given, to_grey(as_image(path)), Path(path).name[-15:])
        number, confidence = describe(readings)
        show_picture(seen, tiled(readings), f"{number[-15:]} ({confidence})")
        for reading in readings:
            x, y, width, height = reading.found.box
            colour = "red" if reading.confidence < CERTAIN else "tab:blue"
            given.add_patch(plt.Rectangle((x, y), width, height, fill=False, color=colour))
            given.annotate(reading.digit, (x, y), color=colour, fontsize="small", va="bottom")
    return figure


def tiled(readings):
    """Lay the pictures of an image's digits out in their rows."""
    rows = [np.hstack([reading.found.picture for reading in row]) for row in rows_of(readings)]
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows])


def new_grid(count, columns, title):
    """Make a figure with so many places for pictures; returns it and its axes."""
    rows = max(1, math.ceil(count / columns))
    height = 1.5 * rows + 0.5
    figure, axes = new_plot(title, max(5, 1.2 * columns), height, rows, columns)
    figure.subplots_adjust(0.02, 0.1 / height, 0.98, 1 - 0.9 / height, 0.2, 0.4)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes.flat


def show_picture(axis, picture, text):
    """Show a picture, uint8 (h, w), below a text; returns what Matplotlib makes of it."""
    axis.set_title(drawable(text), fontsize="small", parse_math=False)
    axis.set(xticks=[], yticks=[])
    return axis.imshow(picture, cmap="gray", vmin=0, vmax=255)


def plot_confusion(confusion, title):
    """Plot a confusion matrix, int (10, 10); returns the figure."""
    # The diagonal is a hundred times the rest and would leave it one colour.
    mistakes = confusion - np.diag(np.diag(confusion))
    figure, axes = new_plot(title, 7, 6)
    axis = axes[0, 0]
    axis.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, 1.5 * mistakes.max()))
    for (true, predicted), count in np.ndenumerate(confusion):
        axis.text(predicted, true, count or "", ha="center", va="center")
    digits = range(CLASSES)
    axis.set(xlabel="predicted digit", ylabel="true digit", xticks=digits, yticks=digits)
    return figure


# ---------------------------------------------------------------- the command line


def parse_arguments():
    """Parse the command line of predict_model.py."""
    parser = make_parser("Score a trained network on MNIST's test set, or read images of digits.")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="*", help="image files, or folders of them, to read"
    )
    parser.add_argument(
        "--model",
        metavar="FILE",
        default=MODEL_FILE,
        help="the network that train_model.py saved",
    )
    parser.add_argument(
        "--csv",
        metavar="FILE",
        help="where to write a row for each digit that was read; - is standard output",
    )
    parser.add_argument(
        "--draw", action="store_true", help="open a window to draw digits in, and read them"
    )
    arguments = parser.parse_args()
    if arguments.draw and (arguments.images or arguments.csv or arguments.data != "auto"):
        parser.error("--draw takes no images, --csv or --data")
    if arguments.csv and not arguments.images:
        parser.error("--csv is for images, and there are none")
    if arguments.csv and re.fullmatch(IMAGE_FILE, arguments.csv, re.IGNORECASE):
        parser.error(f"--csv {arguments.csv} would replace an image")
    if arguments.images and arguments.data != "auto":
        parser.error("--data is for the test set, and there are images to read instead")
    return arguments


def score_test_set(model, arguments):
    """Score the network on MNIST's test set, and plot its mistakes."""
    images, labels, data = load_digits(arguments.data, "test")
    probabilities = predict(model, images)
    name = f"test images of {data}"
    report_scores(model, name, labels, probabilities, images, arguments.plots)


def read_own_digits(model, arguments):
    """Read the digits in images, and score those in folders 0 to 9; returns the exit status."""
    plot = Path(arguments.plots, "own_digits.png")
    check_writable(plot)
    results = []
    with open_table(arguments.csv) as table:
        writer = csv.writer(table)
        probabilities = [f"p{digit}" for digit in range(CLASSES)]
        writer.writerow(["path", "row", "place", "digit", "confidence", *probabilities])
        for path, readings in read_images(model, arguments.images):
            results.append((path, readings))
            if readings:
                print_readings(path, readings)
                writer.writerows(table_rows(path, readings))
        read = [(path, readings) for path, readings in results if readings]
        if read:
            save_plot(plot_readings(read[:100], len(read)), plot, "Your own digits")
        score_labelled(model, results, arguments.plots)
    return 0 if len(read) == len(results) else 1


def print_readings(path, readings):
    """Print what was read in one image."""
    line = [str(path), *describe(readings)]
    uncertain = ", ".join(doubts(readings))
    if uncertain:
        line.append(f"uncertain, {uncertain}")
    print("\t".join(line))


def table_rows(path, readings):
    """Yield a row of the CSV file for each digit of an image."""
    for row, digits in enumerate(rows_of(readings), 1):
        for place, reading in enumerate(digits, 1):
            numbers = reading.confidence, *reading.probabilities
            yield path, row, place, reading.digit, *(f"{number:.6f}" for number in numbers)


def score_labelled(model, results, plots):
    """Score the images in folders 0 to 9, if any: right is one that is read as just that digit."""
    nothing = np.zeros(IMAGE_SHAPE, np.uint8), np.zeros(CLASSES, np.float32)
    labels, scored = [], []
    for path, readings in results:
        folder = Path(os.path.abspath(path)).parent.name
        if re.fullmatch("[0-9]", folder):
            labels.append(int(folder))
            single = [(reading.found.picture, reading.probabilities) for reading in readings]
            scored.append(single[0] if len(single) == 1 else nothing)
    if labels:
        pictures, probabilities = map(np.array, zip(*scored, strict=True))
        report_scores(model, "images", np.array(labels), probabilities, pictures, plots, "own_")


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
    stroke = []  # the places that the pen has touched since it was set down
    background = None  # the window without what changes
    with plt.rc_context({"toolbar": "None"}):
        figure = plt.figure("Draw a digit", figsize=(11, 4), facecolor="lightgrey")
    canvas = figure.canvas
    canvas.mpl_disconnect(canvas.manager.key_press_handler_id)  # Matplotlib's own keys
    left, middle, right = figure.subplots(1, 3, width_ratios=[3, 2, 2])
    right.set(xlim=(0, 1), xticks=[], yticks=range(CLASSES), ylim=(CLASSES, -1))
    drawn = show_picture(left, sheet, "draw here")
    seen = show_picture(middle, np.zeros(IMAGE_SHAPE), "what the network sees")
    bars = right.barh(range(CLASSES), 0)
    heading = right.set_title("")
    changing = [drawn, seen, heading, *bars]
    for artist in changing:
        artist.set_animated(True)

    def show(event=None):
        """Draw what changes onto the background, which a draw event has drawn anew."""
        nonlocal background
        if event:
            background = canvas.copy_from_bbox(figure.bbox)
        canvas.restore_region(background)
        for artist in changing:
            figure.draw_artist(artist)
        canvas.blit(figure.bbox)

    def read():
        """Read the sheet, and show its digits, the last of them in the middle and in the bars."""
        number, picture, probabilities = "", np.zeros(IMAGE_SHAPE), np.zeros(CLASSES)
        with contextlib.suppress(InputError):  # An empty sheet shows none.
            readings = predict_digits(model, sheet)
            number = " ".join(describe(readings))
            picture, probabilities = readings[-1].found.picture, readings[-1].probabilities
        drawn.set_data(sheet)
        seen.set_data(picture)
        heading.set_text(number)
        for bar, probability in zip(bars, probabilities, strict=True):
            bar.set_width(probability)
            bar.set_color("tab:orange" if probability == probabilities.max() else "tab:blue")
        show()

    def press(event):
        if event.button == MouseButton.RIGHT:
            clear()
        elif event.inaxes is left:
            stroke.append((round(event.xdata), round(event.ydata)))
            move(event)

    def move(event):
        """Draw from where the pen was to where it is now; leaving the sheet ends the stroke."""
        if stroke and event.inaxes is left:
            stroke.append((round(event.xdata), round(event.ydata)))
            cv2.line(sheet, stroke[-2], stroke[-1], 0, PEN, cv2.LINE_AA)
            read()
        else:
            stroke.clear()

    def clear(event=None):
        sheet[:] = 255
        read()

    def save(event=None):
        paths = (Path(f"drawn_{count}.png") for count in itertools.count(1))
        path = next(path for path in paths if not path.exists())
        try:
            Image.fromarray(sheet).save(path)
            print(f"saved as {path}")
        except OSError as error:
            print_message("error", f"{path}: {error.strerror}")

    def key(event):
        if event.key == "backspace":
            clear()
        elif event.key == "s":
            save()
        elif event.key == "escape":
            plt.close(figure)

    canvas.mpl_connect("draw_event", show)
    canvas.mpl_connect("button_press_event", press)
    canvas.mpl_connect("motion_notify_event", move)
    canvas.mpl_connect("button_release_event", lambda event: stroke.clear())
    canvas.mpl_connect("key_press_event", key)
    clear_button = Button(figure.add_axes((0.13, 0.02, 0.1, 0.08)), "Clear")
    clear_button.on_clicked(clear)
    save_button = Button(figure.add_axes((0.25, 0.02, 0.1, 0.08)), "Save")
    save_button.on_clicked(save)
    figure.buttons = clear_button, save_button  # Only what is kept gets its clicks.
    return figure


# ---------------------------------------------------------------- files of images


def read_images(model, paths):
    """Yield each file and its Readings, none where nothing could be read, which is said."""
    for given in paths:
        for path in image_files(given):
            readings = []
            try:
                readings = predict_digits(model, path)
            except InputError as error:
                print_message("error", f"{path}: {error}")
            yield path, readings


def image_files(path):
    """Return the file, or of a folder all images below it, sorted."""
    files = [file for file in Path(path).rglob("*") if file.is_file()] if path else []
    return sorted(str(file) for file in files if is_image(file.relative_to(path))) or [path]


def is_image(path):
    """Whether a file below a folder is an image to read, by its name."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    image = re.fullmatch(IMAGE_FILE, path.name, re.IGNORECASE)
    return bool(image) and not hidden and not re.fullmatch(OWN_PLOT, path.name)


def as_image(source):
    """Open an image file, or make an image of an array.

    Args:
        source: As for predict_digits; of an animation the first image is taken.

    Returns:
        A PIL image in RGBA, upright, at most SIDE large.

    Raises:
        InputError: There is no such file, or it is no whole image.
    """
    is_path = isinstance(source, (str, os.PathLike))
    if is_path and not os.path.isfile(source):
        if os.path.isdir(source):
            raise InputError("a folder without images")
        raise InputError("not a file" if os.path.exists(source) else "no such file or folder")
    try:
        if is_path or hasattr(source, "read"):
            image = Image.open(source)
            image.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        elif isinstance(source, Image.Image):
            image = source
        else:
            image = Image.fromarray(as_bytes(source))
        if 0 in image.size:
            raise ValueError("it has no pixels")
        image = ImageOps.exif_transpose(image)
        if image.mode[0] in "FI":  # floats, and integers of more than 8 bits
            image = Image.fromarray(as_bytes(image))
        image = image.convert("RGBA")
        image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
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
MOST_MARKS = 100  # marks to look at: the digits of a full sheet
LEAST_SCORE = 2_000_000  # Blank sheets and desks stay below it, legible digits above.


class Digit(NamedTuple):
    """A digit in an image."""

    picture: np.ndarray  # as MNIST's are: uint8 (28, 28), 0 (ground) to 255 (ink)
    box: tuple  # left, top, width, height in to_grey's picture
    row: int  # 0 is the top one
    score: float  # how much it is like ink


class Mark(NamedTuple):
    """A connected part of the ink."""

    number: int  # in the picture of the marks' numbers
    left: int
    top: int
    right: int
    bottom: int
    clarity: float  # its contrast and sharpness
    score: float  # how much it is like ink


def find_digits(image):
    """Find the digits in an image, a drawing or a photograph, dark on light or light on dark.

    Args:
        image: As for predict_digits.

    Returns:
        A list of Digits in reading order, at least one.

    Raises:
        InputError: It is no image, or there is no digit in it.
    """
    grey = to_grey(as_image(image))
    grey = cv2.normalize(grey, None, 255, 0, cv2.NORM_INF)  # so dim light costs nothing
    ink, numbers, found = best_marks(grey)
    found = [mark for mark in found if not surrounds(mark, found)]
    winner = max(found, key=lambda mark: mark.score, default=None)
    if winner is None or winner.score < LEAST_SCORE:
        raise InputError("no digit found")
    if max(grey.shape) <= SMALL:
        chosen = [winner]
        numbers[numbers > 0] = winner.number
    else:
        chosen = [mark for mark in found if alike(mark, winner)]
        join_parts(numbers, [mark for mark in found if mark not in chosen], chosen)
    result = []
    for place, row in enumerate(in_rows(chosen)):
        for mark in row:
            mask = np.uint8(numbers == mark.number)
            box = cv2.boundingRect(mask)
            result.append(Digit(as_mnist(ink, mask), box, place, mark.score))
    return result


def to_grey(image):
    """Convert an image of as_image to grey, uint8 (h, w), keeping the contrast of its colours."""
    colours, alpha = image.convert("RGB"), image.getchannel("A")
    # What is transparent takes the colour of the ground: of all where most is opaque;
    # elsewhere what is opaque is ink, and the ground as unlike it as can be.
    ground = ImageStat.Stat(colours, alpha).median
    if np.mean(alpha) < 128:
        ground = [255 if value < 128 else 0 for value in ground]
    colours = Image.composite(colours, Image.new("RGB", image.size, tuple(ground)), alpha)
    # The principal axis of the colours, from dark to light, in weights that add up to 1.
    pixels = np.asarray(colours)
    _, axis = cv2.PCACompute(np.float32(pixels[::2, ::2].reshape(-1, 3)), None, maxComponents=1)
    axis *= np.copysign(1, axis.sum()) / (np.abs(axis).sum() or 1)
    lowest = 255 * np.minimum(axis, 0).sum()
    return cv2.transform(pixels, np.append(axis, [[-lowest]], axis=1))


def best_marks(grey):
    """Find the marks in the picture of ink in which they are, all together, most like ink.

    Returns that picture, uint8 (h, w), the number of the mark at each pixel, int (h, w), and a
    list of the Marks.
    """
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5)))
    edges = cv2.subtract(edges, tenth(edges))  # Noise and grain are no edges.
    pictures = ((ink, *marks(ink > level, grey, edges)) for ink, level in pictures_of_ink(grey))
    return max(pictures, key=lambda picture: sum(mark.score for mark in picture[-1]))


def pictures_of_ink(grey):
    """Yield what may be ink, uint8 (h, w), and a level to cut it at.

    Ink is darker or brighter than all around it, which a black-hat or a top-hat
    brings out (Meyer, "Contrast feature extraction", 1979; Serra, "Image analysis
    and mathematical morphology", 1982), here relative to the light.
    """
    side = max(grey.shape)
    if side <= SMALL:
        ground = np.median([*grey[0], *grey[-1], *grey[:, 0], *grey[:, -1]])
        ink = cv2.absdiff(grey, ground)
        yield ink, cv2.threshold(ink, 0, 1, cv2.THRESH_OTSU)[0]
        return
    brush = np.ones((side // 5 | 1, side // 5 | 1))  # wider than a stroke
    light = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, brush)
    for hat in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        ink = cv2.morphologyEx(grey, hat, brush)
        ink = cv2.divide(ink, light, scale=255)
        for level in LEVELS:
            yield ink, level


def marks(ink, grey, edges):
    """Find the connected parts of the ink, bool (h, w).

    Returns the number of the part at each pixel, int (h, w), and a list of the largest Marks.
    """
    _, numbers, boxes, _ = cv2.connectedComponentsWithStats(np.uint8(ink))
    largest = 1 + np.argsort(-boxes[1:, cv2.CC_STAT_AREA])[:MOST_MARKS]
    return numbers, [measured(number, numbers, boxes[number], grey, edges) for number in largest]


def measured(number, numbers, box, grey, edges):
    """Measure how clear a mark is, and how much it is like ink; returns the Mark.

    Ink is darker, or lighter, than all around it and sharp along all its outline,
    which tells it from shadows and rims of a sheet; it is long, thin, leaves room in
    its box, and is seldom wider than high, or at a side of the picture. The limits
    and powers were chosen on real pictures, of digits and of empty paper.
    """
    left, top, width, height, area = box.tolist()
    right, bottom = left + width, top + height
    rows, columns = grey.shape
    window = np.s_[max(top - 3, 0) : bottom + 3, max(left - 3, 0) : right + 3]
    mask = np.uint8(numbers[window] == number)
    around = cv2.dilate(mask, None, iterations=3) > mask
    outline = cv2.erode(mask, None) < mask
    clarity = 0.0
    if around.any():
        darker = grey[window][around] - cv2.mean(grey[window], mask)[0]
        contrast = max(tenth(darker), tenth(-darker), 0)
        clarity = contrast * tenth(edges[window][outline])
    length = np.count_nonzero(outline)
    long = (SIDE * length / max(rows, columns)) ** 0.75
    thin = min(length**2 / area, 50)
    free = min(1.1 - area / (width * height), 0.6)
    upright = min(1, height / width)
    sides = [left == 0, top == 0, right == columns, bottom == rows].count(True)
    score = clarity * long * thin * free * upright * 0.3**sides
    return Mark(number, left, top, right, bottom, clarity, score)


def tenth(values):
    """Return the value that a tenth of the values stay below."""
    return float(np.sort(values, axis=None)[values.size // 10])


def surrounds(mark, others):
    """Tell whether a mark is a frame, box or circle: there is one like a digit in it."""
    return any(
        other.score > LEAST_SCORE
        and mark.left < other.left < other.right < mark.right
        and mark.top < other.top < other.bottom < mark.bottom
        for other in others
    )


def alike(mark, winner):
    """Tell whether a mark is a digit beside the winner: of about its height, and such ink."""
    size = (mark.bottom - mark.top) / (winner.bottom - winner.top)
    similar = mark.clarity > 0.3 * winner.clarity and mark.score > 0.1 * winner.score
    return similar and 0.5 < size < 2


def join_parts(numbers, parts, digits):
    """Give the smaller parts that are close to a digit, as the bar of a 5, its number."""
    for part in parts:
        digit = min(digits, key=lambda digit: distance(part, digit))
        height = digit.bottom - digit.top
        size = max(part.right - part.left, part.bottom - part.top)
        if 0.2 < size / height < 0.8 and distance(part, digit) < 0.3 * height:
            numbers[numbers == part.number] = digit.number


def distance(one, other):
    """Return the distance of two marks in x or in y, whichever is larger."""
    return max(
        one.left - other.right,
        other.left - one.right,
        one.top - other.bottom,
        other.top - one.bottom,
    )


def in_rows(digits):
    """Sort digits into rows, from the top, each from left to right.

    A digit goes on with the row whose last digit has its middle at the height of it.
    """
    rows = []
    for digit in sorted(digits, key=lambda digit: digit.left):
        for row in rows:
            last = row[-1]
            if digit.top < (last.top + last.bottom) / 2 < digit.bottom:
                row.append(digit)
                break
        else:
            rows.append([digit])
    return sorted(rows, key=lambda row: row[0].top)


def as_mnist(ink, mask):
    """Make the picture of a digit, as MNIST's are, of its ink where the mask is 1."""
    around = cv2.dilate(mask, None)  # with the soft edge of the strokes
    ink = cv2.normalize(ink, None, 255, 0, cv2.NORM_INF, mask=around)
    return centred(with_visible_stroke(cut(ink)))


SUBPIXELS = 4  # to a pixel of the box that the digit fills, while its stroke is widened
LEAST_STROKE = 2.2  # pixels of that box; a thinner stroke would vanish, and MNIST's are not


def with_visible_stroke(digit):
    """Widen a stroke that is too thin, of a digit, uint8 (h, w).

    The width of a long stroke is twice its area over the length of its outline.
    """
    digit = resized(digit, SUBPIXELS * BOX / max(digit.shape))
    solid = np.uint8(digit > digit.max() / 2)
    outline = cv2.erode(solid, None, borderValue=0) < solid
    width = 2 * np.count_nonzero(solid) / np.count_nonzero(outline)
    missing = round(SUBPIXELS * LEAST_STROKE - width)
    if missing <= 0:
        return digit
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    return cut(cv2.dilate(np.pad(digit, missing), pen))


if __name__ == "__main__":
    run_as_script(main)
