"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first prints the accuracy on MNIST's test set, the classification report
and the confusion matrix, and plots the misclassified digits. The second reads
each image, prints its digit, and plots what the network saw. Train the
network first: `train_model.py`.

Importing this file does what importing `train_model.py` does.
"""

import contextlib
import csv
import itertools
import json
import math
import os
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
    printable,
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
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.widgets import Button
from PIL import Image, ImageOps, ImageStat

pi_heif.register_heif_opener()  # the photographs of iPhones

AT_A_TIME = 500  # images read or predicted together, which bounds the memory
CERTAIN = 0.8  # A digit of less confidence is told to be uncertain.
# The plots of both scripts, which are no pictures to read where they lie among them.
PLOTS = {
    *("training_curves.png", "misclassified.png", "confusion_matrix.png"),
    *("own_digits.png", "own_misclassified.png", "own_confusion_matrix.png"),
}
IMAGE_ENDINGS = (
    *(".avif", ".bmp", ".gif", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".pbm", ".pgm"),
    *(".png", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)


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
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        reason = str(error).rpartition("Exception encountered: ")[2]
        raise InputError(
            f"{path}: {saved_by(path)} cannot be loaded by Keras {keras.__version__}:"
            f" {textwrap.shorten(reason, 300)}"
        ) from error
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if shapes[0] not in [(None, 28, 28, 1), (None, 28, 28), (None, 784)] or shapes[1] != (None, 10):
        raise InputError(
            f"{path}: a network from {shapes[0]} to {shapes[1]};"
            " wanted is one from images of 28x28 pixels to ten probabilities"
        )
    some_images = np.random.default_rng(0).integers(0, 256, (10, *IMAGE_SHAPE), np.uint8)
    probabilities = predict(model, some_images)
    if probabilities.min() < 0 or not np.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
        raise InputError(f"{path}: its outputs are no probabilities; it must end in a softmax")
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
    parts = np.array_split(inputs, len(inputs) // AT_A_TIME + 1)
    return np.concatenate([model.predict_on_batch(part) for part in parts])


class Reading(NamedTuple):
    """A digit of an image, as the network reads it."""

    digit: int
    probabilities: np.ndarray  # float32 (10,)
    found: "Digit"


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
    return read_found(model, find_digits(as_image(image)))


def read_found(model, found):
    """Predict the digits that find_digits has found; returns a list of Readings."""
    if not found:
        return []
    probabilities = predict(model, np.array([digit.picture for digit in found]))
    return [
        Reading(int(row.argmax()), row, digit)
        for row, digit in zip(probabilities, found, strict=True)
    ]


def rows_of(readings):
    """Return the rows of the digits of one image, a list of lists of Readings."""
    rows = itertools.groupby(readings, key=lambda reading: reading.found.row)
    return [list(row) for _, row in rows]


def describe(readings):
    """Return the number that the digits of one image make, and the least confidence."""
    rows = ("".join(str(reading.digit) for reading in row) for row in rows_of(readings))
    confidence = min(reading.probabilities.max() for reading in readings)
    return " ".join(rows), f"{confidence:.1%}"


def doubts(readings):
    """Say which digits of one image are uncertain, and what else they may be."""
    for place, reading in enumerate(readings, 1):
        if reading.probabilities.max() < CERTAIN:
            second = np.argsort(reading.probabilities)[-2]
            digit = f"digit {place} " if len(readings) > 1 else ""
            yield f"{digit}perhaps {second} ({reading.probabilities[second]:.1%})"


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
    precision = right / np.maximum(predicted, 1)
    recall = right / np.maximum(support, 1)
    f1 = 2 * right / np.maximum(predicted + support, 1)
    scores = np.stack([precision, recall, f1])
    occurring = np.flatnonzero(support + predicted)
    total = support.sum()
    heading = f"{'precision':>23}  {'recall':>9}  {'f1-score':>9}  {'support':>9}"
    row = "{:>12}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format
    return "\n".join(
        [
            heading,
            *(row(digit, *scores[:, digit], support[digit]) for digit in occurring),
            row("macro avg", *scores[:, occurring].mean(axis=1), total),
            row("weighted avg", *scores @ support / total, total),
        ]
    )


def report_scores(model, data, labels, probabilities, pictures, plots, prefix="", unread=()):
    """Print and plot what the network got right and wrong.

    Args:
        model: The network; its name says what it was trained on.
        data: What was read, in words.
        labels: The true digits, int (n,).
        probabilities: float32 (n, 10).
        pictures: What the network saw, uint8 (n, 28, 28).
        plots: The folder for the plots.
        prefix: What the names of the plots begin with.
        unread: The true digits of more images, which were not read as one digit.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = tf.math.confusion_matrix(labels, predicted, CLASSES).numpy()
    wrong = np.flatnonzero(predicted != labels)
    total = len(labels) + len(unread)
    print_result("network", model.name)
    print_result("data", data)
    print_result("accuracy", f"{np.trace(confusion) / total:.2%} of {total:,} images")
    if len(labels):
        losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        print_result("loss", f"{np.mean(losses):.4f}")
        print_result("calibration error", f"{calibration_error(labels, probabilities):.2%}")
    print_result("misclassified", f"{len(wrong):,}")
    if unread:
        print_result("unread", f"{len(unread):,} not read as one digit, which count as wrong")
    print(f"\n{classification_report(confusion, np.bincount(unread, minlength=CLASSES))}\n")
    print(f"confusion matrix, a row a true digit, a column a predicted one\n{confusion}\n")
    title = f"{data}: {total - np.trace(confusion):,} of {total:,} misclassified"
    mistakes = plot_mistakes(pictures[wrong], labels[wrong], probabilities[wrong], title)
    save_plot(mistakes, Path(plots, f"{prefix}misclassified.png"), "Misclassified digits")
    matrix = plot_confusion(confusion, title)
    save_plot(matrix, Path(plots, f"{prefix}confusion_matrix.png"), "Confusion matrix")


