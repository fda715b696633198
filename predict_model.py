"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first scores the network of `train_model.py` on MNIST's test set, and plots its
mistakes. The second prints the digits in each image, and plots what the network saw.

Importing this file does what importing `train_model.py` does, and has Pillow
open the photographs of today's phones: HEIC, and 200 million pixels.
"""

import contextlib
import csv
import io
import math
import os
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parent))  # With PYTHONSAFEPATH it is not there.

# First, as it sets Keras up.
import train_model
from train_model import (
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    check_writable,
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
from PIL import Image, ImageOps

try:
    import pi_heif
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install -r requirements.txt")

Image.init()  # Pillow's own readers go first: pi_heif takes AVIF for HEIC, and cannot read it.
pi_heif.register_heif_opener()  # the photographs of iPhones
Image.MAX_IMAGE_PIXELS = 250_000_000  # Phones take 200 million; Pillow warns of more.

CERTAIN = 0.8  # A digit with less confidence is reported as uncertain.
MOST_PLOTTED = 100  # images, or they are too small to see
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".heic", ".heif", ".hif", ".avif", ".webp"),
    *(".png", ".gif", ".bmp", ".tga", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm"),
)
SKIPPED = "plots", "__MACOSX"  # folders: what both scripts plot, what macOS puts into a zip


# ---------------------------------------------------------------- the command line


def main():
    """Score the test set, read images, or open the window to draw in; returns the exit status."""
    arguments = parse_arguments()
    model = load_model(arguments.model)
    status = 0
    if arguments.draw:
        window = draw_window(model)
        if not window.canvas.required_interactive_framework and plt.get_backend() != "webagg":
            raise InputError(
                "--draw: there is no display for its window; to draw in a browser,"
                " pip install tornado, and set MPLBACKEND=webagg"
            )
    elif arguments.images:
        status = read_images(model, arguments)
    else:
        images, labels, data = load_digits(arguments.data, "test")
        probabilities = predict(model, images)
        title, plots = f"test images of {data}", f"{arguments.plots}/"
        report_scores(model, title, labels, probabilities, images, plots)
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
    add("--csv", metavar="FILE", help="a table to write, a row for each digit that was read")
    arguments = parser.parse_args()
    if arguments.csv and not arguments.images:
        parser.error("argument --csv: it is for images, and there are none")
    if arguments.csv and arguments.csv.lower().endswith(IMAGE_ENDINGS):
        parser.error(f"argument --csv: {arguments.csv} would replace an image")
    return arguments


def read_images(model, arguments):
    """Read the digits in images, and score those in folders 0 to 9; returns the exit status."""
    if arguments.csv:
        check_writable(arguments.csv)
    results = []
    for name, path, page in pages(arguments.images):
        image, readings = None, []
        try:
            image, _ = as_image(path, page)
            readings = predict_digits(model, image)
            print(name, *describe(readings), *list_doubts(readings), sep="\t")
        except InputError as error:
            print_message("error", f"{name}: {error}")
        results.append((name, readings, image if len(results) < MOST_PLOTTED else None))
    if arguments.csv:
        write_table(arguments.csv, results)
    shown = [result for result in results[:MOST_PLOTTED] if result[1]]
    if shown:
        save_plot(plot_readings(shown, len(results)), f"{arguments.plots}/own_digits.png")
    score_labelled(model, results, f"{arguments.plots}/own_")
    return 0 if all(readings for _, readings, _ in results) else 1


def write_table(path, results):
    """Write a CSV file with a row for each digit of the results of read_images."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    shares = [f"p{digit}" for digit in range(CLASSES)]
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file)
        table.writerow(["path", "row", "place", "digit", "confidence", "doubt", *shares])
        for name, readings, _ in results:
            for it in readings:
                digit = it.row, it.place, it.digit, it.confidence, it.doubt
                table.writerow([name, *digit, *it.probabilities])


def score_labelled(model, results, plots):
    """Score images that all lie in folders 0 to 9: right is one read as just that digit."""
    labelled = [(label_of(name), readings) for name, readings, _ in results]
    read = [(label, readings[0]) for label, readings in labelled if len(readings) == 1]
    if not read or any(label is None for label, _ in labelled):
        return
    labels, digits = zip(*read)
    probabilities = np.array([digit.probabilities for digit in digits])
    pictures = np.array([digit.picture for digit in digits])
    unread = len(results) - len(read)
    report_scores(model, "images", np.array(labels), probabilities, pictures, plots, unread)


