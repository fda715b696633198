"""Train a small convolutional network to classify handwritten digits.

    python train_model.py

trains on MNIST, prints the training statistics, saves the network as
`digit_classifier.keras` and a plot of accuracy and loss. `--help` lists the
options; `predict_model.py` scores the network.

Importing this file has Keras work with TensorFlow, float32 and channels last,
whatever is set around it, and keeps the start of TensorFlow off the terminal.
"""

import argparse
import contextlib
import logging
import math
import os
import re
import socket
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

# Python has None for a closed stream. The null device takes its descriptor, or the next file that
# is opened would get it, and what is printed.
for stream in ("stdin", "stdout", "stderr"):
    if getattr(sys, stream) is None:
        setattr(sys, stream, open(os.devnull, "r+"))  # noqa: SIM115

INTERRUPTED = 130  # exit status, by custom 128 plus the number of the signal

os.environ["KERAS_BACKEND"] = "tensorflow"
# Matplotlib is not imported with a backend that is missing, as one that a notebook hands to the
# scripts it starts, so it is set after the import, if it can be. A notebook itself keeps its own.
plot_backend = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
# TensorFlow writes to the terminal while it starts, and no setting stops it all.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
standard_error = os.dup(2)
null_device = os.open(os.devnull, os.O_WRONLY)
os.dup2(null_device, 2)
try:
    import cv2
    import keras
    import matplotlib.pyplot as plt
    import numpy as np
    import tensorflow as tf
    from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install -r requirements.txt")
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)
finally:
    os.dup2(standard_error, 2)
if plot_backend:
    os.environ["MPLBACKEND"] = plot_backend
    with contextlib.suppress(ImportError, ValueError):
        plt.switch_backend(plot_backend)
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
logging.getLogger("absl").setLevel(logging.ERROR)  # Keras warns there of every .h5 file.
cv2.setNumThreads(1)  # More of its threads would wait for TensorFlow's.

MODEL_FILE = "digit_classifier.keras"
IMAGE_SHAPE = (28, 28)
CLASSES = 10


# ---------------------------------------------------------------- the network

conv = partial(Conv2D, activation="relu")
pool = MaxPooling2D

# Each makes the hidden layers of a network, new ones at each call. All were published.
ARCHITECTURES = {
    "5x5": lambda: [conv(32, 5), pool(), conv(32, 5), pool(), Flatten(), Dense(128, "relu")],
    "3x3-dropout": lambda: [
        conv(32, 3),
        conv(64, 3),
        pool(),
        Dropout(0.25),
        Flatten(),
        Dense(256, "relu"),
        Dropout(0.5),
    ],
    "3x3": lambda: [conv(64, 3), conv(32, 3), pool(), Flatten()],
    "3x3-pooled": lambda: [conv(32, 3), pool(), conv(64, 3), pool(), Flatten()],
}


def build_model(architecture="5x5", data="MNIST"):
    """Build an untrained network.

    Args:
        architecture: A name from ARCHITECTURES.
        data: What it is to be trained on; the network is named after it.

    Returns:
        A keras.Sequential from float32 images (n, 28, 28, 1), 0 (background) to 1
        (ink), to float32 probabilities (n, 10).
    """
    layers = [
        keras.Input((*IMAGE_SHAPE, 1)),
        *ARCHITECTURES[architecture](),
        Dense(CLASSES, "softmax", name="output"),
    ]
    # With a dot in its name Keras could not load an .h5 file under PyTorch.
    name = "trained_on_" + re.sub("[^A-Za-z0-9-]+", "_", data)
    return keras.Sequential(layers, name=name)


# ---------------------------------------------------------------- the data


def load_digits(source, subset):
    """Load images of digits and their labels.

    Args:
        source: "mnist" (downloaded once, by Keras), "drawn" (drawn here), "auto"
            (MNIST, or drawn digits with a warning where it cannot be had), or
            the path of an `.npz` file laid out as Keras's `mnist.npz`.
        subset: "train" or "test".

    Returns:
        The images, uint8 (n, 28, 28), 0 (background) to 255 (ink); the labels,
        integers (n,), 0 to 9; and the name of the data, a str.

    Raises:
        InputError: The data cannot be had, or are no digits.
    """
    if source == "auto":
        try:
            return load_digits("mnist", subset)
        except InputError as error:
            print_message("warning", f"{error}; going on with digits that are drawn here")
            return load_digits("drawn", subset)
    if source == "mnist":
        return *load_mnist(subset), "MNIST"
    if source == "drawn":
        count, seed = (60_000, 0) if subset == "train" else (10_000, 1)
        return *draw_digits(count, seed), "drawn digits, not MNIST"
    return *read_npz(source, subset), Path(source).name