# ---------------------------------------------------------------- plots


def plot_mistakes(pictures, labels, probabilities, title):
    """Plot mistakes, the most confident first, and no more than can be seen.

    Args:
        pictures: What the network saw, uint8 (n, 28, 28).
        labels: The true digits, int (n,).
        probabilities: float32 (n, 10).
        title: The title of the figure.

    Returns:
        The matplotlib.figure.Figure.
    """
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
    """Plot images as given, with a box at each digit, beside what the network saw.

    Args:
        images: Pairs of a path and the Readings of the image.
        total: How many images were read, these among them.

    Returns:
        The matplotlib.figure.Figure.
    """
    pairs_a_row = 4 if len(images) <= 20 else 10
    title = f"{len(images)} of {total:,} images, as given and as the network saw them"
    figure, axes = new_grid(2 * len(images), 2 * min(len(images), pairs_a_row), title)
    for (path, readings), given, seen in zip(images, axes[::2], axes[1::2], strict=False):
        show_picture(given, to_grey(open_image(path)), drawable(Path(path).name[-15:]))
        number, confidence = describe(readings)
        colour = "red" if any(doubts(readings)) else "black"
        show_picture(seen, tiled(readings), f"{number[-15:]} ({confidence})", colour)
        for reading in readings:
            rows, columns = reading.found.box
            colour = "red" if any(doubts([reading])) else "tab:blue"
            size = columns.stop - columns.start, rows.stop - rows.start
            place = columns.start, rows.start
            given.add_patch(plt.Rectangle(place, *size, fill=False, color=colour))
            given.annotate(f"{reading.digit}", place, color=colour, fontsize="small", va="bottom")
    return figure


