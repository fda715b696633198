"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first prints the accuracy on MNIST's test set, the classification report
and the confusion matrix, and plots the misclassified digits. The second reads
each image, prints its digit, and plots what the network saw. Train the
network first: `train_model.py`.
"""

import array
import collections
import contextlib
import csv
import itertools
import math
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from train_model import (
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    as_input,
    check_writable,
    keras,
    load_digits,
    make_parser,
    model_path,
    plt,
    print_error,
    progress_on_standard_error,
    replaced_whole,
    report,
    run_as_script,
    save_plot,
    show_plots,
)

MISTAKES_PLOT = "misclassified.png"
CONFUSION_PLOT = "confusion_matrix.png"
IMAGES_PLOT = "own_digits.png"
LARGEST_GRID = 60  # misclassified digits shown: more cannot be told apart on a screen
MOST_IMAGES_SHOWN = 100  # for the same reason
IMAGES_AT_A_TIME = 500  # read and predicted together, which bounds the memory
UNCERTAIN = 0.8  # confidence below which the second guess is shown too

# Reading an image. The sizes of MNIST: a digit fills a box of 20x20 in the
# picture of 28x28 (LeCun, Bottou, Bengio and Haffner, "Gradient-based
# learning applied to document recognition", 1998).
BOX = 20
WORKING_SIDE = 400  # pixels of the longer side; finer detail than this is noise
ZOOM_SIDE = 100  # a digit smaller than this in a reduced image is read again, larger
LEAST_CONTRAST = 0.04  # between ink and ground, on a scale from black 0 to white 1
LEAST_SIGNAL = 4  # the same, in standard deviations of the ground
# Widths of the stroke in pixels of the box; MNIST's are between THIN and THICK.
THIN, THICKENED, THICK = 1.5, 2.2, 4.5
STEPS = 4  # subpixels a pixel of the box, for a change of the stroke's width


# ---------------------------------------------------------------- prediction


def load_model(path):
    """Load a trained network, running no code that the file may hold.

    Args:
        path: path of a `.keras` or `.h5` file.

    Returns:
        A keras.Model that takes images of shape (n, 28, 28, 1) and answers
        the probabilities of the ten digits.

    Raises:
        InputError: if the file is missing, damaged, or no such network.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; train_model.py makes it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        raise InputError(f"{path}: not a model that Keras can load safely") from error
    shapes = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    if shapes != ((None, *IMAGE_SHAPE, 1), (None, CLASSES)):
        raise InputError(
            f"{path}: this network takes {shapes[0]} and answers {shapes[1]},"
            f" not (None, 28, 28, 1) and (None, 10)"
        )
    return model


def predict(model, images):
    """Predict the probabilities of the ten digits.

    Args:
        model: a network from load_model.
        images: uint8 array of shape (n, 28, 28), 0 (ground) to 255 (ink).

    Returns:
        float32 array of shape (n, 10), the probabilities.
    """
    with progress_on_standard_error() as verbose:
        return model.predict(as_input(images), batch_size=500, verbose=verbose)


def most_confident_mistakes(answers):
    """Pick the mistakes to show, at most LARGEST_GRID.

    Args:
        answers: iterable of (picture, true digit, probabilities of shape (10,)).

    Returns:
        list of those that are wrong, the most confident first.
    """
    wrong = [answer for answer in answers if answer[2].argmax() != answer[1]]
    return sorted(wrong, key=lambda answer: -answer[2].max())[:LARGEST_GRID]


def predict_digit(model, image):
    """Read the digit in one image.

    Args:
        model: a network from load_model.
        image: path of an image file, PIL image, or array of shape (h, w),
            (h, w, 3) or (h, w, 4): uint8, bool, or float from 0 to 1.

    Returns:
        digit: int.
        probabilities: float32 array of shape (10,).

    Raises:
        InputError: if it is no image, or there is no digit in it.
    """
    if isinstance(image, (str, os.PathLike)):
        image = open_image(image)
    elif not isinstance(image, Image.Image):
        image = image_of_array(np.asarray(image))
    probabilities = predict_pictures(model, [read_digit(image)])[0]
    return int(probabilities.argmax()), probabilities


def predict_pictures(model, pictures):
    """Predict a few pictures from read_digit; float32 array of shape (n, 10)."""
    return np.asarray(model(as_input(np.stack(pictures)), training=False))


