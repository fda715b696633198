"""Score a trained digit classifier on MNIST's test set, and show where it errs.

    python predict_model.py

prints the accuracy, the classification report and the confusion matrix, and
plots the misclassified digits. Train the network first: `train_model.py`.
"""

import math
from pathlib import Path

import numpy as np

from train_model import (
    CLASSES,
    IMAGE_SHAPE,
    MODEL_FILE,
    InputError,
    as_input,
    check_writable,
    errors_in_one_line,
    keras,
    load_digits,
    make_parser,
    model_path,
    plt,
    progress_on_standard_error,
    save_plot,
    show_plots,
)

MISTAKES_PLOT = "misclassified.png"
CONFUSION_PLOT = "confusion_matrix.png"
LARGEST_GRID = 60  # misclassified digits shown: more cannot be told apart on a screen


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
    try:
        open(path, "rb").close()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; train_model.py makes it") from error
    try:
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


def print_scores(labels, probabilities):
    """Print what the network got right and wrong.

    Args:
        labels: int array of shape (n,), the true digits.
        probabilities: float array of shape (n, 10).
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1))
    correct, total = np.trace(confusion), len(labels)
    print(f"accuracy             {correct / total:.2%} of {total:,} images")
    print(f"loss                 {cross_entropy(labels, probabilities):.4f}")
    print(f"calibration error    {calibration_error(labels, probabilities):.2%}")
    print(f"misclassified        {total - correct:,}")
    print(f"\n{classification_report(confusion)}\n\n{confusion_table(confusion)}\n")


# ---------------------------------------------------------------- plots


def plot_misclassified(images, labels, probabilities):
    """Plot the misclassified digits, the most confident mistakes first.

    Args:
        images: uint8 array of shape (n, 28, 28).
        labels: int array of shape (n,), the true digits.
        probabilities: float array of shape (n, 10).

    Returns:
        The Matplotlib figure.
    """
    predictions, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    shown = wrong[np.argsort(-confidences[wrong], kind="stable")][:LARGEST_GRID]
    columns = min(10, max(4, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.3 * columns, 1.75 * rows + 0.7), squeeze=False, layout="constrained"
    )
    figure.suptitle(
        f"{len(wrong):,} of {len(labels):,} digits misclassified"
        + (f", the {len(shown)} most confident mistakes" if len(shown) < len(wrong) else "")
    )
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, shown):
        axis.imshow(images[i], cmap="gray", vmin=0, vmax=255)
        axis.set_title(
            f"true {labels[i]}\nread {predictions[i]} ({confidences[i]:.1%})", fontsize="small"
        )
    return figure


def plot_confusion(confusion):
    """Plot a confusion matrix; the colours are those of the mistakes alone.

    Args:
        confusion: int array of shape (10, 10), as confusion_matrix answers it.

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
        title=f"Confusion matrix: {mistakes.sum():,} of {confusion.sum():,} misclassified",
        xlabel="predicted digit",
        ylabel="true digit",
        xticks=range(CLASSES),
        yticks=range(CLASSES),
    )
    return figure


# ---------------------------------------------------------------- the command line


def parse_arguments():
    """Parse the command line of predict_model.py."""
    parser = make_parser("Score a trained network on MNIST's test set, and plot its mistakes.")
    parser.add_argument(
        "--model",
        metavar="FILE",
        type=model_path,
        default=MODEL_FILE,
        help="the network that train_model.py saved (default: %(default)s)",
    )
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    model = load_model(arguments.model)
    images, labels = load_digits(arguments.data, "test")
    for name in (MISTAKES_PLOT, CONFUSION_PLOT):
        check_writable(Path(arguments.plots) / name)
    probabilities = predict(model, images)
    print_scores(labels, probabilities)
    save_plot(plot_misclassified(images, labels, probabilities), arguments.plots, MISTAKES_PLOT)
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1))
    save_plot(plot_confusion(confusion), arguments.plots, CONFUSION_PLOT)
    show_plots()


if __name__ == "__main__":
    with errors_in_one_line():
        main()
