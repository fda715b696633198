"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first prints the accuracy on MNIST's test set, the classification report
and the confusion matrix, and plots the misclassified digits. The second reads
each image, prints its digit, and plots what the network saw. Train the
network first: `train_model.py`.
"""

import contextlib
import csv
import itertools
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

# First, as it keeps TensorFlow's start-up lines from the terminal.
from train_model import (
    BOX, CLASSES, IMAGE_SHAPE, MODEL_FILE, InputError, as_input, check_writable, cut, fit,
    load_digits, make_parser, model_path, new_plot, print_error, replaced_whole, resized,
    run_as_script, save_plot)

import cv2
import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# ---------------------------------------------------------------- reading an image

SIDE = 480  # pixels of an image's longer side; finer detail than this is noise
SMALL = 100  # pixels of the longer side, up to which an image holds a digit and nothing else
SQUARE = np.ones((3, 3), np.uint8)


def open_image(path):
    """Open an image file of any kind that Pillow reads, and decode it; of an animation the first.

    Raises InputError if it cannot be opened, or is no whole image.
    """
    if os.path.isdir(path):
        raise InputError("there is no image in this folder")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError("not a file")
    try:
        image = Image.open(path)
        image.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        image.load()
    except UnidentifiedImageError as error:
        raise InputError("not an image that can be read") from error
    # A damaged file can raise nearly anything in Pillow's many decoders.
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"not a whole image ({error})"
        raise InputError(reason) from error
    return image


def read_digit(image):
    """Turn a PIL image of a handwritten digit into what MNIST would have made of it.

    The image is of any mode and size, a drawing or a photograph, dark ink on
    light ground or light on dark. Answers uint8 of shape (28, 28): the digit
    in a box of 20x20, its centre of mass in the middle, 0 (ground) to 255
    (ink). Raises InputError if there is no digit in it.
    """
    return find_digit(image)[0]


class Mark(NamedTuple):
    """Something that may be a digit, in the box around it, both uint8 of shape (h, w)."""

    ink: np.ndarray  # 0 to 255
    mask: np.ndarray  # 1 where the mark is
    box: tuple  # its rows and columns in the picture, as slices
    alone: bool  # no mark like it stands beside it


def find_digit(image):
    """Answer the picture that read_digit answers, and whether the digit stands alone in the image.

    A small image, or one with a clear mark on an even ground, is read by its
    brightness alone; any other as a photograph.
    """
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
        grey = to_grey(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"an image that cannot be converted to grey ({error})") from error
    small = max(grey.shape) <= SMALL or min(grey.shape) < BOX
    mark = find_drawn(grey, doubtful=small)
    if mark is None and not small:
        mark = find_photographed(without_ruling(grey))
    if mark is None:
        raise InputError("no digit found")
    values = np.sort(mark.ink[mark.mask > 0])
    full = max(int(values[7 * len(values) // 10]), 1)
    # The soft edge of the strokes is just outside the mask.
    around = cv2.dilate(mark.mask, SQUARE, iterations=2)
    ink = cut(cv2.multiply(mark.ink, around, scale=255 / full))
    return fit(with_stroke_of_mnist(ink)), mark.alone


def to_grey(image):
    """Convert a PIL image of any mode to grey, at most SIDE large; uint8 of shape (h, w)."""
    if image.mode.startswith(("F", "I")):
        values = np.nan_to_num(np.asarray(image, np.float32))
        grey = cv2.normalize(values, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    elif not image.has_transparency_data:
        grey = np.asarray(image.convert("L"))
    else:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        image = image.reduce(max(1, max(image.size) // SIDE)).convert("LA")
        grey, alpha = np.moveaxis(np.asarray(image, np.float32), 2, 0)
        # What is transparent takes the colour of the ground. Where most of the
        # image is opaque the ground is too; elsewhere what is opaque is ink,
        # and the ground is taken to be as unlike it as can be.
        ground = 255 if np.average(grey, weights=alpha + 1e-6) < 128 else 0
        if np.mean(alpha > 127) > 0.5:
            ground = np.median(grey[alpha > 127])
        grey = np.rint(ground + (grey - ground) * (alpha / 255)).astype(np.uint8)
    scale = min(1, SIDE / max(grey.shape))
    size = [max(1, round(scale * side)) for side in reversed(grey.shape)]
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA)


def border(values):
    """The outermost pixels of an array of shape (h, w)."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def find_drawn(grey, doubtful):
    """Find a mark that differs in brightness from the ground at the border; a Mark or None.

    Unless `doubtful` ones will do, it is of one part, thin, the border even,
    and there is next to nothing else in the picture.
    """
    ground = int(np.median(border(grey)))
    difference = grey.astype(np.float32) - ground
    darker = np.vdot(difference, difference * difference) < 0
    ink = cv2.subtract(ground, grey) if darker else cv2.subtract(grey, ground)
    level, around = cv2.threshold(ink, 0, 1, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    mark = next(marks(ink, level, most=1), None)
    if mark is None:
        return None
    (mean,), (deviation,) = cv2.meanStdDev(ink, mask=around)
    contrast = cv2.mean(mark.ink, mark.mask)[0] - mean
    if contrast < max(10, 4 * deviation):
        return None
    if not doubtful and (
        np.ptp(border(grey)) > level / 2
        or stroke_width(mark) > 0.25 * max(mark.mask.shape)
        or cv2.connectedComponents(mark.mask)[0] > 2
        or np.count_nonzero(mark.mask) < 0.9 * (ink.size - np.count_nonzero(around))
    ):
        return None
    return mark


def marks(ink, level, most):
    """Yield the largest marks above a level of ink, uint8 of shape (h, w), each as a Mark.

    Edges of paper and desk, which follow the border, come last.
    """
    mask = cv2.threshold(ink, level, 1, cv2.THRESH_BINARY)[1]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)
    stats[0] = 0  # the ground
    left, top, width, height, area = stats.T
    framing = np.bincount(border(labels), minlength=count) > 0.6 * np.maximum(width, height)
    for largest in np.argsort(-np.where(framing, 0.1, 1) * area)[: min(most, count - 1)]:
        kept, alone = area > 0, True
        if count > 2:
            kept, alone = parts_of_mark(largest, stats, framing)
        y0, y1 = top[kept].min(), (top + height)[kept].max()
        x0, x1 = left[kept].min(), (left + width)[kept].max()
        box = np.s_[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2]
        yield Mark(ink[box], kept[labels[box]].astype(np.uint8), box, alone)