def label_of(path):
    """Return the digit that an image's folder is named after, or None, as in the date 2026/1/5."""
    folder = Path(os.path.abspath(path)).parent
    is_label = folder.name in [*"0123456789"] and not folder.parent.name.isdecimal()
    return int(folder.name) if is_label else None


# ---------------------------------------------------------------- files of images


def pages(paths):
    """Yield name, file and page of each image at or below the paths; of a TIFF each page is one."""
    for path in paths:
        for file in sorted(images_below(path)) or [path]:
            count = 1
            if os.path.isfile(file):  # To open a pipe twice would lose what is in it.
                with contextlib.suppress(Exception), Image.open(file, formats=["TIFF"]) as tiff:
                    count = tiff.n_frames
            for page in range(count):
                yield (f"{file}[{page + 1}]" if count > 1 else file), file, page


def images_below(folder):
    """Yield the images in a folder, by their names, and in those below it, linked ones once."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (target := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(target)
        folders[:] = sorted(it for it in folders if it not in SKIPPED and it[0] != ".")
        for name in names:
            if name[0] != "." and name.lower().endswith(IMAGE_ENDINGS):
                yield os.path.join(place, name)


def as_image(source, page=0):
    """Make an upright RGBA image, at most SIDE large, of what predict_digits is given.

    Returns it, and its width and height in pixels before. Raises InputError if it is no image.
    """
    try:
        if isinstance(source, str | os.PathLike):
            if os.path.isdir(source):
                raise ValueError("a folder without images")
            # A TIFF that is tagged as turned is scrambled by Pillow if it is opened by name.
            source = io.BytesIO(Path(source).read_bytes())
        if is_file := hasattr(source, "read"):
            source = Image.open(source)
            source.seek(page)
        elif not isinstance(source, Image.Image):
            source = Image.fromarray(as_bytes(source))
        width, height = source.size
        if not width * height:
            raise ValueError("it has no pixels")
        if is_file:
            source.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        image = ImageOps.exif_transpose(source)
        if (width > height) != (image.width > image.height):
            width, height = height, width
        across, down = map(float, image.info.pop("dpi", (1, 1)))
        if image.mode[0] in "FI":  # floats, and integers of more than 8 bits
            image = Image.fromarray(as_bytes(image))
        image = image.convert("RGBA")
        least, most = image.getchannel("A").getextrema()
        if least == most:  # An alpha that is the same everywhere says nothing, even if it is 0.
            image.putalpha(255)
        if down / 3 < across < down or down < across < down * 3:  # as on pages of a fax
            square = width * max(1, down / across), height * max(1, across / down)
            image = image.resize([round(side) for side in square])
        image.thumbnail((SIDE, SIDE), Image.BILINEAR)
        return image, (width, height)
    # What is no image, or a damaged one, can raise nearly anything in NumPy and Pillow.
    except Exception as error:
        reason = textwrap.shorten(str(error), 200)
        reason = getattr(error, "strerror", None) or f"not an image that can be read ({reason})"
        raise InputError(reason) from error


def as_bytes(values):
    """Scale an array of any type but uint8 by its own range; returns uint8."""
    values = np.asarray(values).squeeze()
    if values.shape == (math.prod(IMAGE_SHAPE),):
        values = values.reshape(IMAGE_SHAPE)
    if values.dtype == np.uint8:
        return values
    values = np.nan_to_num(np.float32(values), posinf=0, neginf=0)
    return np.interp(values, (values.min(), values.max()), (0, 255)).astype(np.uint8)


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
        (probabilities,) = predict(model, np.zeros((1, *IMAGE_SHAPE), np.uint8))
        adds_up = np.isclose(probabilities.sum(), 1, atol=1e-3)
        if probabilities.shape != (CLASSES,) or probabilities.min() < 0 or not adds_up:
            raise ValueError("its outputs are no ten probabilities")
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        while error.__context__:  # Keras says last what it met first.
            error = error.__context__
        raise InputError(
            f"{path}: Keras {keras.__version__} cannot use it: {textwrap.shorten(str(error), 200)};"
            " wanted is what Keras's save wrote, named .keras or, as HDF5, .h5 (rename it, or save"
            " it again): a network from 28x28 pixels to ten probabilities, by a softmax"
        ) from error
    return model


def report_scores(model, data, labels, probabilities, pictures, plots, unread=0):
    """Print and plot the scores of n images, named `data` in words; so many unread ones are wrong.

    Labels are int (n,), and pictures are what the network saw. The paths of the plots begin with
    `plots`.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = tf.math.confusion_matrix(labels, predicted, CLASSES).numpy()
    wrong = predicted != labels
    total, mistakes = len(labels) + unread, wrong.sum() + unread
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
    figure = plot_mistakes(pictures[wrong], labels[wrong], probabilities[wrong], title)
    save_plot(figure, f"{plots}misclassified.png")
    save_plot(plot_confusion(confusion, title), f"{plots}confusion_matrix.png")