def load_mnist(subset):
    """Load MNIST, which Keras downloads once; see load_digits."""
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)  # seconds without a byte of the download
    try:
        with progress_on_standard_error():
            train_set, test_set = keras.datasets.mnist.load_data()
    # Keras raises a plain Exception for most of what can go wrong here.
    except Exception as error:
        raise InputError(
            f"MNIST cannot be downloaded ({error}); with a copy of mnist.npz use --data FILE"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    return train_set if subset == "train" else test_set


def read_npz(path, subset):
    """Read the arrays x_SUBSET and y_SUBSET of an `.npz` file; see load_digits."""
    try:
        with np.lib.npyio.NpzFile(path) as arrays:
            if max(array.file_size for array in arrays.zip.infolist()) > 2**28:
                raise ValueError("its arrays are too large")  # MNIST's largest is a sixth of that.
            images, labels = arrays[f"x_{subset}"], arrays[f"y_{subset}"]
        largest = labels.reshape(len(images), -1).argmax(axis=1)
        if np.array_equal(labels, np.eye(CLASSES)[largest]):  # one-hot labels
            labels = largest
        labels = labels.reshape(len(images))
        digits = images.reshape(len(labels), *IMAGE_SHAPE).astype(np.uint8)
        whole = images.dtype.kind in "iu" and images.min() >= 0 and images.max() <= 255
        if not whole or not np.isin(labels, range(CLASSES)).all():
            raise ValueError(f"images {images.dtype} {images.shape}, labels {labels.dtype}")
        return digits, labels.astype(np.int64)
    # A damaged or foreign file can raise nearly anything in zipfile and NumPy.
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path}: {reason}; wanted is an .npz file as Keras's mnist.npz: x_train and x_test,"
            " integers from 0 (background) to 255 (ink) of shape (n, 28, 28), y_train and y_test,"
            " n labels from 0 to 9"
        ) from error


def split(images, labels, share):
    """Split off the last images for validation.

    Args:
        images: An array of n images.
        labels: Their labels, an array (n,).
        share: How many to split off, a share from 0 to 1.

    Returns:
        Two pairs (images, labels), for training and for validation.

    Raises:
        InputError: One of the two would be empty.
    """
    count = len(images)
    first = count - round(count * share)
    if not 0 < first < count:
        raise InputError(
            f"--validation-split {share:g} of {count} images"
            " leaves none for training or none for validation"
        )
    unseen = np.setdiff1d(labels[first:], labels[:first])
    if len(unseen):
        print_message(
            "warning",
            f"no training image shows a {unseen[0]}, but validation images do:"
            " the data seem to be sorted by label; shuffle them",
        )
    return (images[:first], labels[:first]), (images[first:], labels[first:])


def as_input(images):
    """Convert uint8 images (n, 28, 28) to what the network takes; see build_model."""
    return np.float32(images[..., np.newaxis]) / 255


def as_pair(images, labels):
    """Convert images to what the network takes, and labels to what it is to return: one-hot."""
    return as_input(images), keras.utils.to_categorical(labels, CLASSES)


# ---------------------------------------------------------------- training


