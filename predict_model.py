"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first prints the accuracy on MNIST's test set, the classification report
and the confusion matrix, and plots the misclassified digits. The second reads
each image, prints its digit, and plots what the network saw. Train the
network first: `train_model.py`.

Importing this file does what importing `train_model.py` does.
"""

import collections
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

# First, as it sets Keras up.
from train_model import (
    BOX,
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    as_input,
    check_writable,
    cut,
    drawable,
    fit,
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
import tensorflow as tf
from PIL import Image, ImageChops, ImageOps, ImageStat

AT_A_TIME = 500  # images read or predicted together, which bounds the memory
DIGITS = [*"0123456789"]
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


def predict_digit(model, image):
    """Read the digit in one image.

    Args:
        model: The network, from load_model.
        image: The path of an image file, a file object, a PIL image, or an array
            of shape (h, w), (h, w, 3) or (h, w, 4): uint8 from 0 to 255, or of
            another type, in whatever range.

    Returns:
        The digit, an int, and the probabilities, float32 (10,).

    Raises:
        InputError: It is no image, or there is no digit in it.
    """
    probabilities = predict(model, read_digit(as_image(image))[np.newaxis])[0]
    return int(probabilities.argmax()), probabilities


def doubt(probabilities, alone):
    """Say why the reading of an image is uncertain; an empty str where it is not."""
    if not alone:
        return "uncertain, more than one digit?"
    if probabilities.max() >= 0.8:
        return ""
    second = np.argsort(probabilities)[-2]
    return f"uncertain, perhaps {second} ({probabilities[second]:.1%})"


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


def classification_report(confusion):
    """Format precision, recall, F1 score and support of each digit, and their averages.

    Where a digit was never predicted its precision counts as 0. Digits that
    neither occur nor were predicted have no row and no part in the averages.

    Args:
        confusion: The confusion matrix, int (10, 10), a row a true digit.

    Returns:
        A table, a str of several lines.
    """
    right, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
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


def report_scores(model, data, labels, probabilities, pictures, plots, prefix=""):
    """Print and plot what the network got right and wrong.

    Args:
        model: The network; its name says what it was trained on.
        data: What was read, in words.
        labels: The true digits, int (n,).
        probabilities: float32 (n, 10).
        pictures: What the network saw, uint8 (n, 28, 28).
        plots: The folder for the plots.
        prefix: What the names of the plots begin with.
    """
    predicted = probabilities.argmax(axis=1)
    confusion = tf.math.confusion_matrix(labels, predicted, CLASSES).numpy()
    wrong = np.flatnonzero(predicted != labels)
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    print_result("network", model.name)
    print_result("data", data)
    print_result("accuracy", f"{1 - len(wrong) / len(labels):.2%} of {len(labels):,} images")
    print_result("loss", f"{np.mean(losses):.4f}")
    print_result("calibration error", f"{calibration_error(labels, probabilities):.2%}")
    print_result("misclassified", f"{len(wrong):,}")
    print(f"\n{classification_report(confusion)}\n")
    print(f"confusion matrix, a row a true digit, a column a predicted one\n{confusion}\n")
    title = f"{data}: {len(wrong):,} of {len(labels):,} misclassified"
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
    cells = []
    for index in shown:
        predicted = probabilities[index].argmax()
        text = f"true {labels[index]}\nread {predicted} ({confidences[index]:.1%})"
        cells.append((pictures[index], text, "black"))
    return plot_pictures(cells, 10, f"{title}; shown: the {len(shown)} most confident mistakes")


def plot_readings(readings, total):
    """Plot images as given, each beside what the network saw, with its digit; the figure.

    A reading is (path, picture, alone, probabilities), of a total of so many.
    """
    cells = []
    for path, picture, alone, probabilities in readings:
        text = f"{probabilities.argmax()} ({probabilities.max():.1%})"
        colour = "red" if doubt(probabilities, alone) else "black"
        cells.append((to_grey(open_image(path)), drawable(Path(path).name[-15:]), "black"))
        cells.append((picture, text, colour))
    columns = 2 * min(len(readings), 4 if len(readings) <= 20 else 10)
    title = f"{len(readings)} of {total:,} images, as given and as the network saw them"
    return plot_pictures(cells, columns, title)


def plot_pictures(cells, columns, title):
    """Plot a grid of cells (picture, its title, the title's colour); returns the figure."""
    rows = math.ceil(len(cells) / columns) or 1
    height = 1.5 * rows + 0.5
    figure, axes = new_plot(max(5, 1.2 * columns), height, rows, columns)
    figure.subplots_adjust(0.02, 0.1 / height, 0.98, 1 - 0.9 / height, 0.2, 0.4)
    figure.suptitle(title, parse_math=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (picture, text, colour) in zip(axes.flat, cells, strict=False):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(text, fontsize="small", color=colour, parse_math=False)
    return figure


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
        help="where to write path, digit, confidence and probabilities; - is standard output",
    )
    arguments = parser.parse_args()
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
    total, problems, shown, known = 0, [], [], []
    with open_table(arguments.csv) as table:
        add_row = csv.writer(table).writerow
        add_row(["path", "digit", "confidence", *(f"p{digit}" for digit in range(CLASSES))])
        for reading in read_images(model, arguments.images, problems):
            path, picture, alone, probabilities = reading
            digit, confidence = probabilities.argmax(), probabilities.max()
            line = [printable(path), f"{digit}", f"{confidence:.1%}", doubt(probabilities, alone)]
            print("\t".join(filter(None, line)))
            add_row([path, digit, *(f"{p:.6f}" for p in (confidence, *probabilities))])
            total += 1
            if total <= 100:
                shown.append(reading)
            label = Path(path).resolve().parent.name
            if label in DIGITS:
                known.append((int(label), probabilities, picture))
        if shown:
            save_plot(plot_readings(shown, total), plot, "Your own digits")
        if known:
            labels, probabilities, pictures = map(np.array, zip(*known, strict=True))
            report_scores(model, "images", labels, probabilities, pictures, arguments.plots, "own_")
    return 1 if problems else 0


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
    run = read_own_digits if arguments.images else score_test_set
    status = run(model, arguments)
    plt.show()
    sys.exit(status)


# ---------------------------------------------------------------- files of images


def read_images(model, paths, problems):
    """Yield (path, picture, alone, probabilities) of each image; says and collects problems."""
    files = image_files(paths)
    while batch := list(itertools.islice(files, AT_A_TIME)):
        found = []
        for path in batch:
            try:
                found.append((path, *find_digit(open_image(path))))
            except InputError as problem:
                print_message("error", f"{path}: {problem}")
                problems.append(path)
        if found:
            pictures = np.array([picture for _, picture, _ in found])
            for one, probabilities in zip(found, predict(model, pictures), strict=True):
                yield *one, probabilities


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


def open_image(file):
    """Open and decode an image file of any kind that Pillow reads; of an animation the first.

    Args:
        file: A path, or a file object.

    Returns:
        A PIL image, turned as it was taken.

    Raises:
        InputError: There is no such file, or it is no whole image.
    """
    if isinstance(file, (str, os.PathLike)) and not os.path.isfile(file):
        if os.path.isdir(file):
            raise InputError("a folder without images")
        raise InputError("not a file" if os.path.exists(file) else "no such file or folder")
    try:
        image = Image.open(file)
        image.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        ImageOps.exif_transpose(image, in_place=True)
    # A damaged file can raise nearly anything in Pillow's many decoders.
    except Exception as error:
        raise InputError(
            getattr(error, "strerror", None) or f"not an image that can be read ({error})"
        ) from error
    return image


def read_digit(image):
    """Turn an image of a handwritten digit into what MNIST would have made of it.

    Args:
        image: A PIL image of any mode and size, a drawing or a photograph, dark
            ink on light ground or light on dark.

    Returns:
        uint8 (28, 28), 0 (ground) to 255 (ink).

    Raises:
        InputError: There is no digit in it.
    """
    return find_digit(ImageOps.exif_transpose(image))[0]


# Something that may be a digit: its ink, 0 to 255, and its mask, 1 where it is, both uint8 of
# shape (h, w); the box of both in the picture, as slices; whether no mark like it stands beside
# it; how many sides of the picture it reaches; and the largest part's share of all ink.
Mark = collections.namedtuple("Mark", "ink mask box alone sides share")


def find_digit(image):
    """Return the picture that read_digit returns, and whether the digit stands alone in the image.

    An image with a clear mark on an even ground is read by its brightness
    alone, and a small one with any; all others as photographs.
    """
    grey = to_grey(image)
    mark = find_drawn(grey) or find_photographed(grey)
    if not mark:
        raise InputError("no digit found")
    # The soft edge of the strokes is just outside the mask.
    around = cv2.dilate(mark.mask, None, iterations=2)
    ink = cv2.multiply(mark.ink, around, scale=225 / cv2.mean(mark.ink, mark.mask)[0])
    return fit(with_visible_stroke(cut(ink))), mark.alone


def to_grey(image):
    """Convert a PIL image of any mode to grey, at most SIDE large; uint8 of shape (h, w)."""
    if image.mode[0] in "FI":
        values = np.nan_to_num(np.asarray(image, np.float32))
        grey = cv2.normalize(values, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    else:
        try:
            grey = image.convert("L")
        except ValueError as error:
            raise InputError(f"Pillow cannot make a {image.mode} image grey") from error
        if image.has_transparency_data:
            # What is transparent takes the colour of the ground: of all where most is opaque;
            # elsewhere what is opaque is ink, and the ground as unlike it as can be.
            alpha = image.convert("RGBA").getchannel("A")
            opaque = ImageStat.Stat(grey, alpha).median[0]
            ground = opaque if np.mean(alpha) > 127 else 255 * (opaque < 128)
            grey.paste(ground, mask=ImageChops.invert(alpha))
    return resized(np.asarray(grey), min(1, SIDE / max(image.size)))


def find_drawn(grey):
    """Find a mark that differs in brightness from the ground at the border; a Mark or None.

    Unless the image is small, it is thin for how it fills the picture, the border even
    where it does not cross it, its largest part nearly all that there is, and nothing much
    more unlike the ground, as ink is beside a shadow; the less so the more sides it reaches.
    """
    small = max(grey.shape) <= 60 or min(grey.shape) < BOX  # pixels: room for a digit alone
    border = np.int16(np.concatenate([grey[0], grey[:, -1], grey[-1], grey[:, 0]]))
    ground = int(np.sort(border)[border.size // 2])
    ink = cv2.subtract(ground, grey) if cv2.mean(grey)[0] < ground else cv2.subtract(grey, ground)
    level, solid = cv2.threshold(ink, 0, 1, cv2.THRESH_OTSU)
    mean, deviation = cv2.meanStdDev(ink, mask=1 - solid)
    if cv2.mean(ink, solid)[0] - mean < max(10, 4 * deviation):
        return None
    if small and cv2.connectedComponents(solid)[0] == 2:  # as most; quickly told
        return Mark(ink, solid, None, True, 0, 1)
    mark = next(marks(ink, level), None)
    if not mark or mark.share < 0.3:  # as in noise
        return None
    crossed = abs(border - ground) > level  # by ink, if in a few places
    slim = mark.mask.mean() < 0.6  # for its box, as digits but one are, and no sheet
    crop = slim and mark.mask.size > 0.4 * grey.size
    clear = small or (
        np.diff(crossed).sum() < 14
        and mark.share > 0.9
        and (slim or mark.sides in (0, 4))
        and (3.1 - 0.6 * min(mark.sides, 2)) * np.percentile(ink[solid > 0], 20)
        > cv2.absdiff(grey, ground).max()
        and crossed.mean() < (0.4 if mark.sides == 4 else 0.25)
        and stroke_width(mark) < (0.45 if crop else 0.25) * max(mark.mask.shape)
    )
    return mark if clear else None


def marks(ink, level):
    """Yield the two largest marks above a level of ink, uint8 of shape (h, w), each as a Mark.

    Near parts belong to a mark, like the bar of a 5, if they have at least a
    twenty-fifth of its ink; but not another as high close beside it, nor what
    reaches the sides of the picture: paper, desk and pens, which rank lower.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.uint8(ink > level))
    start, size, area = stats[:, :2], stats[:, 2:4], stats[:, 4]
    area[0] = 0  # the ground
    end = start + size
    sides = ((start == 0) + 1 * (end == ink.shape[::-1])).sum(axis=1)  # of the picture
    for largest in np.argsort(-area / 2.0**sides)[: min(2, count - 1)]:
        share = area / area[largest]
        if (share > 0.6).sum() > 8:
            continue  # squares of paper, tiles, the grain of wood
        inside = sides == 0
        apart = np.maximum(start, start[largest]) - np.minimum(end, end[largest])
        near = apart.max(axis=1) / size[largest].max()
        beside = (near >= 0) & (near < 1) & (apart[:, 1] < -0.6 * size[largest, 1])
        alike = beside & (size[:, 1] < 1.6 * size[largest, 1]) & inside
        kept = (near < 0.5) & (share >= 0.04) & (share <= 1) & inside & ~alike
        kept[largest] = True
        (x0, y0), (x1, y1) = np.maximum(start[kept].min(axis=0) - 2, 0), end[kept].max(axis=0) + 2
        box = np.s_[y0:y1, x0:x1]
        mask = np.uint8(kept[labels[box]])
        yield Mark(ink[box], mask, box, not alike.any(), sides[largest], 1 / share.sum())


def stroke_width(mark):
    """The width in pixels of a mark where it is widest."""
    return 2 * cv2.distanceTransform(np.pad(mark.mask, 1), cv2.DIST_L2, 3).max()


def find_photographed(grey):
    """Find the mark that is most like ink in a photograph, uint8 (h, w); a Mark or None.

    Ink is darker or brighter than the ground on both sides and narrower than
    the shapes around it, so black-hats bring it out (Meyer, "Contrast feature
    extraction", 1979; Serra, "Image analysis and mathematical morphology",
    1982), relative to the light.
    """
    wide = max(grey.shape) // 5 | 1
    light = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((wide, wide)))
    relative = cv2.divide(grey, cv2.blur(light, (wide, wide)), scale=200)
    edges = cv2.morphologyEx(relative, cv2.MORPH_GRADIENT, np.ones((7, 7)))
    # Noise and the grain of a desk are no edges.
    edges = cv2.subtract(edges, int(np.percentile(edges, 70)))
    best, most = None, 300_000  # Blank sheets and desks stay below it, legible digits above.
    for paper in (relative, 255 - relative):
        for fine in (1, 5):  # Without lines finer than 5 pixels, no ruling is left.
            ink = cv2.morphologyEx(paper, cv2.MORPH_CLOSE, np.ones((fine, fine)))
            ink = cv2.morphologyEx(ink, cv2.MORPH_BLACKHAT, np.ones((wide, wide)))
            for level in (20, 70, 120):
                for mark in marks(ink, level):
                    likeness = likeness_to_ink(mark, paper, edges)
                    if likeness > most:
                        best, most = mark, likeness
    return best


def likeness_to_ink(mark, paper, edges):
    """Rate how much a mark is like ink, dark on paper with these edges, all uint8 (h, w).

    Ink is sharp and contrasted everywhere along its outline, which tells it
    from shadows, parts of a stroke and rims of a sheet; it is long, and thin
    for its size, which tells it from sheets and things.
    """
    line = cv2.erode(mark.mask, None, borderValue=0) < mark.mask
    around = cv2.dilate(mark.mask, None, iterations=3) > mark.mask
    sharpness = np.percentile(edges[mark.box][line], 10)
    contrast = np.percentile(paper[mark.box][around], 10) - cv2.mean(paper[mark.box], mark.mask)[0]
    length = np.count_nonzero(line) ** 0.75 * 0.1**mark.sides
    thinness = np.clip(2 * max(mark.mask.shape) / stroke_width(mark) - 3, 0, 6)
    free = np.clip(1 - mark.mask.mean(), 0.02, 0.5)
    return contrast * sharpness * length * thinness * free


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