def parts_of_mark(largest, stats, framing):
    """Find the parts of the mark whose largest part has this index in OpenCV's stats.

    Near parts belong to it, like the bar of a 5, if they have at least a
    twenty-fifth of its ink, but no mark of its size beside it. Answers bool of
    shape (n,), and whether there is no such mark.
    """
    left, top, width, height, area = stats.T
    right, bottom, sizes = left + width, top + height, np.maximum(width, height)
    share = area / area[largest]
    overlap = np.minimum(bottom, bottom[largest]) - np.maximum(top, top[largest])
    apart = np.maximum(left, left[largest]) - np.minimum(right, right[largest])
    beside = (overlap > 0.5 * height[largest]) & (0 <= apart) & (apart < 1.5 * sizes[largest])
    ratio = height / height[largest]
    alike = beside & (share > 0.2) & (0.6 < ratio) & (ratio < 1.6) & ~framing
    parts = (share >= 0.04) & (share <= 1) & ~framing & ~alike
    kept = np.arange(len(stats)) == largest
    while True:
        x0, y0, x1, y1 = left[kept].min(), top[kept].min(), right[kept].max(), bottom[kept].max()
        gap = np.max([left - x1, x0 - right, top - y1, y0 - bottom], axis=0)
        near = parts & ~kept & (gap < np.minimum(max(x1 - x0, y1 - y0) / 2, sizes))
        if not near.any():
            return kept, not alike.any()
        kept |= near


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
    light = cv2.max(cv2.blur(light, (wide, wide)), 30)
    relative = cv2.divide(grey, light, scale=200)
    edges = cv2.morphologyEx(relative, cv2.MORPH_GRADIENT, SQUARE)
    edges = cv2.subtract(edges, int(np.median(edges)))  # Noise and the desk's grain are no edges.
    best, most = None, 1.5  # Blank sheets and desks stay below it, legible digits above.
    for paper in (relative, 255 - relative):
        candidates = []
        for window in (wide, max(grey.shape) // 14 | 1):
            ink = cv2.morphologyEx(paper, cv2.MORPH_BLACKHAT, np.ones((window, window)))
            candidates += [marks(ink, level, most=2) for level in (20, 70, 120)]
        for mark in itertools.chain(*candidates):
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
    _, _, width, height = cv2.boundingRect(mark.mask)
    free = 1 - np.count_nonzero(mark.mask) / (width * height)
    thinness = np.clip(2 * max(width, height) / stroke_width(mark) - 3, 0, 6)
    line = cv2.erode(mark.mask, SQUARE, borderValue=0) < mark.mask
    around = cv2.dilate(mark.mask, SQUARE) > mark.mask
    sharpness = edges[mark.box][line] / 200
    contrast = (paper[mark.box][around] - np.median(paper[mark.box][mark.mask > 0])) / 255
    weakest = max(0, np.percentile(contrast, 10)) * np.percentile(sharpness, 10)
    length = np.count_nonzero(line)
    return weakest * sharpness.mean() * length**0.75 * thinness * np.clip(free, 0.02, 0.5)


def without_ruling(grey):
    """Take the printed lines of ruled or squared paper out of a photograph, uint8 (h, w).

    The picture is turned by the few degrees that make its row and column sums
    steepest; then rows and columns that are dark lines all along are closed
    across, which spares strokes wider than the lines. Without lines it stays as it is.
    """
    window = max(grey.shape) // 60 | 1
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones((window, window)))
    lines = cv2.divide(closed - grey, cv2.max(closed, 30), scale=255)
    small = cv2.resize(lines, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)

    def turned(picture, angle):
        middle = (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2
        turn = cv2.getRotationMatrix2D(middle, angle, 1)
        return cv2.warpAffine(picture, turn, picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE)

    def steepness(angle):
        picture = turned(small, angle)
        return sum(np.square(np.diff(picture.mean(axis=axis))).sum() for axis in (0, 1))

    angle = max(np.arange(-4.5, 4.6, 0.25), key=steepness)
    dark = turned(lines, angle) > 12 + 2 * np.median(lines)
    rows, columns = (dark.mean(axis=axis, keepdims=True) > 0.5 for axis in (1, 0))
    if np.count_nonzero(np.diff(rows, axis=0)) + np.count_nonzero(np.diff(columns, axis=1)) < 4:
        return grey  # A line has two edges; a single one may be a stroke.
    grey = turned(grey, angle)
    for along, kernel in ((rows, (window, 1)), (columns, (1, window))):
        closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, np.ones(kernel))
        grey = np.where(cv2.dilate(along.astype(np.uint8), SQUARE) > 0, closed, grey)
    return grey