def train(
    model,
    train_set,
    validation_set,
    callbacks=(),
    *,
    epochs=5,
    batch_size=None,
    optimizer="muon",
    learning_rate=None,
    augment=True,
    one_cycle=True,
    label_smoothing=0.1,
    patience=None,
    seed=0,
):
    """Train a network in place, and leave it as it was after its best epoch.

    The defaults of the keyword arguments are our recipe; the command line sets most of them.

    Args:
        model: The network, from build_model.
        train_set: The images, uint8 (n, 28, 28), 0 (background) to 255 (ink), and their labels, int
            (n,), 0 to 9.
        validation_set: Others; the best epoch is the most accurate on them.
        callbacks: More Keras callbacks.
        epochs: Passes over the training images.
        batch_size: Images a step; None is 64 times the epochs, at most 256.
        optimizer: The name of one of Keras's optimizers.
        learning_rate: The highest one; None is the optimizer's own, in one cycle ten times as
            much.
        augment: Whether to distort the images (`main` adds the drawn ones).
        one_cycle: Whether the learning rate rises and falls, or is constant.
        label_smoothing: Share of each label that is spread over all digits.
        patience: Epochs without a lower validation loss to stop after, or None.
        seed: Of the order of the images and of their distortions.

    Returns:
        The history, a dict of lists with a value an epoch (loss, accuracy,
        val_loss, val_accuracy; losses in nats), and whether Ctrl-C ended the
        training after its first epoch.

    Raises:
        InputError: The loss is no longer finite.
        KeyboardInterrupt: Ctrl-C was pressed in the first epoch.
    """
    # In a short run more steps are worth more than large batches.
    batch_size = batch_size or min(64 * epochs, 256)
    batches = training_batches(*train_set, batch_size, augment, seed)
    steps = math.ceil(len(train_set[0]) / batch_size)
    # With so much patience it never stops; it keeps the best epoch's weights.
    keep_best = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=epochs, restore_best_weights=True
    )
    stop_early = keras.callbacks.EarlyStopping("val_loss", patience=patience or epochs)
    # Hidden layers are trained in the precision that is fastest here; what is saved is float32.
    for layer in model.layers[:-1]:
        layer.dtype_policy = fastest_policy()
    model.compile(
        make_optimizer(optimizer, learning_rate, epochs * steps if one_cycle else None),
        keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing),
        metrics=["accuracy"],
    )
    interrupted = False
    try:
        with progress_on_standard_error() as verbose:
            model.fit(
                batches,
                steps_per_epoch=steps,
                epochs=epochs,
                callbacks=[keep_best, stop_early, keras.callbacks.TerminateOnNaN(), *callbacks],
                verbose=verbose,
                validation_data=as_pair(*validation_set),
                validation_batch_size=500,
                shuffle=False,  # Keras would warn that it cannot shuffle a Dataset; this one is.
            )
    except KeyboardInterrupt:
        if keep_best.best_weights is None:
            raise
        interrupted = True
    history = model.history.history
    if not np.isfinite(history["loss"] + history["val_loss"]).all():
        raise InputError(
            "training diverged: the loss is no longer finite; nothing is saved;"
            " try a lower --learning-rate"
        )
    model.set_weights(keep_best.best_weights)
    for layer in model.layers:
        layer.dtype_policy = "float32"
    return history, interrupted


def training_batches(images, labels, batch_size, augment, seed):
    """Make endless batches of float32 images (n, 28, 28, 1) and one-hot labels, shuffled."""

    def distorted(step, batch):
        pictures, one_hot = batch
        return distort(pictures, (seed, step)), one_hot

    data = tf.data.Dataset.from_tensor_slices(as_pair(images, labels))
    batches = data.shuffle(len(images), seed).repeat().batch(batch_size)
    if augment:
        batches = batches.enumerate().map(distorted, num_parallel_calls=2)
    return batches.prefetch(4)


def distort(images, seed):
    """Turn, scale, stretch, slant and shift images at random, each in its own way.

    They are turned by up to 10 degrees, scaled by 10%, stretched by 7%, slanted
    by 9 degrees, and shifted by 1.5 pixels, by one affine change and so one
    resampling, which blurs least (Simard, Steinkraus and Platt, "Best practices
    for convolutional neural networks", ICDAR 2003).

    Args:
        images: A float32 tensor (n, 28, 28, 1), the background at 0.
        seed: Two integers; the same ones distort in the same way.

    Returns:
        The distorted images, a float32 tensor of the same shape.
    """
    uniform = tf.random.stateless_uniform([6, tf.shape(images)[0]], seed, -1, 1)
    angle, size, stretch, slant, shift_x, shift_y = tf.unstack(uniform)
    # The matrix takes a place in the result, counted from the middle, to the
    # place in the image that its brightness comes from. 10 and 9 degrees are
    # 0.17 and 0.15.
    a, b = 1 + 0.1 * size + 0.07 * stretch, 0.15 * slant - 0.17 * angle
    c, d = 0.17 * angle, 1 + 0.1 * size - 0.07 * stretch
    middle = (IMAGE_SHAPE[0] - 1) / 2
    x = middle - (a + b) * middle + 1.5 * shift_x
    y = middle - (c + d) * middle + 1.5 * shift_y
    no_perspective = tf.zeros_like(a)
    matrix = tf.stack([a, b, x, c, d, y, no_perspective, no_perspective], axis=1)
    return keras.ops.image.affine_transform(images, matrix)