def confusion_matrix(labels, predictions):
    """Count how often each digit was read as each.

    Args:
        labels: int array of shape (n,), the true digits.
        predictions: int array of shape (n,), the predicted digits.

    Returns:
        int array of shape (10, 10): true digits in rows, predicted in columns.
    """
    pairs = CLASSES * labels + predictions
    return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)


def cross_entropy(labels, probabilities):
    """Compute the mean cross-entropy in nats; shapes (n,) and (n, 10), answers a float."""
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    return float(np.mean(losses))


def calibration_error(labels, probabilities):
    """Compute the expected calibration error, with ten bins of confidence.

    The mean distance between the accuracy and the mean confidence of a bin,
    weighted by the images in it (Guo, Pleiss, Sun and Weinberger, "On
    calibration of modern neural networks", ICML 2017).

    Args:
        labels: int array of shape (n,), the true digits.
        probabilities: float array of shape (n, 10).

    Returns:
        float, 0 to 1.
    """
    confidences = probabilities.max(axis=1)
    excess = confidences - (probabilities.argmax(axis=1) == labels)
    bins = np.minimum((10 * confidences).astype(int), 9)
    return float(np.abs(np.bincount(bins, weights=excess)).sum() / len(labels))


# ---------------------------------------------------------------- reading an image