def with_stroke_of_mnist(digit):
    """Bring strokes far thinner or thicker than MNIST's to a width like theirs.

    A thin stroke would vanish when the digit, uint8 of shape (h, w), is shrunk.
    The width of a long stroke is twice its area over its perimeter.
    """
    solid = cv2.copyMakeBorder(digit, 1, 1, 1, 1, cv2.BORDER_CONSTANT) > 127
    edges = sum(np.count_nonzero(np.diff(solid, axis=axis)) for axis in (0, 1))
    # Counting pixel edges overrates the length of slanted outlines, by 4/pi on average.
    perimeter = max(1, edges * math.pi / 4)
    scale = BOX / max(digit.shape)
    width = scale * 2 * digit.sum() / 255 / perimeter  # in pixels of the box
    if 1.8 <= width <= 4.5:  # as MNIST's are
        return digit
    fine = 4  # subpixels a pixel of the box
    large = resized(digit, fine * scale, Image.Resampling.BILINEAR)
    change = round(fine * ((2.3 if width < 1.8 else 4.5) - width))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(change) + 1, abs(change) + 1))
    if change > 0:
        return cv2.dilate(np.pad(large, change), pen)
    thinner = cv2.erode(large, pen, borderValue=0)
    return thinner if thinner.any() else large  # A blot, not a stroke, may have worn away.