def make_optimizer(name, learning_rate=None, one_cycle_steps=None):
    """Make an optimizer, with a one-cycle learning rate or a constant one.

    A one-cycle rate rises linearly over the first 15% of the steps and falls to
    zero along a cosine; its top can be far higher than a constant one (Smith and
    Topin 2017, https://arxiv.org/abs/1708.07120). Muon changes a dense layer in
    all directions alike (Jordan and others 2024,
    https://kellerjordan.github.io/posts/muon/), and leaves the rest to Adam.

    Args:
        name: The name of one of Keras's optimizers.
        learning_rate: The highest rate. None is the optimizer's own, in one cycle
            ten times as much.
        one_cycle_steps: The steps of the whole training, or None for a constant rate.

    Returns:
        The keras.optimizers.Optimizer.
    """
    optimizer = keras.optimizers.get(name)
    if one_cycle_steps is None:
        if learning_rate:
            optimizer.learning_rate = learning_rate
        return optimizer
    highest = learning_rate or 10 * float(optimizer.learning_rate)
    # Our recipe's Muon; at a constant rate it stays Keras's own.
    if isinstance(optimizer, keras.optimizers.Muon):
        optimizer = keras.optimizers.Muon(
            adam_beta_2=0.99,  # Keras's 0.999 averages a thousand gradients, as many as a run has.
            weight_decay=0.4,  # chosen on the validation images
            adam_weight_decay=0.4,
            ns_steps=3,
            exclude_layers=["/output/"],  # which Adam trains
        )
    warm_up = math.ceil(0.15 * one_cycle_steps)
    fall = max(1, one_cycle_steps - warm_up)
    optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0, fall, warmup_target=highest, warmup_steps=warm_up
    )
    return optimizer


def fastest_policy():
    """Return the Keras dtype policy in which this machine trains fastest.

    bfloat16 is faster only where the processor itself multiplies such matrices
    (x86 with AMX or AVX512-BF16).
    """
    cpu = Path("/proc/cpuinfo")
    capable = cpu.is_file() and re.search("(amx|avx512)_bf16", cpu.read_text())
    return "mixed_bfloat16" if capable and not tf.config.list_physical_devices("GPU") else "float32"


def calibrate(model, images, labels):
    """Make the probabilities of a network fit how often it is right.

    Divides the logits, by way of the last layer's weights, by the temperature
    that gives the lowest cross-entropy; no decision changes (Guo, Pleiss, Sun and
    Weinberger, "On calibration of modern neural networks", ICML 2017).

    Args:
        model: The trained network, changed in place.
        images: Images that it was not trained on, uint8 (n, 28, 28).
        labels: Their labels, int (n,).
    """
    probabilities = model.predict(as_input(images), batch_size=500, verbose=0)
    logits = np.log(np.maximum(probabilities, 1e-30))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    temperature = min(
        np.geomspace(0.2, 5, 161),
        key=lambda divisor: cross_entropy(labels, logits / divisor),
    )
    output = model.layers[-1]
    output.set_weights([weights / temperature for weights in output.get_weights()])


@contextlib.contextmanager
def progress_on_standard_error():
    """Send Keras's progress to standard error; yields its `verbose`: 1 for bars, 2 for lines."""
    with contextlib.redirect_stdout(sys.stderr):
        # Where there is no terminal a bar would be written again and again.
        yield 1 if sys.stderr.isatty() else 2


# ---------------------------------------------------------------- the plot


def plot_history(history, data, augment, label_smoothing):
    """Plot accuracy and loss of both sets over the epochs; returns the figure."""
    figure = new_plot(f"Training on {data}", 10, 4, 1, 2)
    training = "training, on distorted images" if augment else "training"
    epochs = range(1, len(history["loss"]) + 1)
    for axis, name in zip(figure.axes, ("accuracy", "loss")):
        axis.plot(epochs, history[name], "o-", label=training)
        axis.plot(epochs, history[f"val_{name}"], "o-", label="validation")
        axis.set(xlabel="epoch", ylabel=name)
        axis.locator_params("x", integer=True)
        axis.legend()
    if label_smoothing:
        figure.axes[1].set(ylabel="loss on smoothed labels")
    return figure


def new_plot(title, width, height, rows=1, columns=1):
    """Make a figure of a size in inches, whose window fits a screen of 1366 x 768; returns it."""
    dpi = min(100, 1300 / width, 620 / height)
    figure, _ = plt.subplots(rows, columns, figsize=(width, height), dpi=dpi, layout="constrained")
    figure.suptitle(drawable(title), parse_math=False)
    return figure


def drawable(text):
    """Replace what Matplotlib cannot draw, as bytes in the name of a file that are no text."""
    return text.encode(errors="replace").decode()


