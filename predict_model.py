"""Score a trained digit classifier, or read the digits that people wrote themselves.

    python predict_model.py
    python predict_model.py my_digit.png photos/

The first prints the accuracy on MNIST's test set, the classification report
and the confusion matrix, and plots the misclassified digits. The second reads
each image, prints its digit, and plots what the network saw. Train the
network first: `train_model.py`.
"""

import collections
import contextlib
import csv
import itertools
import math
import os
import sys
from pathlib import Path

# First, as it keeps TensorFlow's start-up lines from the terminal.
from train_model import (
    BOX, CLASSES, IMAGE_SHAPE, MODEL_FILE, InputError, as_input, check_writable, cut, fit,
    load_digits, make_parser, new_plot, print_error, replaced_whole, resized,
    run_as_script, save_plot)

import cv2
import keras
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
from PIL import Image, ImageChops, ImageOps, ImageStat

# ---------------------------------------------------------------- reading an image

SIDE = 480  # pixels of an image's longer side; finer detail than this is noise


def open_image(path):
    """Open an image file of any kind that Pillow reads, and decode it; of an animation the first.

    Raises InputError if it cannot be opened, or is no whole image.
    """
    if not os.path.isfile(path):
        raise InputError("no such file, nor a folder with images")
    try:
        image = Image.open(path)
        image.draft(None, (SIDE, SIDE))  # A large JPEG is decoded at a fraction of its size.
        ImageOps.exif_transpose(image, in_place=True)
    # A damaged file can raise nearly anything in Pillow's many decoders.
    except Exception as error:
        raise InputError(getattr(error, "strerror", None)
                         or f"not an image that can be read ({error})") from error
    return image


def read_digit(image):
    """Turn a PIL image of a handwritten digit into what MNIST would have made of it.

    The image is of any mode and size, a drawing or a photograph, dark ink on
    light ground or light on dark. Answers uint8 of shape (28, 28), 0 (ground)
    to 255 (ink), as `fit` does. Raises InputError if there is no digit in it.
    """
    return find_digit(ImageOps.exif_transpose(image))[0]


# Something that may be a digit: its ink, 0 to 255, and its mask, 1 where it is, both uint8 of
# shape (h, w); the box of both in the picture, as slices; whether no mark like it stands beside
# it; how many sides of the picture it reaches; and the largest part's share of all ink.
Mark = collections.namedtuple("Mark", "ink mask box alone sides share")


def find_digit(image):
    """Answer the picture that read_digit answers, and whether the digit stands alone in the image.

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
        grey = image.convert("L")
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
        np.diff(crossed).sum() < 14 and mark.share > 0.9 and (slim or mark.sides in (0, 4))
        and (3.1 - 0.6 * min(mark.sides, 2)) * np.percentile(ink[solid > 0], 20)
        > cv2.absdiff(grey, ground).max()
        and crossed.mean() < (0.4 if mark.sides == 4 else 0.25)
        and stroke_width(mark) < (0.45 if crop else 0.25) * max(mark.mask.shape))
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


# ---------------------------------------------------------------- prediction and scores

AT_A_TIME = 500  # images read or predicted together, which bounds the memory
DIGITS = [*"0123456789"]


def load_model(path):
    """Load a trained network, a keras.Model, running no code that the file may hold.

    Raises InputError if the `.keras` or `.h5` file is missing, damaged, or
    holds no network from (n, 28, 28, 1) to ten outputs.
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: there is no such file; train_model.py makes it")
    try:
        model = keras.saving.load_model(path, compile=False)
        shapes = model.input_shape, model.output_shape
    # A damaged or foreign file can raise nearly anything in Keras and h5py.
    except Exception as error:
        raise InputError(f"{path}: not a model that Keras can load safely") from error
    if shapes != ((None, *IMAGE_SHAPE, 1), (None, CLASSES)):
        raise InputError(f"{path}: not a network from (28, 28, 1) to ten outputs")
    return model