def open_image(path):
    """Open an image file of any kind that Pillow reads, and decode it.

    Args:
        path: path of the file; of an animation the first picture is taken.

    Returns:
        PIL image.

    Raises:
        InputError: if it cannot be opened, or is no whole image.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError("not a file")
    try:
        with warnings.catch_warnings():
            # Pillow refuses what is really too large; it only warns of what may be.
            warnings.simplefilter("ignore")
            image = Image.open(path)
            image.load()
    except UnidentifiedImageError as error:
        raise InputError("not an image that can be read") from error
    # A damaged file can raise nearly anything in Pillow's many decoders.
    except Exception as error:
        raise InputError(
            getattr(error, "strerror", None) or f"not a whole image ({error})"
        ) from error
    return image


def image_of_array(values):
    """Make a PIL image of an array; see predict_digit."""
    values = values.squeeze()
    if values.ndim not in (2, 3) or not values.size:
        raise InputError(f"an array of shape {values.shape} is not an image")
    if values.dtype != np.uint8 and values.max(initial=0) <= 1:
        values = 255 * values
    try:
        return Image.fromarray(values.astype(np.float32 if values.ndim == 2 else np.uint8))
    except (TypeError, ValueError) as error:
        raise InputError(f"an array of shape {values.shape} is not an image") from error


def read_digit(image):
    """Turn an image of a handwritten digit into what MNIST would have made of it.

    Args:
        image: PIL image of any mode and size, dark ink on light ground or
            light on dark.

    Returns:
        uint8 array of shape (28, 28): the digit in a box of 20x20, its centre
        of mass in the middle, 0 (ground) to 255 (ink).

    Raises:
        InputError: if there is no digit in it.
    """
    try:
        image = grey(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"an image that cannot be converted to grey ({error})") from error
    ink, (left, top, right, bottom) = find_digit(reduced(image))
    scale = max(image.size) / max(ink.shape)
    size = max(right - left, bottom - top)
    if scale > 1 and size < ZOOM_SIDE:
        box = (left - size, top - size, right + size, bottom + size)
        limits = (0, 0, *image.size)
        box = [pick(round(scale * x), y) for pick, x, y in zip((max, max, min, min), box, limits)]
        ink, (left, top, right, bottom) = find_digit(reduced(image.crop(box)))
    return centred(fit_in_box(set_stroke_width(ink[top:bottom, left:right])))


def grey(image):
    """Convert a PIL image of any mode to grey, PIL mode "L", or "F" from 0 to 255."""
    if image.mode == "F" or image.mode.startswith("I"):
        values = np.nan_to_num(np.asarray(image, np.float32))
        values = values - values.min()
        return Image.fromarray(values * (255 / max(values.max(), 1)))
    if not image.has_transparency_data:
        return image.convert("L")
    # What is transparent takes the colour of the ground. Where most of the
    # image is opaque the ground is too; elsewhere what is opaque is ink, and
    # the ground is taken to be as unlike it as can be.
    values, alpha = (
        np.asarray(band, np.float32) for band in image.convert("RGBA").convert("LA").split()
    )
    opaque = values[alpha > 127]
    if 2 * opaque.size > values.size:
        ground = np.median(opaque)
    else:
        ground = 255 if np.average(values, weights=alpha + 1e-6) < 128 else 0
    return Image.fromarray(ground + (values - ground) * (alpha / 255))


def reduced(image):
    """Average a grey PIL image down to the working size; float32 (h, w), black 0 to white 1."""
    scale = WORKING_SIDE / max(image.size)
    if scale < 1:
        size = [max(1, round(scale * side)) for side in image.size]
        image = image.resize(size, Image.Resampling.BOX)
    return np.asarray(image, np.float32) / 255


def find_digit(brightness):
    """Find the digit in a picture.

    Args:
        brightness: float32 array of shape (h, w), black 0 to white 1.

    Returns:
        ink: float32 array of shape (h, w), 0 (ground) to 1 (ink), in which all
            but the digit is ground.
        box: (left, top, right, bottom) of the digit.

    Raises:
        InputError: if there is none.
    """
    ink = take_out_ground(brightness)
    mask = ink > otsu_threshold(ink)
    if not mask.any() or mask.all():
        raise InputError("no digit found")
    ground, full = np.median(ink[~mask]), np.percentile(ink[mask], 70)
    if full - ground < max(LEAST_CONTRAST, LEAST_SIGNAL * ink[~mask].std()):
        raise InputError("no digit found")
    mask = parts_of_digit(without_ruling(mask))
    # The soft edge of the strokes is just outside the mask.
    ink = np.clip((ink - ground) / (full - ground), 0, 1) * dilated(dilated(mask))
    columns = np.flatnonzero((ink > 0.05).any(axis=0))
    rows = np.flatnonzero((ink > 0.05).any(axis=1))
    if not len(rows):
        raise InputError("no digit found")
    return ink, (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def take_out_ground(brightness):
    """Subtract the ground with its shadows and changes of light, and make ink positive.

    The ground at the border tells which is darker, it or the ink. What is
    wider than a stroke belongs to the ground: the top-hat transform takes
    out all into which a window of a quarter of the picture fits (Meyer,
    "Contrast feature extraction", 1979; Serra, "Image analysis and
    mathematical morphology", 1982).

    Args:
        brightness: float32 array of shape (h, w).

    Returns:
        float32 array of shape (h, w), about 0 where there is no ink.
    """
    border = np.concatenate([brightness[[0, -1]].ravel(), brightness[:, [0, -1]].ravel()])
    ink = brightness - np.median(border)
    if (ink**3).sum() < 0:
        ink = -ink
    if np.quantile(np.abs(ink[ink < otsu_threshold(ink)]), 0.8) < 0.02:
        return ink  # an even ground
    window = max(ink.shape) // 8 * 2 + 1
    return ink - in_window(in_window(ink, window, np.min), window, np.max)


def in_window(values, side, pick):
    """Take the minimum or maximum over a square window of odd side around each pixel."""
    for axis in (0, 1):
        pads = [(side // 2,) * 2 if axis == padded else (0, 0) for padded in (0, 1)]
        padded = np.pad(values, pads, mode="edge")
        values = pick(np.lib.stride_tricks.sliding_window_view(padded, side, axis=axis), axis=-1)
    return values


def otsu_threshold(values):
    """Find the threshold that best splits values into two classes (Otsu 1979).

    N. Otsu, "A threshold selection method from gray-level histograms", IEEE
    Transactions on Systems, Man, and Cybernetics 9. With 64 levels.

    Args:
        values: float array.

    Returns:
        float, the threshold.
    """
    lowest, highest = values.min(), values.max()
    step = max(highest - lowest, 1e-6) / 63
    levels = ((values - lowest) / step).astype(int).ravel()
    counts = np.bincount(levels, minlength=64).astype(float)
    below = counts.cumsum()
    sums = (counts * np.arange(64)).cumsum()
    above = below[-1] - below
    spread = (sums * below[-1] - sums[-1] * below) ** 2 / np.maximum(below * above, 1)
    # The middle of all thresholds that are equally good.
    best = np.flatnonzero(spread >= spread.max() * (1 - 1e-9)).mean()
    return lowest + step * (best + 1)


def without_ruling(mask):
    """Clear the printed lines of ruled or squared paper, but not strokes that cross them.

    Args:
        mask: bool array of shape (h, w), True where there is ink.

    Returns:
        bool array of shape (h, w). Lines are rows or columns that are ink
        from end to end; a single one may be a stroke, and stays.
    """
    mask = mask.copy()
    for lines in (mask, mask.T):
        full = np.concatenate([[False], lines.mean(axis=1) > 0.85, [False]])
        starts, ends = np.flatnonzero(full[1:] & ~full[:-1]), np.flatnonzero(full[:-1] & ~full[1:])
        if len(starts) < 2:
            continue
        for start, end in zip(starts, ends):
            crosses = 0 < start and end < len(lines) and lines[start - 1] & lines[end]
            lines[start:end] = crosses
    return mask


def parts_of_digit(mask):
    """Keep the largest mark and what belongs to it; drop specks and the edges of the paper.

    Args:
        mask: bool array of shape (h, w), True where there is ink.

    Returns:
        bool array of shape (h, w). A mark belongs to the digit, like the bar
        of a 5, if it has at least a twenty-fifth of the largest one's ink and
        is close to it: the more ink it has, the further off it may be.
    """
    marks = connected_marks(mask)
    if len(marks) < 2:
        return mask
    height, width = mask.shape
    boxes, areas, framing = [], [], []
    for rows, starts, ends in marks:
        box = starts.min(), rows[0], ends.max(), rows[-1] + 1
        at_edge = (ends - starts)[(rows == 0) | (rows == height - 1)].sum()
        at_edge += (starts == 0).sum() + (ends == width).sum()
        boxes.append(box)
        areas.append((ends - starts).sum())
        framing.append(at_edge > 0.6 * max(box[2] - box[0], box[3] - box[1]))
    largest = int(np.argmax(np.where(framing, 0.1, 1) * areas))
    left, top, right, bottom = boxes[largest]
    size = max(right - left, bottom - top)
    shares = np.array(areas) / areas[largest]
    kept = {largest}
    others = {i for i, share in enumerate(shares) if share >= 0.04 and not framing[i]} - kept
    while True:
        gaps = {
            i: max(x0 - right, left - x1, y0 - bottom, top - y1)
            for i, (x0, y0, x1, y1) in enumerate(boxes)
            if i in others
        }
        close = {i for i, gap in gaps.items() if gap < (0.35 + shares[i]) * size}
        if not close:
            break
        kept, others = kept | close, others - close
        left, top = (min(boxes[i][side] for i in kept) for side in (0, 1))
        right, bottom = (max(boxes[i][side] for i in kept) for side in (2, 3))
    digit = np.zeros_like(mask)
    for rows, starts, ends in (marks[i] for i in kept):
        for row, start, end in zip(rows, starts, ends):
            digit[row, start:end] = True
    return digit


def connected_marks(mask):
    """Find the marks that hang together, diagonals included.

    Joins the runs of adjacent rows (Rosenfeld and Pfaltz, "Sequential
    operations in digital picture processing", Journal of the ACM 13, 1966).

    Args:
        mask: bool array of shape (h, w).

    Returns:
        list of marks; each is three int arrays, its runs' rows, starts and
        ends (exclusive), sorted by row.
    """
    width = mask.shape[1] + 2
    padded = np.zeros((len(mask), width), np.int8)
    padded[:, 1:-1] = mask
    changes = np.diff(padded.ravel())
    rows, starts = np.divmod(np.flatnonzero(changes == 1), width)
    ends = np.flatnonzero(changes == -1) % width
    parents = list(range(len(rows)))

    def root(run):
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    runs = list(zip(rows.tolist(), starts.tolist(), ends.tolist()))
    above = 0
    for run, (row, start, end) in enumerate(runs):
        while runs[above][0] < row - 1 or (runs[above][0] == row - 1 and runs[above][2] < start):
            above += 1
        other = above
        while other < run and runs[other][0] == row - 1 and runs[other][1] <= end:
            parents[root(run)] = root(other)
            other += 1
    roots = np.array([root(run) for run in range(len(runs))])
    return [
        (rows[members], starts[members], ends[members])
        for members in (np.flatnonzero(roots == mark) for mark in np.unique(roots))
    ]


def set_stroke_width(digit):
    """Bring a stroke that is far thinner or thicker than MNIST's to a width like theirs.

    A thin stroke would vanish when the digit is shrunk. The width of a long
    stroke is twice its area over its perimeter.

    Args:
        digit: float32 array of shape (h, w), 0 (ground) to 1 (ink), no wider
            or higher than the digit.

    Returns:
        The same, or a larger picture of it with another width.
    """
    height, width = digit.shape
    outline = np.pad(digit > 0.5, 1)
    edges = (outline[1:] != outline[:-1]).sum() + (outline[:, 1:] != outline[:, :-1]).sum()
    # Counting pixel edges overrates the length of slanted outlines, by 4/pi on average.
    perimeter = max(1, edges * math.pi / 4)
    stroke = 2 * digit.sum() / perimeter * BOX / max(height, width)
    if THIN <= stroke <= THICK:
        return digit
    wanted = THICKENED if stroke < THIN else THICK
    scale = STEPS * BOX / max(height, width)
    size = max(STEPS, round(scale * width)), max(STEPS, round(scale * height))
    large = Image.fromarray(digit).resize(size, Image.Resampling.BILINEAR)
    steps = round(STEPS * (wanted - stroke) / 2)
    large = np.pad(np.asarray(large), max(steps, 0))
    for step in range(abs(steps)):
        # Crosses and squares in turn make an octagon, near enough a round pen.
        change = dilated if steps > 0 else eroded
        large = change(large, square=step % 2)
    # A blot, not a stroke, may have worn away.
    return large if large.any() else digit


def dilated(values, square=True):
    """Take the maximum over each pixel's neighbours, a square of 3x3 or a cross."""
    down = values.copy()
    np.maximum(down[1:], values[:-1], out=down[1:])
    np.maximum(down[:-1], values[1:], out=down[:-1])
    source = down if square else values
    both = down.copy()
    np.maximum(both[:, 1:], source[:, :-1], out=both[:, 1:])
    np.maximum(both[:, :-1], source[:, 1:], out=both[:, :-1])
    return both


def eroded(values, square=True):
    """Take the minimum over each pixel's neighbours, of values from 0 to 1."""
    return 1 - dilated(1 - values, square)


def fit_in_box(digit):
    """Scale a digit, float32 (h, w), to the box, keeping its proportions; no larger than 20x20."""
    scale = BOX / max(digit.shape)
    size = [max(1, round(scale * side)) for side in reversed(digit.shape)]
    small = np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.HAMMING))
    return np.clip(small / small.max(), 0, 1)