def save_plot(figure, path, title):
    """Save a Matplotlib figure as PNG, say where, and give its window a title."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"):  # of letters that Matplotlib's font has not
        figure.savefig(path, dpi=150)
    print_result("plot saved as", path)
    figure.canvas.manager.set_window_title(title)


# ---------------------------------------------------------------- the command line

# What `--recipe published` changes: PLAIN for every network, then what those who published it did
# otherwise. What neither names stays at our default, as do the 5 epochs of 5x5.
PLAIN = {
    "batch_size": 32,
    "optimizer": "adam",
    "augment": False,
    "one_cycle": False,
    "label_smoothing": 0.0,
}
PUBLISHED = {
    "5x5": {},
    "3x3-dropout": {
        "epochs": 50,
        "batch_size": 128,
        "optimizer": "adadelta",
        "validation_split": 1 / 12,
        "patience": 5,
    },
    "3x3": {"epochs": 10},
    "3x3-pooled": {"epochs": 10},
}


def between(low, high, kind):
    """Make an argparse type: a number of a kind, int or float, from low to high."""

    def number(text):
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return value

    return number  # argparse says "invalid number value" where the text is none.


def optimizer(name):
    """Check the name of one of Keras's optimizers, as an argparse type."""
    try:
        keras.optimizers.get(name)
    except KeyError as error:  # of one that needs another
        raise ValueError(error) from error
    return name


def make_parser(description):
    """Make an argparse parser with the options that both scripts have, and one-line errors.

    Returns it, and its group of inputs, of which a user may give one; `--data` is in it.
    """
    with_defaults = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=with_defaults)
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument(
        "--data",
        default="auto",
        help="mnist (downloaded once), drawn (digits that are drawn here), auto (mnist, or drawn"
        " where it cannot be had), or a mnist.npz that you have",
    )
    parser.add_argument("--plots", metavar="DIR", default="plots", help="folder for plots")
    return parser, inputs


def parse_arguments():
    """Parse the command line: what is typed wins over the recipe, the recipe over the defaults."""
    parser, _ = make_parser("Train a network to classify handwritten digits, and save it.")
    parser.set_defaults(**train.__kwdefaults__)
    add = parser.add_argument
    positive = between(1, 10**6, int)
    add("--output", metavar="FILE", default=MODEL_FILE, help="the network's file, .keras or .h5")
    add("--architecture", choices=ARCHITECTURES, default="5x5", help="the network")
    add(
        "--recipe",
        choices=["ours", "published"],
        default="ours",
        help="how to train it: ours, or as those did who published the network;"
        " the options below win over it",
    )
    add("--epochs", type=positive, help="passes over the training images")
    add("--batch-size", type=positive, help="images a step; None: 64 times the epochs, at most 256")
    add("--optimizer", type=optimizer, help="one of Keras's optimizers")
    add(
        "--learning-rate",
        type=between(1e-12, 1e12, float),
        help="highest rate; None: the optimizer's own, in our recipe ten times as much",
    )
    add(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="train on distorted images and on drawn ones, too",
    )
    add(
        "--validation-split",
        type=between(0, 1, float),
        default=0.2,
        help="share of the images, the last ones, to validate on",
    )
    add("--patience", type=positive, help="epochs without a lower validation loss to stop after")
    add("--seed", type=between(0, 2**32 - 1, int), help="seed of everything random")
    arguments = parser.parse_args()
    if arguments.recipe == "published":
        # What is typed wins over these defaults, too.
        parser.set_defaults(**PLAIN | PUBLISHED[arguments.architecture])
        arguments = parser.parse_args()
    if not arguments.output.endswith((".keras", ".h5")):
        parser.error("argument --output: the name must end in .keras or .h5")
    return arguments


def print_statistics(model, trained_on, history, train_set, validation_set, seconds):
    """Print what became of the training; save_model has compiled the network for it."""
    print("Training statistics")
    print_result("trained on", trained_on)
    print_result("epochs", len(history["val_loss"]))
    for name, (images, labels) in (("training", train_set), ("validation", validation_set)):
        loss, accuracy = model.evaluate(as_input(images), labels, batch_size=500, verbose=0)
        print_result(f"{name} accuracy", f"{accuracy:.2%} (loss {loss:.4f})")
    print_result("validation images", f"{len(validation_set[0]):,}")
    print_result("time", f"{seconds:.1f} s")
    print_result("software", f"Keras {keras.__version__} with TensorFlow {tf.__version__}")


def main():
    """Train, calibrate by our recipe, save, and say how it went; returns the exit status."""
    arguments = parse_arguments()
    curves = Path(arguments.plots, "training_curves.png")
    check_writable(arguments.output, curves)
    images, labels, data = load_digits(arguments.data, "train")
    train_set, validation_set = split(images, labels, arguments.validation_split)
    start = time.perf_counter()
    trained_on = f"{len(train_set[0]):,} of {data}"
    if arguments.augment:
        train_set, drawn = with_drawn(train_set, arguments.seed)
        trained_on += f" and {drawn:,} drawn"
    keras.utils.set_random_seed(arguments.seed)
    model = build_model(arguments.architecture, data)
    model.summary(print_fn=print)
    settings = {name: getattr(arguments, name) for name in train.__kwdefaults__}
    history, interrupted = train(model, train_set, validation_set, **settings)
    if arguments.recipe == "ours":
        calibrate(model, *validation_set)
    seconds = time.perf_counter() - start
    save_model(model, arguments.output)
    if interrupted:
        print_message(
            "warning", f"stopped; the best epoch's network is saved as {arguments.output}"
        )
        return INTERRUPTED
    print_statistics(model, trained_on, history, train_set, validation_set, seconds)
    print_result("network saved as", arguments.output)
    figure = plot_history(history, data, arguments.augment, arguments.label_smoothing)
    save_plot(figure, curves, "Training curves")
    plt.show()
    return 0