def predict(model, images):
    """Predict probabilities, float32 (n, 10), from uint8 (n, 28, 28), 0 (ground) to 255 (ink)."""
    parts = np.array_split(images, len(images) // AT_A_TIME + 1)
    return np.concatenate([model(as_input(part)) for part in parts])


def predict_digit(model, image):
    """Read the digit in one image; answers an int and the probabilities, float32 of shape (10,).

    The image is the path of a file, a PIL image, or an array of shape (h, w),
    (h, w, 3) or (h, w, 4): uint8, bool, or float from 0 to 1. Raises
    InputError if the file is no image, or there is no digit in it.
    """
    if isinstance(image, (str, os.PathLike)):
        image = open_image(image)
    elif not isinstance(image, Image.Image):
        values = np.asarray(image).squeeze()
        image = Image.fromarray(np.uint8(values * (1 if values.max() > 1 else 255)))
    probabilities = predict(model, read_digit(image)[None])[0]
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
    """Compute the expected calibration error, 0 to 1, from int (n,) and float (n, 10).

    The mean distance between accuracy and mean confidence of ten bins, weighted by their
    images (Guo and others, "On calibration of modern neural networks", ICML 2017).
    """
    confidences = probabilities.max(axis=1)
    excess = confidences - (probabilities.argmax(axis=1) == labels)
    sums, _ = np.histogram(confidences, 10, (0, 1), weights=excess)
    return abs(sums).sum() / len(labels)


def classification_report(confusion):
    """Format precision, recall, F1 score and support of each digit, and their averages.

    Where a digit was never predicted its precision counts as 0. Digits that
    neither occur nor were predicted have no row and no part in the averages.
    """
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    scores = np.diag(confusion) / np.maximum([predicted, support, (predicted + support) / 2], 1)
    digits, total = np.flatnonzero(support + predicted), support.sum()
    rows = [(digit, *scores[:, digit], support[digit]) for digit in digits]
    rows += [("macro avg", *scores[:, digits].mean(axis=1), total),
             ("weighted avg", *scores @ support / total, total)]
    heading = f"{'precision':>23}  {'recall':>9}  {'f1-score':>9}  {'support':>9}"
    row = "{:>12}  {:>9.4f}  {:>9.4f}  {:>9.4f}  {:>9}".format
    return "\n".join([heading, *itertools.starmap(row, rows)])


def report_scores(model, data, labels, probabilities, mistakes, plots, prefix=""):
    """Print and plot what the network got right and wrong; for the mistakes see plot_mistakes."""
    confusion = tf.math.confusion_matrix(labels, probabilities.argmax(axis=1), CLASSES).numpy()
    total, wrong = len(labels), len(mistakes)
    losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    print(
        f"network              {model.name}",
        f"data                 {data}",
        f"accuracy             {1 - wrong / total:.2%} of {total:,} images",
        f"loss                 {np.mean(losses):.4f}",
        f"calibration error    {calibration_error(labels, probabilities):.2%}",
        f"misclassified        {wrong:,}",
        f"\n{classification_report(confusion)}",
        f"\nconfusion matrix, a row a true digit, a column a predicted one\n{confusion}\n",
        sep="\n")
    title = f"{data}: {wrong:,} of {total:,} misclassified"
    save_plot(plot_mistakes(mistakes, title), Path(plots, f"{prefix}misclassified.png"),
              "Misclassified digits")
    save_plot(plot_confusion(confusion, title), Path(plots, f"{prefix}confusion_matrix.png"),
              "Confusion matrix")


# ---------------------------------------------------------------- plots


def plot_mistakes(mistakes, title):
    """Plot the most confident of some mistakes (picture, true digit, probabilities); the figure."""
    shown = sorted(mistakes, key=lambda mistake: -mistake[2].max())[:60]  # More are too small.
    cells = [(picture, f"true {label}\nread {digits.argmax()} ({digits.max():.1%})", "black")
             for picture, label, digits in shown]
    return plot_pictures(cells, 10, f"{title}; shown: the {len(shown)} most confident mistakes")


def plot_readings(readings, total):
    """Plot images as given, each beside what the network saw, with its answer; the figure.

    A reading is (path, picture, alone, probabilities), of a total of so many.
    """
    cells = []
    for path, picture, alone, digits in readings:
        name = Path(path).name[-15:].encode(errors="replace").decode()
        cells += [(to_grey(open_image(path)), name, "black"),
                  (picture, f"{digits.argmax()} ({digits.max():.1%})",
                   "red" if doubt(digits, alone) else "black")]
    columns = 2 * min(len(readings), 4 if len(readings) <= 20 else 10)
    return plot_pictures(cells, columns, f"{len(readings)} of {total:,} images,"
                         " as given and as the network saw them")


def plot_pictures(cells, columns, title):
    """Plot a grid of cells (picture, its title, the title's colour); answers the figure."""
    rows = math.ceil(len(cells) / columns) or 1
    height = 1.5 * rows + 0.5
    figure, axes = new_plot(max(5, 1.2 * columns), height, rows, columns)
    figure.subplots_adjust(0.02, 0.1 / height, 0.98, 1 - 0.9 / height, 0.2, 0.4)
    figure.suptitle(title)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (picture, text, colour) in zip(axes.flat, cells):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(text, fontsize="small", color=colour)
    return figure


def plot_confusion(confusion, title):
    """Plot a confusion matrix, int of shape (10, 10); answers the figure."""
    # The diagonal is a hundred times the rest and would leave it one colour.
    mistakes = confusion - np.diag(np.diag(confusion))
    figure, ((axis,),) = new_plot(7, 6)
    axis.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, 1.5 * mistakes.max()))
    for (true, predicted), count in np.ndenumerate(confusion):
        axis.text(predicted, true, count or "", ha="center", va="center")
    axis.set(title=title, xlabel="predicted digit", ylabel="true digit",
             xticks=range(CLASSES), yticks=range(CLASSES))
    return figure