def tiled(readings):
    """Lay the pictures of an image's digits out in their rows."""
    rows = rows_of(readings)
    height, width = IMAGE_SHAPE
    tiles = np.zeros((height * len(rows), width * max(map(len, rows))), np.uint8)
    for y, row in enumerate(rows):
        pictures = np.hstack([reading.found.picture for reading in row])
        tiles[y * height : (y + 1) * height, : pictures.shape[1]] = pictures
    return tiles


def new_grid(count, columns, title):
    """Make a figure with so many places for pictures; returns it and its axes."""
    rows = max(1, math.ceil(count / columns))
    height = 1.5 * rows + 0.5
    figure, axes = new_plot(max(5, 1.2 * columns), height, rows, columns)
    figure.subplots_adjust(0.02, 0.1 / height, 0.98, 1 - 0.9 / height, 0.2, 0.4)
    figure.suptitle(title, parse_math=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes.flat


def show_picture(axis, picture, text, colour="black"):
    """Show a picture, uint8 (h, w), below a text."""
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axis.set_title(text, fontsize="small", color=colour, parse_math=False)


def plot_confusion(confusion, title):
    """Plot a confusion matrix, int (10, 10); returns the figure."""
    # The diagonal is a hundred times the rest and would leave it one colour.
    mistakes = confusion - np.diag(np.diag(confusion))
    figure, axes = new_plot(7, 6)
    axis = axes[0, 0]
    axis.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, 1.5 * mistakes.max()))
    for (true, predicted), count in np.ndenumerate(confusion):
        axis.text(predicted, true, count or "", ha="center", va="center")
    axis.set_title(title, parse_math=False)
    axis.set(xlabel="predicted digit", ylabel="true digit")
    axis.set(xticks=range(CLASSES), yticks=range(CLASSES))
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
        help="the network that train_model.py saved (default: %(default)s)",
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
    if arguments.images and arguments.data != parser.get_default("data"):
        parser.error("--data is for the test set, and there are images to read instead")
    return arguments


def score_test_set(model, arguments):
    """Score the network on MNIST's test set, and plot its mistakes."""
    images, labels, data = load_digits(arguments.data, "test")
    probabilities = predict(model, images)
    name = f"test images of {drawable(data)}"
    report_scores(model, name, labels, probabilities, images, arguments.plots)


def read_own_digits(model, arguments):
    """Read the digits in images, and score those in folders 0 to 9; returns the exit status."""
    plot = Path(arguments.plots, "own_digits.png")
    check_writable(plot)
    total, status, shown, known = 0, 0, [], []
    with open_table(arguments.csv) as table:
        writer = csv.writer(table)
        probabilities = [f"p{digit}" for digit in range(CLASSES)]
        writer.writerow(["path", "row", "place", "digit", "confidence", *probabilities])
        for path, readings in read_images(model, arguments.images):
            label = Path(os.path.abspath(path)).parent.name
            if label in [*"0123456789"]:
                known.append((int(label), readings))
            if not readings:
                status = 1
                continue
            print_readings(path, readings)
            writer.writerows(table_rows(path, readings))
            total += 1
            if total <= 100:
                shown.append((path, readings))
        if shown:
            save_plot(plot_readings(shown, total), plot, "Your own digits")
        if known:
            score_readings(model, known, arguments.plots)
    return status


def print_readings(path, readings):
    """Print what was read in one image."""
    line = [printable(path), *describe(readings)]
    uncertain = ", ".join(doubts(readings))
    if uncertain:
        line.append(f"uncertain, {uncertain}")
    print("\t".join(line))


def table_rows(path, readings):
    """Yield a row of the CSV file for each digit of an image."""
    for row, digits in enumerate(rows_of(readings), 1):
        for place, reading in enumerate(digits, 1):
            numbers = reading.probabilities.max(), *reading.probabilities
            yield path, row, place, reading.digit, *(f"{number:.6f}" for number in numbers)