# ---------------------------------------------------------------- prediction and scores

AT_A_TIME = 500  # images read or predicted together, which bounds the memory
DIGITS = [str(digit) for digit in range(CLASSES)]
UNCERTAIN = 0.8  # confidence below which the second guess is shown too


def load_model(path):
    """Load a trained network, a keras.Model, running no code that the file may hold.

    Raises InputError if the `.keras` or `.h5` file is missing, damaged, or
    holds no network from (n, 28, 28, 1) to ten outputs.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; train_model.py makes it")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        raise InputError(f"{path}: not a model that Keras can load safely") from error
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if shapes != ((None, *IMAGE_SHAPE, 1), (None, CLASSES)):
        raise InputError(f"{path}: this network takes {shapes[0]} and answers {shapes[1]},"
                         " not (None, 28, 28, 1) and (None, 10)")
    return model


def predict(model, images):
    """Predict probabilities, float32 (n, 10), from uint8 (n, 28, 28), 0 (ground) to 255 (ink)."""
    parts = np.array_split(as_input(images), len(images) // AT_A_TIME + 1)
    return np.concatenate([model(part, training=False) for part in parts])


def predict_digit(model, image):
    """Read the digit in one image; answers an int and the probabilities, float32 of shape (10,).

    The image is the path of a file, a PIL image, or an array of shape (h, w),
    (h, w, 3) or (h, w, 4): uint8, bool, or float from 0 to 1. Raises
    InputError if it is no image, or there is no digit in it.
    """
    if isinstance(image, (str, os.PathLike)):
        image = open_image(image)
    elif not isinstance(image, Image.Image):
        values = np.asarray(image).squeeze()
        try:
            values = values if values.dtype == np.uint8 or values.max() > 1 else 255 * values
            image = Image.fromarray(values.astype(np.float32 if values.ndim == 2 else np.uint8))
        except (TypeError, ValueError) as error:
            raise InputError(f"an array of shape {values.shape} is not an image") from error
    probabilities = predict(model, read_digit(image)[np.newaxis])[0]
    return int(probabilities.argmax()), probabilities


def doubt(probabilities, alone):
    """Say why the reading of an image is uncertain; an empty str where it is not."""
    second, first = np.argsort(probabilities)[-2:]
    if not alone:
        return "uncertain, more than one digit?"
    if probabilities[first] < UNCERTAIN:
        return f"uncertain, perhaps {second} ({probabilities[second]:.1%})"
    return ""


def confusion_matrix(labels, predictions):
    """Count pairs of true digits, in rows, and predicted ones; int (n,) twice, answers (10, 10)."""
    pairs = CLASSES * labels + predictions
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def cross_entropy(labels, probabilities):
    """Compute the mean cross-entropy in nats; shapes (n,) and (n, 10), answers a float."""
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    return float(np.mean(losses))


def calibration_error(labels, probabilities):
    """Compute the expected calibration error, 0 to 1, from int (n,) and float (n, 10).

    The mean distance between accuracy and mean confidence of ten bins, weighted by their
    images (Guo and others, "On calibration of modern neural networks", ICML 2017).
    """
    confidences = probabilities.max(axis=1)
    excess = confidences - (probabilities.argmax(axis=1) == labels)
    bins = np.minimum((10 * confidences).astype(int), 9)
    return float(np.abs(np.bincount(bins, weights=excess)).sum() / len(labels))


def classification_report(confusion):
    """Format precision, recall, F1 score and support of each digit, and their averages.

    Where a digit was never predicted its precision counts as 0. Digits that
    neither occur nor were predicted have no row and no part in the averages.
    """
    correct = np.diag(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = correct / np.maximum(predicted, 1), correct / np.maximum(support, 1)
    f1 = 2 * correct / np.maximum(support + predicted, 1)
    scores = np.column_stack([precision, recall, f1])
    digits = np.flatnonzero(support + predicted)
    total = support.sum()
    averages = [("macro avg", *scores[digits].mean(axis=0), total),
                ("weighted avg", *support @ scores / total, total)]
    row = "{:>12}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format
    return "\n".join([
        f"{'precision':>23}  {'recall':>9}  {'f1-score':>9}  {'support':>9}", "",
        *(row(digit, *scores[digit], support[digit]) for digit in digits), "",
        f"    accuracy{correct.sum() / total:33.4f}  {total:>9}",
        *(row(*average) for average in averages)])


def report_scores(model, data, labels, probabilities, mistakes, plots, prefix=""):
    """Print and plot what the network got right and wrong; the mistakes are to be shown."""
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1))
    correct, total = np.trace(confusion), len(labels)
    print(f"network              {model.name}")
    print(f"data                 {data}")
    print(f"accuracy             {correct / total:.2%} of {total:,} images")
    print(f"loss                 {cross_entropy(labels, probabilities):.4f}")
    print(f"calibration error    {calibration_error(labels, probabilities):.2%}")
    print(f"misclassified        {total - correct:,}")
    print(f"\n{classification_report(confusion)}\n")
    print("true\\predicted" + "".join(f"{digit:>6}" for digit in DIGITS))
    for digit, counts in zip(DIGITS, confusion):
        print(f"{digit:>14}" + "".join(f"{count:>6}" for count in counts))
    print()
    figure = plot_mistakes(mistakes, confusion, data)
    save_plot(figure, Path(plots, f"{prefix}misclassified.png"), "Misclassified digits")
    figure = plot_confusion(confusion, data)
    save_plot(figure, Path(plots, f"{prefix}confusion_matrix.png"), "Confusion matrix")


# ---------------------------------------------------------------- plots

MOST_MISTAKES_SHOWN = 60  # More cannot be told apart on a screen.
MOST_READINGS_SHOWN = 100


def most_confident_mistakes(answers):
    """Pick the mistakes to show from many (picture, true digit, probabilities)."""
    wrong = [answer for answer in answers if answer[2].argmax() != answer[1]]
    return sorted(wrong, key=lambda answer: -answer[2].max())[:MOST_MISTAKES_SHOWN]


def plot_mistakes(mistakes, confusion, data):
    """Plot most_confident_mistakes of data with this confusion matrix; answers the figure."""
    wrong = confusion.sum() - np.trace(confusion)
    some = f", the {len(mistakes)} most confident mistakes" if len(mistakes) < wrong else ""
    return plot_pictures(
        [(picture, f"true {label}\nread {digits.argmax()} ({digits.max():.1%})", "black")
         for picture, label, digits in mistakes],
        min(10, max(4, len(mistakes))),
        f"{data}: {wrong:,} of {confusion.sum():,} digits misclassified{some}")


def plot_readings(readings, total):
    """Plot images as given, each beside what the network saw, with its answer; the figure.

    A reading is (path, picture, alone, probabilities), of a total of so many.
    """
    cells = []
    for path, picture, alone, digits in readings:
        name = Path(path).name
        name = name if len(name) < 15 else f"{name[:6]}…{name[-7:]}"
        colour = "red" if doubt(digits, alone) else "black"
        cells.append((make_thumbnail(open_image(path)), name, "black"))
        cells.append((picture, f"{digits.argmax()} ({digits.max():.1%})", colour))
    columns = 2 * min(len(readings), 4 if len(readings) <= 20 else 10)
    some = f"{len(readings)} of " if len(readings) < total else ""
    title = f"{some}{total:,} image{'s' * (total > 1)}: as given, and as the network saw it"
    return plot_pictures(cells, columns, title)


def make_thumbnail(image):
    """Make a small RGB copy of a PIL image, on a white ground; uint8 of shape (h, w, 3)."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("F", "I")):
        image = Image.fromarray(to_grey(image))
    small = ImageOps.contain(image, (150, 150)).convert("RGBA")
    white = Image.new("RGBA", small.size, "white")
    return np.asarray(Image.alpha_composite(white, small).convert("RGB"))