def centred(digit):
    """Place a digit with its centre of mass in the middle of a picture of 28x28.

    Args:
        digit: float32 array of shape (h, w), at most 20x20, 0 to 1.

    Returns:
        uint8 array of shape (28, 28), 0 to 255.
    """
    picture = np.zeros(IMAGE_SHAPE, np.uint8)
    place = []
    for axis, (side, room) in enumerate(zip(digit.shape, IMAGE_SHAPE)):
        mass = digit.sum(axis=1 - axis)
        centre = (mass * np.arange(side)).sum() / mass.sum()
        first = min(max(0, round(room / 2 - centre)), room - side)
        place.append(slice(first, first + side))
    picture[tuple(place)] = np.rint(255 * digit)
    return picture


# ---------------------------------------------------------------- results as text


def classification_report(confusion):
    """Format precision, recall, F1 score and support of each digit, and their averages.

    Where a digit was never predicted its precision counts as 0. Digits that
    neither occur nor were predicted have no row and no part in the averages.

    Args:
        confusion: as confusion_matrix answers it, with at least one count.

    Returns:
        str, a table laid out as is customary (as scikit-learn prints it).
    """
    correct = np.diag(confusion)
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    scores = np.column_stack(
        [
            correct / np.maximum(predicted, 1),
            correct / np.maximum(support, 1),
            2 * correct / np.maximum(support + predicted, 1),
        ]
    )
    row = "{:>12}  {:>9}  {:>9}  {:>9}  {:>9}".format
    number = "{:.4f}".format
    digits = np.flatnonzero(support + predicted)
    total = support.sum()
    lines = [row("", "precision", "recall", "f1-score", "support"), ""]
    lines += [row(digit, *map(number, scores[digit]), support[digit]) for digit in digits]
    lines += [
        "",
        row("accuracy", "", "", number(correct.sum() / total), total),
        row("macro avg", *map(number, scores[digits].mean(axis=0)), total),
        row("weighted avg", *map(number, support @ scores / total), total),
    ]
    return "\n".join(lines)