def score_readings(model, known, plots):
    """Score images, pairs of the true digit and the Readings; only one digit can be right."""
    single = [(label, readings[0]) for label, readings in known if len(readings) == 1]
    unread = [label for label, readings in known if len(readings) != 1]
    labels = np.array([label for label, _ in single], int)
    probabilities = np.array([reading.probabilities for _, reading in single]).reshape(-1, CLASSES)
    pictures = np.array([reading.found.picture for _, reading in single]).reshape(-1, *IMAGE_SHAPE)
    report_scores(model, "images", labels, probabilities, pictures, plots, "own_", unread)


@contextlib.contextmanager
def open_table(path):
    """Open a CSV file to write to; with - it is standard output, and the rest goes to the error."""
    if path == "-":
        results = sys.stdout
        with contextlib.suppress(AttributeError):  # a notebook's, which prints any name
            results.reconfigure(errors="backslashreplace")
        with contextlib.redirect_stdout(sys.stderr):
            yield results
    else:
        settings = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
        with open(path or os.devnull, "w", **settings) as table:
            yield table


def main():
    """Score the test set, or read the images that are given."""
    arguments = parse_arguments()
    model = load_model(arguments.model)
    status = 0
    if arguments.draw:
        check_display()
        draw_window(model)
    elif arguments.images:
        status = read_own_digits(model, arguments)
    else:
        score_test_set(model, arguments)
    plt.show()
    sys.exit(status)


def check_display():
    """Raise InputError where Matplotlib has no display for a window."""
    if plt.get_backend().lower() in backend_registry.list_builtin(BackendFilter.NON_INTERACTIVE):
        raise InputError("--draw opens a window, and there is no display for it")


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
    pen = None  # the place on the sheet that the pen touches, while it does
    background = None  # the window without what changes

    with plt.rc_context({"toolbar": "None"}):
        figure = plt.figure("Draw a digit", figsize=(11, 4))
    canvas = figure.canvas
    canvas.mpl_disconnect(canvas.manager.key_press_handler_id)  # Matplotlib's own keys
    left, middle, right = figure.subplots(1, 3, width_ratios=[3, 2, 2])
    drawn = left.imshow(sheet, cmap="gray", vmin=0, vmax=255)
    seen = middle.imshow(np.zeros(IMAGE_SHAPE), cmap="gray", vmin=0, vmax=255)
    bars = right.barh(range(CLASSES), np.zeros(CLASSES))
    title = right.set_title("")
    left.set(title="draw here", xticks=[], yticks=[])
    middle.set(title="what the network sees", xticks=[], yticks=[])
    right.set(xlim=(0, 1), yticks=range(CLASSES), xlabel="probability")
    right.invert_yaxis()
    changing = [drawn, seen, title, *bars]
    for artist in changing:
        artist.set_animated(True)

    def show(event=None):
        """Draw what changes on the background, which a draw event has drawn anew."""
        nonlocal background
        if event:
            background = canvas.copy_from_bbox(figure.bbox)
        canvas.restore_region(background)
        for artist in changing:
            figure.draw_artist(artist)
        canvas.blit(figure.bbox)

    def read():
        """Read the sheet, and show its digits."""
        try:
            readings = predict_digits(model, sheet)
            last = readings[-1]
            picture, probabilities = last.found.picture, last.probabilities
            title.set_text(" ".join(describe(readings)))
        except InputError:
            picture, probabilities = np.zeros(IMAGE_SHAPE), np.zeros(CLASSES)
            title.set_text("")
        drawn.set_data(sheet)
        seen.set_data(picture)
        for bar, probability in zip(bars, probabilities, strict=True):
            bar.set_width(probability)
            highest = probability == probabilities.max()
            bar.set_color("tab:orange" if highest else "tab:blue")
        show()

    def stroke(event):
        """Draw from where the pen was to where it is now."""
        nonlocal pen
        place = round(event.xdata), round(event.ydata)
        cv2.line(sheet, pen or place, place, 0, PEN, cv2.LINE_AA)
        pen = place
        read()

    def press(event):
        if event.inaxes is left and event.button == MouseButton.LEFT:
            stroke(event)
        elif event.button == MouseButton.RIGHT:
            clear()

    def move(event):
        if pen and event.inaxes is left:
            stroke(event)
        else:
            lift(event)

    def lift(event):
        nonlocal pen
        pen = None

    def clear(event=None):
        sheet[:] = 255
        read()

    def save(event=None):
        numbers = itertools.count(1)
        path = next(path for n in numbers if not (path := Path(f"drawn_{n}.png")).exists())
        try:
            Image.fromarray(sheet).save(path)
            print(f"saved as {path}")
        except OSError as error:
            print_message("error", f"{path}: {error.strerror or error}")

    def key(event):
        actions = {"backspace": clear, "s": save, "escape": lambda: plt.close(figure)}
        if event.key in actions:
            actions[event.key]()

    # A button lives as long as there is a reference to it.
    figure.buttons = [
        Button(figure.add_axes((0.13, 0.02, 0.1, 0.08)), "Clear"),
        Button(figure.add_axes((0.25, 0.02, 0.1, 0.08)), "Save"),
    ]
    for button, action in zip(figure.buttons, (clear, save), strict=True):
        button.on_clicked(action)
    events = {
        "draw_event": show,
        "button_press_event": press,
        "motion_notify_event": move,
        "button_release_event": lift,
        "key_press_event": key,
    }
    for name, action in events.items():
        canvas.mpl_connect(name, action)
    return figure