# ---------------------------------------------------------------- files of images


def read_images(model, paths, problems):
    """Yield (path, picture, alone, probabilities) of each image; says and collects problems.

    For a folder with images below it they are read in its place, sorted.
    """
    endings = tuple(Image.registered_extensions())
    files = (file for path in paths for file in sorted(
        os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names
        if name.lower().endswith(endings)) or [path])
    while batch := list(itertools.islice(files, AT_A_TIME)):
        found = []
        for path in batch:
            try:
                found.append((path, *find_digit(open_image(path))))
            except (InputError, ValueError) as problem:  # Of some modes Pillow makes no grey.
                print_error(f"{path}: {problem}")
                problems.append(path)
        if found:
            answers = predict(model, np.array([picture for _, picture, _ in found]))
            yield from ((*one, digits) for one, digits in zip(found, answers))


def read_labels(path):
    """Read a CSV file of file, relative to its folder, and label; a dict from path to str."""
    labels = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                if row["label"] not in DIGITS:
                    raise InputError(f"{path}: line {line}: the label is not 0 to 9")
                labels[Path(path).parent.joinpath(row["file"] or "").resolve()] = row["label"]
    except (KeyError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: not CSV with the columns file and label: {error}") from error
    return labels


# ---------------------------------------------------------------- the command line


def parse_arguments():
    """Parse the command line of predict_model.py."""
    parser = make_parser("Score a trained network on MNIST's test set, or read images of digits.")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="*", help="image files, or folders of them, to read")
    parser.add_argument(
        "--model", metavar="FILE", default=MODEL_FILE,
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
    """Score the network on MNIST's test set, and plot its mistakes."""
    images, labels, data = load_digits(arguments.data, "test")
    probabilities = predict(model, images)
    wrong = probabilities.argmax(axis=1) != labels
    mistakes = list(zip(images[wrong], labels[wrong], probabilities[wrong]))
    report_scores(
        model, f"test images of {data}", labels, probabilities, mistakes, arguments.plots)


def read_own_digits(model, arguments):
    """Read the digits in images, score the labelled ones; answers whether some were not read."""
    labels = read_labels(arguments.labels) if arguments.labels else None
    plot = Path(arguments.plots, "own_digits.png")
    check_writable(plot, arguments.csv or plot)
    table = replaced_whole(arguments.csv) if arguments.csv else contextlib.nullcontext(os.devnull)
    total, problems, shown, known, mistakes = 0, [], [], [], []
    with table as partial, open(
        partial, "w", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        add_row = csv.writer(file).writerow
        add_row(["path", "digit", "confidence", *(f"p{digit}" for digit in DIGITS)])
        for reading in read_images(model, arguments.images, problems):
            path, picture, alone, digits = reading
            line = [path, str(digits.argmax()), f"{digits.max():.1%}"]
            print("\t".join(filter(None, [*line, doubt(digits, alone)])))
            add_row([*line[:2], *(f"{p:.6f}" for p in (digits.max(), *digits))])
            total += 1
            if total <= 100:
                shown.append(reading)
            absolute = Path(path).resolve()
            label = absolute.parent.name if labels is None else labels.get(absolute)
            if label in DIGITS:
                known.append((int(label), digits))
                if label != line[1]:
                    mistakes.append((picture, label, digits))
    if shown:
        save_plot(plot_readings(shown, total), plot, "Your own digits")
    if known:
        true, probabilities = map(np.array, zip(*known))
        report_scores(model, "images", true, probabilities, mistakes, arguments.plots, "own_")
    elif arguments.labels:
        raise InputError(f"{arguments.labels}: names none of the images")
    return bool(problems)


def main():
    arguments = parse_arguments()
    model = load_model(arguments.model)
    read = read_own_digits if arguments.images else score_test_set
    incomplete = read(model, arguments)
    plt.show()
    sys.exit(incomplete)


if __name__ == "__main__":
    with run_as_script():
        main()