def plot_pictures(cells, columns, title):
    """Plot a grid of cells (picture, its title, the title's colour); answers the figure."""
    rows = max(1, math.ceil(len(cells) / columns))
    width, height = 1.2 * columns, 1.5 * rows
    # All in one pair of axes: a pair for each of 200 pictures takes seconds.
    figure, axis = new_plot(max(5, width), height + 0.5)
    figure.suptitle(title)
    for place, (picture, text, colour) in enumerate(cells):
        x, y = 1.2 * (place % columns) + 0.6, 1.5 * (place // columns) + 0.95
        down, right = np.array(picture.shape[:2]) / max(picture.shape) / 2
        extent = x - right, x + right, y + down, y - down
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent)
        axis.text(x, y - 0.53, text, fontsize="small", color=colour, ha="center", va="bottom")
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    return figure


def plot_confusion(confusion, data):
    """Plot a confusion matrix, int of shape (10, 10); answers the figure."""
    # The diagonal is a hundred times the rest and would leave it one colour.
    mistakes = np.ma.masked_where(np.eye(CLASSES, dtype=bool), confusion)
    most = max(1, mistakes.max())
    figure, axis = new_plot(7, 6)
    picture = axis.imshow(mistakes, cmap="Oranges", vmin=0, vmax=most)
    figure.colorbar(picture, label="mistakes", ticks=plt.MaxNLocator(integer=True))
    for (true, predicted), count in np.ndenumerate(confusion):
        colour = "white" if true != predicted and count > 0.6 * most else "black"
        axis.text(predicted, true, count or "", ha="center", va="center", color=colour)
    axis.set(title=f"{data}: {mistakes.sum():,} of {confusion.sum():,} misclassified",
             xlabel="predicted digit", ylabel="true digit",
             xticks=range(CLASSES), yticks=range(CLASSES))
    return figure