def calibration_error(labels, probabilities):
    """Compute the expected calibration error of probabilities (n, 10), from 0 to 1.

    It is the mean distance between accuracy and mean confidence in ten bins of
    confidence, weighted by their images (Guo, Pleiss, Sun and Weinberger, "On
    calibration of modern neural networks", ICML 2017).
    """
    confidences = probabilities.max(axis=1)
    right = np.float32(probabilities.argmax(axis=1) == labels)
    sums, _ = np.histogram(confidences, 10, (0, 1), weights=confidences - right)
    return abs(sums).sum() / len(labels)


def print_classification_report(confusion):
    """Print precision, recall, F1 score and support of each digit that occurs, and averages."""
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    # Where a digit was never predicted its precision counts as 0.
    counts = np.maximum([predicted, support, (predicted + support) / 2], 1)
    scores = (np.diag(confusion) / counts).T  # precision, recall, F1 score
    occurring, total = np.flatnonzero(support + predicted), support.sum()
    line = "{:>12}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format
    print("\n              precision     recall   f1-score    support")
    for digit in occurring:
        print(line(digit, *scores[digit], support[digit]))
    print(line("macro avg", *scores[occurring].mean(axis=0), total))
    print(line("weighted avg", *support @ scores / total, total))


# ---------------------------------------------------------------- plots


def plot_mistakes(pictures, labels, probabilities, title):
    """Plot mistakes, the most confident first, and no more than can be seen; returns the figure."""
    confidences = probabilities.max(axis=1)
    shown = np.argsort(-confidences, kind="stable")[:60]
    figure = new_grid(len(shown), 10, f"{title}; shown: the {len(shown)} most confident mistakes")
    for axis, index in zip(figure.axes, shown):
        read = f"read {probabilities[index].argmax()} ({confidences[index]:.1%})"
        show_picture(axis, pictures[index], f"true {labels[index]}\n{read}")
    return figure


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


def plot_readings(results, total):
    """Plot the results of so many images beside what the network saw; returns the figure.

    A box shows where each digit is, a red one an uncertain digit.
    """
    pairs_a_row = math.ceil(math.sqrt(len(results)))
    title = f"{len(results)} of {total:,} images, as given and as the network saw them"
    figure = new_grid(2 * len(results), 2 * pairs_a_row, title)
    for (name, readings, image), given, seen in zip(results, figure.axes[::2], figure.axes[1::2]):
        show_picture(given, image, Path(name).name[-15:])
        number, confidence = describe(readings)
        show_picture(seen, tile(readings), f"{number[-15:]} ({confidence})")
        for reading in readings:
            left, top, width, height = reading.box
            colour = "red" if reading.doubt or reading.confidence < CERTAIN else "tab:blue"
            given.add_patch(plt.Rectangle((left, top), width, height, fill=False, color=colour))
            given.text(left, top, reading.digit, color=colour, fontsize="small", va="bottom")
    return figure


def tile(readings):
    """Lay the pictures of an image's digits out in their rows; returns uint8 (h, w)."""
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
    """Show a picture, uint8 (h, w), or a PIL image, below a text; returns Matplotlib's image."""
    axis.set_title(drawable(text), fontsize="small", parse_math=False)
    axis.set(xticks=[], yticks=[])
    return axis.imshow(picture, cmap="gray", vmin=0, vmax=255)


# ---------------------------------------------------------------- the window to draw in

SHEET = (280, 420)  # pixels of the sheet to draw on, with room for three digits side by side
PEN = 18  # pixels of its stroke: a felt pen's, on such a sheet
REST = 100  # milliseconds; when the pen rests so long the sheet is read