# ---------------------------------------------------------------- files and errors


class InputError(Exception):
    """Something that the user can put right; the text says what and how, in one line."""


def check_writable(*paths):
    """Raise InputError now if one of these files could not be written later, after long work."""
    for path in paths:
        folder = next(folder for folder in Path(os.path.realpath(path)).parents if folder.exists())
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from error
        if os.path.isdir(path):
            raise InputError(f"{path}: cannot be written (it is a folder)")


def save_model(model, path):
    """Save a network as a file that every Keras from 3.3 on loads; compiles it for `evaluate`.

    At any moment the file is the earlier one or the new one, whole.

    Args:
        model: The network.
        path: The file, `.keras` or `.h5`.

    Raises:
        OSError: The file cannot be written; an earlier one is left as it is.
    """
    # Every Keras knows SGD, but not Muon, whose state would be saved as well.
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    # An older Keras may not know a setting that a newer one added; where it is None it is left out.
    for layer in model.layers:
        settings = without_unset(layer.get_config())
        layer.get_config = settings.copy
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        model.save(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def without_unset(config):
    """Return settings without those that are None, in nested ones as well."""
    return {
        name: without_unset(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if value is not None
    }


def print_result(name, value):
    """Print a result as one line of a table."""
    print(f"  {name:<20} {value}")


def print_message(kind, message):
    """Print an error or a warning as one line on standard error."""
    line = " ".join(str(message).splitlines())
    print(f"{Path(sys.argv[0]).name}: {kind}: {line}", file=sys.stderr)


def run_as_script(main):
    """Run a script's main; an error that a user can put right, and Ctrl-C, end it in one line."""
    with contextlib.suppress(AttributeError):  # A notebook's stream prints any name.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            sys.exit(main())
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the results has gone, as `| head` does; Python would complain at its end.
        os.dup2(null_device, sys.stdout.fileno())
    except (InputError, OSError) as error:
        file = getattr(error, "filename", None)
        print_message("error", f"{file}: {error.strerror}" if file else error)
    except KeyboardInterrupt:
        print_message("error", "interrupted")
        sys.exit(INTERRUPTED)
    sys.exit(1)


# ---------------------------------------------------------------- images as MNIST's

BOX = 20  # pixels of the box that a digit fills


def centred(ink):
    """Fit the ink of a digit, cropped to it, into an image as MNIST's are, uint8 (28, 28).

    It fills a box of 20x20 pixels, its centre of mass in the middle (LeCun and
    others, "Gradient-based learning applied to document recognition", 1998).
    """
    ink = resized(ink, BOX / max(ink.shape))
    ink = cv2.normalize(ink, None, 255, 0, cv2.NORM_INF)
    mass = cv2.moments(ink)
    shift = [round(IMAGE_SHAPE[0] / 2 - mass[axis] / mass["m00"]) for axis in ("m10", "m01")]
    return cv2.warpAffine(ink, np.column_stack([np.eye(2), shift]), IMAGE_SHAPE)


def cut(ink):
    """Cut off what is empty around the ink, uint8 (h, w)."""
    left, top, width, height = cv2.boundingRect(np.uint8(ink > 12))
    return ink[top : top + height, left : left + width]


def resized(picture, scale):
    """Resize a picture, uint8 (h, w)."""
    size = [max(2, round(scale * side)) for side in reversed(picture.shape)]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


# ---------------------------------------------------------------- the drawn digits

# Drawn images for each image of the data to train on: enough to teach what MNIST lacks.
DRAWN_SHARE = 1 / 8


def with_drawn(train_set, seed):
    """Add drawn digits to a training set; returns the new set, and how many they are."""
    count = round(DRAWN_SHARE * len(train_set[0]))
    drawn = draw_digits(count, (2, seed))  # others than load_digits draws
    return [np.concatenate(both) for both in zip(train_set, drawn)], count


def draw_digits(count, seed):
    """Draw handwritten digits with a round pen.

    Args:
        count: How many.
        seed: An int, or several; the same seed draws the same ones.

    Returns:
        Images, uint8 (count, 28, 28), 0 (background) to 255 (ink), and labels, int64 (count,).
    """
    rng = np.random.default_rng(seed)
    images, labels = [], rng.integers(CLASSES, size=count)
    ways = [re.findall(f"^{digit} .*: (.*)", HANDWRITING, re.MULTILINE) for digit in range(CLASSES)]
    with progress_on_standard_error() as verbose:
        bar = keras.utils.Progbar(count, verbose=verbose, unit_name="drawn digit")
        for label in labels:
            images.append(draw_strokes(rng.choice(ways[label]), rng))
            bar.add(1)
    return np.array(images, np.uint8).reshape(count, *IMAGE_SHAPE), labels


# How much hands differ: standard deviations, and ranges.
SIZE_SPREAD = 0.2  # of the logarithms of width and height
POINT_SPREAD = 0.1  # of each point, in widths and heights
STROKE_SPREAD = 0.05  # of each stroke, in widths and heights
SLANT_SPREAD = 0.3  # to the right, for a height of 1
PENS = 0.06, 0.36  # the thinnest and the thickest, in widths or heights, whichever is less
SHARPNESS = 8, 40  # pixels that a drawing is reduced to before it fills its box: fewer are softer
CANVAS = 224  # pixels of a side


def draw_strokes(way, rng):
    """Draw strokes of HANDWRITING in a random hand; returns uint8 (28, 28)."""
    size = rng.lognormal(0, SIZE_SPREAD, 2) * (48, 64)  # width and height, in pixels
    slant = rng.normal(0.15, SLANT_SPREAD)
    lines = []
    for stroke in way.split("/"):
        points = np.array(re.findall("[-0-9]+", stroke), float).reshape(-1, 2) / 100 - 0.5
        points += rng.normal(0, POINT_SPREAD, points.shape) + rng.normal(0, STROKE_SPREAD, 2)
        points = CANVAS / 2 + (points * size) @ [[1, 0], [-slant, 1]]
        # To cut the corners makes them round (Chaikin, "An algorithm for high-speed curve
        # generation", 1974).
        start, end = points[:-1], points[1:]
        points = np.hstack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end])
        lines.append(np.int32(points.reshape(-1, 2)))
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    pen = round(rng.uniform(*PENS) * min(size))
    ink = cut(cv2.polylines(canvas, lines, False, 255, pen, cv2.LINE_AA))
    return centred(resized(ink, rng.uniform(*SHARPNESS) / max(ink.shape)))