# ---------------------------------------------------------------- files of images


def read_images(model, paths):
    """Yield each file and its Readings, none where nothing could be read, which is said."""
    files = image_files(paths)
    while batch := list(itertools.islice(files, AT_A_TIME)):
        found = [find_digits_in_file(path) for path in batch]
        readings = iter(read_found(model, list(itertools.chain(*found))))
        for path, digits in zip(batch, found, strict=True):
            yield path, list(itertools.islice(readings, len(digits)))


def find_digits_in_file(path):
    """Find the digits in a file; says what is wrong where there are none."""
    try:
        return find_digits(open_image(path))
    except InputError as error:
        print_message("error", f"{path}: {error}")
        return []


def image_files(paths):
    """Yield the files that are given, and in the place of a folder the images below it, sorted."""
    for path in paths:
        files = (file for file in Path(path).rglob("*") if not file.is_dir())
        below = [str(file) for file in files if is_image(file.relative_to(path))]
        yield from sorted(below) or [path]


def is_image(path):
    """Whether a file below a folder is an image to read, by its name."""
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return not hidden and path.suffix.lower() in IMAGE_ENDINGS and path.name not in PLOTS


def as_image(source):
    """Make a PIL image of what predict_digit takes."""
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "read"):
        return open_image(source)
    # What is no image, or a damaged one, can raise nearly anything in NumPy and Pillow.
    try:
        if isinstance(source, Image.Image):
            source.load()  # One that was opened is read only now.
            return source
        values = np.asarray(source).squeeze()
        if values.dtype != np.uint8:
            values = np.nan_to_num(np.float32(values))
            values = np.interp(values, (values.min(), values.max()), (0, 255)).astype(np.uint8)
        if values.size == 0:
            raise ValueError("it is empty")
        return Image.fromarray(values)
    except Exception as error:
        raise InputError(f"a {type(source).__name__} that is no image ({error})") from error


# ---------------------------------------------------------------- reading an image

SIDE = 480  # pixels of an image's longer side; finer detail than this is noise
SMALL = 60  # pixels of an image's longer side that have room for one digit, and no surroundings
LEVELS = 20, 50, 90, 140  # of ink, from 0 to 255: from a hard pencil to a marker
LEAST_SCORE = 1_300_000  # Blank sheets and desks stay below it, legible digits above.
DARKEST_LIGHT = 50  # what is darker than this is ink or noise, and no light