# ---------------------------------------------------------------- files of images


def find_images(paths):
    """Yield each path, or, if it is a folder with images below, these, sorted."""
    endings = tuple(Image.registered_extensions())
    for path in paths:
        files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(path)
                       for name in names if name.lower().endswith(endings))
        yield from files or [path]


def read_labels(path):
    """Read a CSV file of file, relative to its folder, and label; a dict from path to str."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
            if rows and not {"file", "label"} <= rows[0].keys() or not rows:
                raise InputError(f"{path}: its first line does not name the columns file and label")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file ({error})") from error
    for line, row in enumerate(rows, start=2):
        if row["label"] not in DIGITS:
            raise InputError(f"{path}: line {line}: the label is not 0 to 9")
    return {Path(path).parent.joinpath(row["file"] or "").resolve(): row["label"] for row in rows}


@contextlib.contextmanager
def csv_table(path):
    """Yield a function that adds a row to a CSV file of readings, or does nothing without one."""
    if path is None:
        yield lambda row: None
        return
    settings = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with replaced_whole(path) as partial, open(partial, "w", **settings) as file:
        add_row = csv.writer(file).writerow
        add_row(["path", "digit", "confidence", *(f"p{digit}" for digit in DIGITS)])
        yield add_row


# ---------------------------------------------------------------- the command line


def parse_arguments():
    """Parse the command line of predict_model.py."""
    parser = make_parser("Score a trained network on MNIST's test set, or read images of digits.")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="*", help="image files, or folders of them, to read")
    parser.add_argument(
        "--model", metavar="FILE", type=model_path, default=MODEL_FILE,
        help="the network that train_model.py saved (default: %(default)s)")
    parser.add_argument(
        "--labels", metavar="FILE", help="CSV file with the columns file and label: the true"
        " digits of the images (default: the names of their folders, if these are 0 to 9)")
    parser.add_argument(
        "--csv", metavar="FILE", help="where to write path, digit, confidence and probabilities")
    arguments = parser.parse_args()
    if not arguments.images and (arguments.labels or arguments.csv):
        parser.error("--labels and --csv are for images, and there are none")
    if arguments.images and arguments.data != parser.get_default("data"):
        parser.error("--data is for the test set, and there are images to read instead")
    return arguments


def score_test_set(model, arguments):
    """Score the network on MNIST's test set, and plot its mistakes; answers True."""
    check_writable(Path(arguments.plots, "misclassified.png"))
    images, labels, data = load_digits(arguments.data, "test")
    probabilities = predict(model, images)
    mistakes = most_confident_mistakes(zip(images, labels, probabilities))
    data = f"test images of {data}"
    report_scores(model, data, labels, probabilities, mistakes, arguments.plots)
    return True