# How people write each digit, a line a way of writing: the digit, a name, and its strokes (after a
# slash, another) as points x,y in per cent of the digit's width and height, from the top left. As
# draw_strokes cuts corners, a stroke begins a quarter of the way from its first point to the next,
# and ends as far before its last; a point given twice is reached.
# The ways are from public descriptions: Wikipedia, "Regional handwriting variation" (1 with
# flag and foot, 3 flat, 4 open, 7 barred in Europe and hooked in East Asia, 9); Briem,
# "Numbers", http://briem.net/4/4.1.2a/4.1.2.11.numbers.htm (5 of two strokes, open 3 and 4);
# "European numerals", http://www.netipedia.com/index.php/European_numerals (1 like a Z, 4 like a
# lightning bolt); "Ziffernschreibkurs", https://www.schulimpulse.de (Germany: 1 with a flag);
# "How to write numbers", https://mathematicalpapyrus.com/math1/write (Japan: 1 as a bar, with a
# bent head, on a foot). None is traced.
HANDWRITING = """
0 closed: 50,0 15,20 3,55 22,93 55,100 90,75 97,40 78,8 48,1 38,4
0 round: 45,6 12,30 8,70 40,100 80,85 95,50 80,12 50,0 30,8
1 bar: 50,0 50,50 50,100
1 short flag: 25,25 50,0 50,0 50,50 50,100
1 long flag: -10,56 50,0 50,0 50,50 50,100
1 flat flag: -15,30 52,0 52,0 51,50 50,105
1 foot: 40,-5 40,50 40,100 40,100 95,98
1 flag and foot: 30,22 52,0 52,0 51,50 50,100 50,100 / 22,100 78,99
1 long flag and foot: -8,46 50,0 50,0 50,50 50,100 50,100 / 0,100 0,100 100,100 100,100
1 like a Z: 5,30 75,0 75,0 40,100 40,100 / -25,100 -25,100 105,100 105,100
1 on a line: 15,50 60,0 60,0 55,100 55,100 / -60,110 -60,110 160,85 160,85
2 plain: 8,25 30,2 65,3 82,28 60,62 5,98 5,98 95,96
2 loop: 10,28 35,2 75,8 78,38 45,75 12,97 5,88 22,78 50,92 95,97
2 wide loop: 12,30 38,2 72,10 72,40 48,82 18,97 5,82 25,66 58,82 98,92
2 round loop: 10,25 45,0 75,20 65,55 35,95 5,95 2,75 25,65 55,78 98,72
3 round: 10,15 45,0 82,15 70,40 35,48 35,48 75,55 88,78 55,100 5,88
3 flat top: 8,3 85,2 85,2 45,40 45,40 85,55 82,88 45,100 5,90
3 soft: 15,10 55,0 80,20 60,42 30,46 62,48 90,70 70,97 30,98 8,85
4 open: 20,2 8,52 15,60 50,57 92,53 / 72,5 68,50 66,100
4 cup: 18,5 12,45 35,58 75,45 / 82,2 76,45 70,100
4 three-cornered: 68,100 70,50 70,2 70,2 5,68 5,68 98,66
4 in one stroke: 75,100 78,5 78,5 45,25 8,62 8,62 60,60 95,58
4 lightning: 55,-15 8,66 8,66 106,60 / 66,25 60,112
4 closed: 62,-10 5,64 5,64 110,64 / 66,-12 64,108
5 with bar: 28,5 20,45 20,45 55,38 85,60 75,90 40,100 5,90 / 28,4 60,3 92,0
5 in one stroke: 88,2 30,3 30,3 20,42 20,42 58,38 85,62 70,95 35,100 5,88
5 like an S: 85,5 45,5 22,25 40,45 72,58 75,85 40,100 8,92
5 upright: 25,15 15,50 15,50 55,42 80,65 55,98 5,92 / 25,12 95,0
6 curved: 78,2 40,20 12,60 22,95 60,100 85,78 65,55 30,62 15,80
6 straight: 55,0 22,40 10,78 40,100 72,88 75,62 45,55 15,75
6 round: 88,8 50,12 15,50 15,85 50,100 85,85 80,58 50,52 20,70
6 slanted: 60,0 15,40 5,80 30,100 85,88 92,68 55,65 15,88
6 hooked: 82,42 92,18 64,-2 30,4 6,44 12,90 50,102 88,90 84,62 52,54 12,72
6 segments: 92,3 10,3 10,3 10,97 10,97 90,97 90,97 90,50 90,50 10,50 10,50
6 angular: 70,-12 12,60 10,98 10,98 85,98 85,98 85,58 85,58 14,60 14,60
7 plain: 5,8 50,6 92,3 92,3 60,50 35,100
7 barred: 5,6 92,4 92,4 65,45 40,100 / 20,50 86,46
7 curved: 5,5 50,10 88,3 88,3 72,30 58,65 55,100
7 round: 5,20 30,5 70,5 80,20 60,60 45,100
7 hooked: 2,36 4,3 4,3 92,3 92,3 62,50 48,108
7 hooked and barred: 0,34 4,3 4,3 92,3 92,3 62,50 42,108 / 20,52 90,48
7 long bar: 2,20 85,0 85,0 60,50 40,100 / -15,80 -15,80 115,35 115,35
8 in one stroke: 78,12 50,0 20,18 42,44 78,68 70,95 35,98 18,75 50,48 80,25 74,8
8 from the middle: 50,48 18,28 35,3 70,4 80,28 50,48 20,68 25,95 60,100 82,78 50,48
8 open: 85,10 50,0 22,15 30,38 70,58 85,82 50,100 18,85 35,58 70,35 88,12
8 half open: 80,20 45,0 25,20 50,48 75,75 55,100 25,85 45,55 85,5
8 two rings: 50,0 20,8 20,38 50,48 80,38 80,8 46,0 40,2 / \
50,48 12,60 12,92 50,100 88,92 88,60 46,48 40,50
9 straight: 82,18 55,0 18,15 20,42 55,45 82,18 82,18 80,55 72,100
9 hooked: 80,12 45,0 12,22 30,48 65,40 82,12 82,12 82,60 60,95 20,98
9 curved: 75,25 45,0 10,20 25,48 60,42 78,15 78,15 65,60 48,100
9 slanted: 92,8 50,6 30,30 50,38 90,10 90,10 60,55 25,104
9 wide hook: 78,10 40,0 10,24 40,50 80,34 80,8 80,8 88,60 78,94 40,102 -10,84
9 open: 92,0 40,4 8,28 32,52 78,30 78,30 78,60 60,100
9 small head: 60,6 30,0 12,16 22,34 48,32 60,8 60,8 80,55 96,84 90,100 50,102 0,97
"""


if __name__ == "__main__":
    run_as_script(main)