class Digit(NamedTuple):
    """A digit in an image."""

    picture: np.ndarray  # as MNIST's are: uint8 (28, 28), 0 (ground) to 255 (ink)
    box: tuple  # where it is in to_grey's picture, two slices: of rows, and of columns
    row: int  # the number of its row, 0 the top one
    score: float  # how much it is like ink


class Mark(NamedTuple):
    """A connected part of the ink."""

    outlines: list  # its outer one, and those of its holes, as cv2.findContours has them
    box: tuple  # x, y, width, height
    score: float  # how much it is like ink


def open_image(file):
    """Open and decode an image file of any kind that Pillow reads; of an animation the first.

    Args:
        file: A path, or a file object.

    Returns:
        A PIL image, turned upright; a large JPEG at a fraction of its size.

    Raises:
        InputError: There is no such file, or it is no whole image.
    """
    if isinstance(file, (str, os.PathLike)) and not os.path.isfile(file):
        if os.path.isdir(file):
            raise InputError("a folder without images")
        raise InputError("not a file" if os.path.exists(file) else "no such file or folder")
    try:
        image = Image.open(file)
        image.draft(None, (SIDE, SIDE))
        ImageOps.exif_transpose(image, in_place=True)
    # A damaged file can raise nearly anything in Pillow's many decoders.
    except Exception as error:
        reason = getattr(error, "strerror", None)
        raise InputError(reason or f"not an image that can be read ({error})") from error
    return image


def to_grey(image):
    """Convert an image to grey, so that the contrast of its colours is kept.

    Args:
        image: a PIL.Image of any mode.

    Returns:
        uint8 (h, w), at most SIDE large.

    Raises:
        InputError: Pillow has no conversion from its mode.
    """
    if 0 in image.size:
        raise InputError("an image without pixels")
    if image.mode[0] in "FI":  # floats, and integers of more than 8 bits
        values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        return reduced(cv2.normalize(values, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U))
    try:
        colours = image.convert("RGB")
    except ValueError as error:
        raise InputError(f"not an image that can be read ({error})") from error
    if image.has_transparency_data:
        # What is transparent takes the colour of the ground: of all where most is opaque;
        # elsewhere what is opaque is ink, and the ground as unlike it as can be.
        alpha = image.convert("RGBA").getchannel("A")
        ground = ImageStat.Stat(colours, alpha).median
        if np.mean(alpha) < 128:
            ground = [255 if value < 128 else 0 for value in ground]
        colours = Image.composite(colours, Image.new("RGB", image.size, tuple(ground)), alpha)
    colours = reduced(np.asarray(colours))
    # The principal axis of the colours, from dark to light, in weights that add up to 1.
    _, axis = cv2.PCACompute(np.float32(colours[::2, ::2].reshape(-1, 3)), None, maxComponents=1)
    axis *= np.copysign(1, axis.sum()) / (np.abs(axis).sum() or 1)
    lowest = 255 * np.minimum(axis, 0).sum()
    return cv2.transform(colours, np.append(axis, [[-lowest]], axis=1))


def reduced(picture):
    """Shrink a picture, uint8 (h, w) or (h, w, 3), to at most SIDE large."""
    scale = min(1, SIDE / max(picture.shape))
    size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def find_digits(image):
    """Find the digits in an image, a drawing or a photograph, dark on light or light on dark.

    Args:
        image: a PIL.Image of any mode and size.

    Returns:
        A list of Digits in reading order, at least one.

    Raises:
        InputError: there is no digit in it, or it has no pixels that can be read.
    """
    grey = cv2.normalize(to_grey(image), None, 255, 0, cv2.NORM_INF)  # so dim light costs nothing
    small = max(grey.shape) <= SMALL
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3) if small else (7, 7)))
    # Noise and the grain of paper are no edges.
    edges = cv2.subtract(edges, int(np.percentile(edges, 10)))
    candidates = []
    for ink, level in pictures_of_ink(grey):
        largest = marks(ink, level, grey, edges, 4)  # a digit among them, if there is one
        inner = [mark for mark in largest if not surrounds(mark, largest)]
        candidates.extend((mark, ink, level) for mark in inner if mark.score > LEAST_SCORE)
    if not candidates:
        raise InputError("no digit found")
    winner, ink, level = max(candidates, key=lambda candidate: candidate[0].score)
    found = marks(ink, level, grey, edges, 200)  # the digits of a full sheet
    digits = [[winner, *found]] if small else grouped(found, winner)
    return [
        Digit(*as_mnist(ink, parts), number, parts[0].score)
        for number, row in enumerate(in_rows(digits))
        for parts in row
    ]