def confusion_table(confusion):
    """Format a confusion matrix of shape (10, 10) as text: true digits down, predicted across."""
    width = max(4, len(str(confusion.max())) + 1)
    lines = ["true\\predicted" + "".join(f"{digit:>{width}}" for digit in range(CLASSES))]
    for digit, counts in enumerate(confusion):
        lines.append(f"{digit:>14}" + "".join(f"{count:>{width}}" for count in counts))
    return "\n".join(lines)


def print_scores(model, data, labels, probabilities):
    """Print what the network got right and wrong.

    Args:
        model: the network.
        data: str, the name of the data.
        labels: int array of shape (n,), the true digits.
        probabilities: float array of shape (n, 10).
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1))
    correct, total = np.trace(confusion), len(labels)
    report(f"network              {model.name}")
    report(f"data                 {data}")
    report(f"accuracy             {correct / total:.2%} of {total:,} images")
    report(f"loss                 {cross_entropy(labels, probabilities):.4f}")
    report(f"calibration error    {calibration_error(labels, probabilities):.2%}")
    report(f"misclassified        {total - correct:,}")
    report(f"\n{classification_report(confusion)}\n\n{confusion_table(confusion)}\n")


# ---------------------------------------------------------------- plots


def plot_misclassified(mistakes, wrong, total, data):
    """Plot misclassified digits.

    Args:
        mistakes: list of (uint8 picture of shape (28, 28), true digit,
            probabilities of shape (10,)), in the order to show.
        wrong: int, the number of all misclassified digits.
        total: int, the number of all digits.
        data: str, the name of the data.

    Returns:
        The Matplotlib figure.
    """
    columns = min(10, max(4, len(mistakes)))
    rows = max(1, math.ceil(len(mistakes) / columns))
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(1.3 * columns, 1.75 * rows + 0.7),
        squeeze=False,
        layout="constrained",
    )
    figure.suptitle(
        f"{data}: {wrong:,} of {total:,} digits misclassified"
        + (f", the {len(mistakes)} most confident mistakes" if len(mistakes) < wrong else "")
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, (picture, label, digits) in zip(axes.flat, mistakes):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(
            f"true {label}\nread {digits.argmax()} ({digits.max():.1%})", fontsize="small"
        )
    return figure


def plot_confusion(confusion, data):
    """Plot a confusion matrix; the colours are those of the mistakes alone.

    Args:
        confusion: int array of shape (10, 10), as confusion_matrix answers it.
        data: str, the name of the data.

    Returns:
        The Matplotlib figure.
    """
    mistakes = confusion * (1 - np.eye(CLASSES, dtype=int))
    figure, axis = plt.subplots(figsize=(7, 6), layout="constrained")
    # The diagonal is a hundred times the rest and would leave it one colour.
    masked = np.ma.masked_where(np.eye(CLASSES, dtype=bool), mistakes)
    picture = axis.imshow(masked, cmap="Oranges", vmin=0, vmax=max(1, mistakes.max()))
    figure.colorbar(picture, label="mistakes", ticks=plt.MaxNLocator(integer=True))
    for (true, predicted), count in np.ndenumerate(confusion):
        if count:
            dark = mistakes[true, predicted] > 0.6 * mistakes.max()
            axis.text(predicted, true, count, ha="center", va="center", color="w" if dark else "k")
    axis.set(
        title=f"{data}: {mistakes.sum():,} of {confusion.sum():,} misclassified",
        xlabel="predicted digit",
        ylabel="true digit",
        xticks=range(CLASSES),
        yticks=range(CLASSES),
    )
    return figure


def plot_readings(readings, probabilities, total):
    """Plot images as given beside what the network saw, with its answers.

    Args:
        readings: list of Reading, at least one.
        probabilities: their probabilities, float array of shape (n, 10).
        total: int, the number of all images read.

    Returns:
        The Matplotlib figure.
    """
    columns = min(len(readings), 4 if len(readings) <= 20 else 10)
    rows = math.ceil(len(readings) / columns)
    width, height = 2.2 * columns, 1.4 * rows
    # All in one pair of axes: a pair for each of 200 pictures takes seconds.
    figure, axis = plt.subplots(figsize=(max(4, width), height + 0.5), layout="constrained")
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.axis("off")
    some = f"{len(readings)} of " if len(readings) < total else ""
    figure.suptitle(
        f"{some}{total:,} image{'s' * (total > 1)}: as given, and as the network saw it"
    )
    for place, (reading, digits) in enumerate(zip(readings, probabilities)):
        x, y = 2.2 * (place % columns) + 0.55, 1.4 * (place // columns) + 0.85
        name = Path(reading.path).name
        name = name if len(name) < 15 else f"{name[:6]}…{name[-7:]}"
        answer = f"{digits.argmax()} ({digits.max():.1%})"
        colour = "black" if digits.max() >= UNCERTAIN else "red"
        show_picture(axis, reading.thumbnail, name, x, y, "black")
        show_picture(axis, reading.picture, answer, x + 1.1, y, colour)
    return figure


def show_picture(axis, picture, title, x, y, colour):
    """Show a picture in a unit square around x, y, its title above it."""
    height, width = np.array(picture.shape[:2]) / max(picture.shape) / 2
    extent = x - width, x + width, y + height, y - height
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=extent)
    axis.text(x, y - 0.55, title, fontsize="small", color=colour, ha="center", va="bottom")


# ---------------------------------------------------------------- files of images

Reading = collections.namedtuple("Reading", ["path", "thumbnail", "picture", "problem"])


def find_images(path):
    """Yield the path itself, or, if it is a folder, the images below it, sorted."""
    if not os.path.isdir(path):
        yield path
        return
    endings = tuple(Image.registered_extensions())
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(endings):
                yield os.path.join(folder, name)


def read_images(paths):
    """Read the images in files and folders one by one.

    Args:
        paths: list of paths.

    Yields:
        Reading: the path; an RGB thumbnail of the first images, None of the
        rest; the picture as from read_digit, or None and the problem as str.
    """
    count = 0
    for given in paths:
        path = None
        for path in find_images(given):
            try:
                image = open_image(path)
                picture = read_digit(image)
                thumbnail = make_thumbnail(image) if count < MOST_IMAGES_SHOWN else None
                count += 1
                yield Reading(path, thumbnail, picture, None)
            except InputError as problem:
                yield Reading(path, None, None, str(problem))
        if path is None:
            yield Reading(given, None, None, "there is no image in this folder")


def make_thumbnail(image):
    """Make a small RGB copy of a PIL image, on a white ground; array (h, w, 3), uint8."""
    image = ImageOps.exif_transpose(image)
    if image.mode == "F" or image.mode.startswith("I"):
        image = grey(image).convert("L")
    image.thumbnail((150, 150))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    image = image.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image))[..., :3]


def read_labels(path):
    """Read a CSV file with the columns file and label.

    Args:
        path: path of the file; those in it are relative to its folder.

    Returns:
        dict from absolute path to int, 0 to 9.

    Raises:
        InputError: if it is no such file.
    """
    labels = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if not {"file", "label"} <= set(rows.fieldnames or []):
                raise InputError(f"{path}: its first line does not name the columns file and label")
            for row in rows:
                if row["label"] not in [str(digit) for digit in range(CLASSES)]:
                    raise InputError(f"{path}: line {rows.line_num}: the label is not 0 to 9")
                labels[(Path(path).parent / row["file"]).resolve()] = int(row["label"])
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV file ({error})") from error
    return labels


def label_of(path, labels):
    """Answer the true digit of an image: from the labels, or, if None, from its folder's name."""
    if labels is not None:
        return labels.get(Path(path).resolve())
    folder = Path(path).resolve().parent.name
    return int(folder) if folder in [str(digit) for digit in range(CLASSES)] else None