def draw_window(model):
    """Make a window to draw digits in; returns the figure, which `plt.show()` runs."""
    sheet = np.full(SHEET, 255, np.uint8)
    stroke = []  # the places of the pen since it was set down
    blank = np.zeros(IMAGE_SHAPE), np.zeros(CLASSES)  # what an empty sheet shows
    with plt.rc_context({"toolbar": "None"}):
        figure = new_plot("", 11, 4, 1, 3)
    figure.get_layout_engine().set(rect=(0, 0.1, 1, 0.9))  # with room for the buttons
    canvas = figure.canvas
    canvas.manager.set_window_title("Draw a digit")
    canvas.mpl_disconnect(canvas.manager.key_press_handler_id)  # Matplotlib's own keys
    left, middle, right = figure.axes
    right.set(xlim=(0, 1), xticks=[], yticks=range(CLASSES), ylim=(CLASSES, -1))
    drawn = show_picture(left, sheet, "draw here")
    seen = show_picture(middle, blank[0], "what the network sees")
    bars = right.barh(range(CLASSES), 0)

    def read():
        """Read the sheet, and show its number, and what its last digit is."""
        number, (picture, probabilities) = "", blank
        with contextlib.suppress(InputError):  # An empty sheet has no digit.
            *_, last = readings = predict_digits(model, sheet)
            number = " ".join(describe(readings))
            picture, probabilities = last.picture, last.probabilities
        drawn.set_data(sheet)
        seen.set_data(picture)
        right.set_title(number)
        for bar, probability in zip(bars, probabilities):
            bar.set_width(probability)
        canvas.draw_idle()

    rest = canvas.new_timer(REST, [(read, (), {})])
    rest.single_shot = True

    def draw(event):
        """Draw to where the pen is, if it is down; a stroke that leaves the sheet ends there."""
        if event.button is None or event.inaxes is not left:
            stroke.clear()
            return
        stroke.append((round(event.xdata), round(event.ydata)))
        cv2.line(sheet, stroke[-2:][0], stroke[-1], 0, PEN, cv2.LINE_AA)
        drawn.set_data(sheet)
        canvas.draw_idle()
        rest.start()

    def lift(event):
        stroke.clear()
        read()

    def clear(event):
        sheet[:] = 255
        read()

    canvas.mpl_connect("button_press_event", draw)
    canvas.mpl_connect("motion_notify_event", draw)
    canvas.mpl_connect("button_release_event", lift)
    canvas.mpl_connect("key_press_event", lambda event: event.key == "escape" and plt.close(figure))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # To lay out anew would take longer than to draw.
    figure.buttons = []  # One that nobody keeps does nothing.
    actions = {"Clear": clear, "Save": lambda event: save_sheet(sheet)}
    for place, (label, action) in zip((0.05, 0.16), actions.items()):
        button = plt.Button(figure.add_axes((place, 0.02, 0.1, 0.08)), label)
        button.on_clicked(action)
        figure.buttons.append(button)
    return figure


def save_sheet(sheet):
    """Save a sheet under the next free name."""
    count = 1
    while (path := Path(f"drawn_{count}.png")).exists():
        count += 1
    try:
        Image.fromarray(sheet).save(path)
        print(f"saved as {path}")
    except OSError as error:
        print_message("error", f"{path}: {error.strerror}")


# ---------------------------------------------------------------- the digits of an image


class Reading(NamedTuple):
    """A digit of an image, and how the network reads it."""

    picture: np.ndarray  # as MNIST's are: uint8 (28, 28), 0 (background) to 255 (ink)
    box: tuple  # left, top, width, height in pixels of what as_image returns: at most SIDE large
    row: int  # 1 is the top one
    place: int  # in its row, 1 is the left one
    score: float  # how much it is like a digit
    probabilities: np.ndarray = np.zeros(CLASSES, np.float32)  # all 0: not read yet
    doubt: str = ""  # what is uncertain beside the digit, as "perhaps a digit is missing after it"

    @property
    def digit(self):
        """The most probable digit, an int."""
        return int(self.probabilities.argmax())

    @property
    def confidence(self):
        """Its probability, from 0 to 1."""
        return float(self.probabilities.max())


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
    grey = to_grey(as_image(image)[0])
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