def pictures_of_ink(grey):
    """Yield what may be ink, uint8 (h, w), and a level to cut it at.

    Ink is darker or brighter than all around it, which a black-hat or a top-hat
    brings out (Meyer, "Contrast feature extraction", 1979; Serra, "Image analysis
    and mathematical morphology", 1982), here relative to the light.
    """
    side = max(grey.shape)
    if side <= SMALL:
        border = np.concatenate([grey[0], grey[:, -1], grey[-1], grey[:, 0]])
        ink = cv2.absdiff(grey, float(np.median(border)))
        yield ink, cv2.threshold(ink, 0, 1, cv2.THRESH_OTSU)[0]
        return
    brush = np.ones((side // 5 | 1, side // 5 | 1))  # wider than a stroke
    light = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, brush)
    for hat in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT):
        ink = cv2.morphologyEx(grey, hat, brush)
        ink = cv2.divide(ink, cv2.max(light, DARKEST_LIGHT), scale=255)
        for level in LEVELS:
            yield ink, level


def marks(ink, level, grey, edges, count):
    """Return a list of the Marks with the longest outlines, of at most so many."""
    outlines, tree = cv2.findContours(np.uint8(ink > level), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outer = [number for number in range(len(outlines)) if tree[0, number, 3] < 0]
    found = []
    for number in sorted(outer, key=lambda number: -len(outlines[number]))[:count]:
        parts, hole = [outlines[number]], tree[0, number, 2]
        while hole >= 0:
            parts.append(outlines[hole])
            hole = tree[0, hole, 0]
        found.append(rated(parts, grey, edges))
    return found


def rated(outlines, grey, edges):
    """Make a Mark, its score the higher the more it is like ink.

    Ink is contrasted to the paper around it and sharp along all its outline, which
    tells it from shadows and rims of a sheet; it is long, thin, leaves room in its
    box, and is seldom wider than high, or at a side of the picture.
    """
    x, y, width, height = box = cv2.boundingRect(outlines[0])
    left, top = max(x - 3, 0), max(y - 3, 0)
    around_it = grey[top : y + height + 3, left : x + width + 3]
    mask = np.zeros_like(around_it)
    cv2.drawContours(mask, outlines, -1, 1, cv2.FILLED, offset=(-left, -top))
    around = cv2.dilate(mask, None, iterations=3) > mask
    contrast = tenth(cv2.absdiff(around_it[around], cv2.mean(around_it, mask)[0]))
    rows, columns = edges.shape
    outline = np.concatenate(outlines)[:, 0]
    inner = outline[np.all((outline > 0) & (outline < (columns - 1, rows - 1)), axis=1)]
    sharpness = tenth(edges[inner[:, 1], inner[:, 0]])
    length = (SIDE * len(outline) / max(edges.shape)) ** 0.75
    stroke = 2 * cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 3).max()
    thinness = min(max(width, height) / stroke, 4.5) ** 2
    free = np.clip(1 - cv2.mean(mask)[0] * mask.size / (width * height), 0.1, 0.5)
    upright = min(1, height / width)
    reached = [x == 0, y == 0, x + width == columns, y + height == rows].count(True)
    score = contrast * sharpness * length * thinness * free * upright * 0.3**reached
    return Mark(outlines, box, score)