@contextlib.contextmanager
def csv_writer(path):
    """Yield a function that writes an image's row to a CSV file, or does nothing without one."""
    if path is None:
        yield lambda *row: None
        return
    with (
        replaced_whole(path) as partial,
        open(partial, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["path", "digit", "confidence", *(f"p{digit}" for digit in range(CLASSES))])
        yield lambda path, probabilities: writer.writerow(
            [
                path,
                probabilities.argmax(),
                *(f"{p:.6f}" for p in (probabilities.max(), *probabilities)),
            ]
        )


def print_reading(path, probabilities):
    """Print the digit in an image, and the second guess where the first is uncertain."""
    second, first = np.argsort(probabilities)[-2:]
    line = f"{path}\t{first}\t{probabilities[first]:.1%}"
    if probabilities[first] < UNCERTAIN:
        line += f"\tuncertain, perhaps {second} ({probabilities[second]:.1%})"
    report(line)


def predict_readings(model, readings):
    """Yield each reading with its probabilities, float32 (10,), or None where it has a problem."""
    readings = iter(readings)
    while batch := list(itertools.islice(readings, IMAGES_AT_A_TIME)):
        pictures = [reading.picture for reading in batch if reading.problem is None]
        probabilities = iter(predict_pictures(model, pictures) if pictures else [])
        for reading in batch:
            yield reading, None if reading.problem else next(probabilities)


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
        type=model_path,
        default=MODEL_FILE,
        help="the network that train_model.py saved (default: %(default)s)",
    )
    parser.add_argument(
        "--labels",
        metavar="FILE",
        help="CSV file with the columns file and label: the true digits of the images"
        " (default: the names of their folders, if these are 0 to 9)",
    )
    parser.add_argument(
        "--csv", metavar="FILE", help="where to write path, digit, confidence and probabilities"
    )
    arguments = parser.parse_args()
    if not arguments.images and (arguments.labels or arguments.csv):
        parser.error("--labels and --csv are for images, and there are none")
    if arguments.images and arguments.data != parser.get_default("data"):
        parser.error("--data is for the test set, and there are images to read instead")
    return arguments