def read_own_digits(model, arguments):
    """Read the digits in images, score the labelled ones; answers whether all could be read."""
    labels = read_labels(arguments.labels) if arguments.labels else None
    plot = Path(arguments.plots, "own_digits.png")
    check_writable(plot, *filter(None, [arguments.csv]))
    paths = find_images(arguments.images)
    total, problems, shown, known, mistakes = 0, 0, [], [], []
    with csv_table(arguments.csv) as add_row:
        while batch := list(itertools.islice(paths, AT_A_TIME)):
            read = []
            for path in batch:
                try:
                    read.append((path, *find_digit(open_image(path))))
                except InputError as problem:
                    print_error(f"{path}: {problem}")
            total, problems = total + len(read), problems + len(batch) - len(read)
            pictures = np.array([picture for _, picture, _ in read]).reshape(-1, *IMAGE_SHAPE)
            answers = predict(model, pictures) if read else []
            for (path, picture, alone), digits in zip(read, answers):
                line = [path, str(digits.argmax()), f"{digits.max():.1%}"]
                print("\t".join(filter(None, [*line, doubt(digits, alone)])))
                add_row([*line[:2], *(f"{p:.6f}" for p in (digits.max(), *digits))])
                if len(shown) < MOST_READINGS_SHOWN:
                    shown.append((path, picture, alone, digits))
                file = Path(path).resolve()
                label = file.parent.name if labels is None else labels.get(file)
                if label in DIGITS:
                    known.append((int(label), digits))
                    mistakes.append((picture, int(label), digits))
            mistakes = most_confident_mistakes(mistakes)
    if shown:
        save_plot(plot_readings(shown, total), plot, "Your own digits")
    if known:
        true, probabilities = map(np.array, zip(*known))
        report_scores(model, "images", true, probabilities, mistakes, arguments.plots, "own_")
    elif labels is not None:
        raise InputError(f"{arguments.labels}: names none of the images")
    return not problems


def main():
    arguments = parse_arguments()
    model = load_model(arguments.model)
    read = read_own_digits if arguments.images else score_test_set
    complete = read(model, arguments)
    plt.show()
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    with run_as_script():
        main()