def tenth(values):
    """Return the value that a tenth of the values stay below."""
    place = values.size // 10
    return float(np.partition(values.ravel(), place)[place]) if values.size else 0.0


def overlap(one, other, axis):
    """Return how far two boxes overlap in x (axis 0) or y (1); minus the gap between them."""
    ends = min(box[axis] + box[axis + 2] for box in (one, other))
    return ends - max(one[axis], other[axis])


def surrounds(mark, others):
    """Tell whether a mark is a frame, box or circle: there is one like a digit in it."""
    return any(
        other.score > LEAST_SCORE
        and overlap(mark.box, other.box, 0) == other.box[2]
        and overlap(mark.box, other.box, 1) == other.box[3]
        for other in others
        if other is not mark
    )


def grouped(found, winner):
    """Return a list of digits, each a list of Marks: the main one and the parts beside it."""

    def is_digit(mark):
        return mark.box == winner.box or (
            mark.score > 0.1 * winner.score
            and 0.5 < mark.box[3] / winner.box[3] < 2
            and not surrounds(mark, found)
        )

    def nearness(one, other):
        return min(overlap(one.box, other.box, axis) for axis in (0, 1))

    digits = [[mark] for mark in found if is_digit(mark)]
    for part in found:
        parts = max(digits, key=lambda parts: nearness(part, parts[0]))
        _, y, width, height = parts[0].box
        if (
            not is_digit(part)
            and nearness(part, parts[0]) > -0.5 * max(width, height)
            and len(part.outlines[0]) > 0.2 * len(parts[0].outlines[0])  # and no speck
            and max(part.box[2:]) < 0.8 * height  # and no ruled line, no other digit
            and part.box[1] < y + height  # and no underline, no edge of a sheet
        ):
            parts.append(part)
    return digits


def in_rows(digits):
    """Sort digits into rows, from the top, each from left to right."""
    rows = []
    for digit in sorted(digits, key=lambda parts: parts[0].box[0]):
        box = digit[0].box
        for row in rows:
            last = row[-1][0].box
            if overlap(box, last, 1) > 0.5 * min(box[3], last[3]):
                row.append(digit)
                break
        else:
            rows.append([digit])
    return sorted(rows, key=lambda row: np.mean([parts[0].box[1] for parts in row]))


def as_mnist(ink, parts):
    """Return the picture of a digit, and its box, as a Digit has them."""
    mask = np.zeros_like(ink)
    for mark in parts:
        cv2.drawContours(mask, mark.outlines, -1, 1, cv2.FILLED)
    x, y, width, height = cv2.boundingRect(mask)
    box = np.s_[max(y - 2, 0) : y + height + 2, max(x - 2, 0) : x + width + 2]
    ink, mask = ink[box], mask[box]
    # The soft edge of the strokes is just outside the mask.
    around = cv2.dilate(mask, None, iterations=2)
    ink = cv2.multiply(ink, around, scale=225 / cv2.mean(ink, mask)[0])
    return centred(with_visible_stroke(cut(ink))), box


def with_visible_stroke(digit):
    """Widen a stroke so thin that it would vanish when the digit, uint8 (h, w), is shrunk.

    The width of a long stroke is twice its area over its perimeter.
    """
    solid = np.uint8(digit > 127)
    outlines, _ = cv2.findContours(solid, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    perimeter = max(1, sum(cv2.arcLength(outline, True) for outline in outlines))
    scale = BOX / max(digit.shape)
    width = scale * 2 * cv2.countNonZero(solid) / perimeter  # in pixels of the box
    if width >= 1.8:  # as MNIST's are
        return digit
    missing = round(4 * (2.3 - width))  # four subpixels a pixel of the box
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
    return cut(cv2.dilate(np.pad(resized(digit, 4 * scale), missing), pen))


if __name__ == "__main__":
    with run_as_script():
        main()