def score_test_set(model, arguments):
    """Score the network on MNIST's test set, and plot its mistakes; answers True."""
    plots = [Path(arguments.plots) / name for name in (MISTAKES_PLOT, CONFUSION_PLOT)]
    for path in plots:
        check_writable(path)
    images, labels, data = load_digits(arguments.data, "test")
    data = f"test images of {data}"
    probabilities = predict(model, images)
    print_scores(model, data, labels, probabilities)
    mistakes = most_confident_mistakes(zip(images, labels, probabilities))
    save_score_plots(mistakes, data, labels, probabilities, arguments.plots)
    return True


def save_score_plots(mistakes, data, labels, probabilities, folder):
    """Save the plots of the misclassified digits and of the confusion matrix."""
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1))
    wrong = len(labels) - np.trace(confusion)
    figure = plot_misclassified(mistakes, wrong, len(labels), data)
    save_plot(figure, folder, MISTAKES_PLOT)
    save_plot(plot_confusion(confusion, data), folder, CONFUSION_PLOT)


def read_own_digits(model, arguments):
    """Read the digits in images, and score those whose true digit is known.

    Returns:
        bool, whether all of them could be read.
    """
    labels = None if arguments.labels is None else read_labels(arguments.labels)
    for path in filter(None, (Path(arguments.plots) / IMAGES_PLOT, arguments.csv)):
        check_writable(path)
    total, problems, shown, mistakes = 0, 0, [], []
    # Arrays of plain numbers: there may be a hundred thousand images.
    known_labels, known_probabilities = array.array("B"), array.array("f")
    with csv_writer(arguments.csv) as write_row:
        for reading, probabilities in predict_readings(model, read_images(arguments.images)):
            if reading.problem:
                print_error(f"{reading.path}: {reading.problem}")
                problems += 1
                continue
            total += 1
            print_reading(reading.path, probabilities)
            write_row(reading.path, probabilities)
            if reading.thumbnail is not None:
                shown.append((reading, probabilities))
            label = label_of(reading.path, labels)
            if label is not None:
                known_labels.append(label)
                known_probabilities.extend(probabilities)
                mistakes.append((reading.picture, label, probabilities))
                if len(mistakes) > 2 * LARGEST_GRID:
                    mistakes = most_confident_mistakes(mistakes)
    if shown:
        save_plot(plot_readings(*zip(*shown), total), arguments.plots, IMAGES_PLOT)
    if known_labels:
        true_digits = np.array(known_labels, int)
        probabilities = np.array(known_probabilities, np.float32).reshape(-1, CLASSES)
        print_scores(model, "images", true_digits, probabilities)
        mistakes = most_confident_mistakes(mistakes)
        save_score_plots(mistakes, "images", true_digits, probabilities, arguments.plots)
    elif labels is not None:
        raise InputError(f"{arguments.labels}: names none of the images")
    return not problems


def main():
    arguments = parse_arguments()
    model = load_model(arguments.model)
    if arguments.images:
        complete = read_own_digits(model, arguments)
    else:
        complete = score_test_set(model, arguments)
    show_plots()
    sys.exit(0 if complete else 1)


if __name__ == "__main__":
    with run_as_script():
        main()
