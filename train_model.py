"""Train a small convolutional network to classify handwritten digits.

    python train_model.py

trains on MNIST, prints the training statistics, saves the network as
`digit_classifier.keras` and the accuracy and loss curves as a picture.
`predict_model.py` scores the network; `--help` lists the options.
"""

import argparse
import contextlib
import dataclasses
import functools
import hashlib
import logging
import math
import os
import re
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

INTERRUPTED = 130  # exit status, by custom 128 plus the number of the signal

# TensorFlow writes to the terminal while it starts, and no setting stops it all.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
standard_error = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
try:
    import cv2
    import keras
    import matplotlib.pyplot as plt
    import numpy as np
    import tensorflow as tf
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install -r requirements.txt")
except KeyboardInterrupt:
    sys.exit(INTERRUPTED)
finally:
    os.dup2(standard_error, 2)

cv2.setNumThreads(1)  # More of its threads would wait for TensorFlow's.

MODEL_FILE = "digit_classifier.keras"
IMAGE_SHAPE = (28, 28)
CLASSES = 10
BOX = 20  # pixels of the box that a digit fills


class InputError(Exception):
    """Something that the user can put right; the text says what and how, in one line."""


# ---------------------------------------------------------------- the networks and recipes

conv = functools.partial(keras.layers.Conv2D, activation="relu")
dense = functools.partial(keras.layers.Dense, activation="relu")
pool, dropout, flatten = keras.layers.MaxPooling2D, keras.layers.Dropout, keras.layers.Flatten

# Each network is its list of hidden layers; the input before them and the ten
# outputs after them are the same for all.
ARCHITECTURES = {
    "5x5": lambda: [conv(32, 5), pool(), conv(32, 5), pool(), flatten(), dense(128)],
    "3x3-dropout": lambda: [conv(32, 3), conv(64, 3), pool(), dropout(0.25),
                            flatten(), dense(256), dropout(0.5)],
    "3x3": lambda: [conv(64, 3), conv(32, 3), pool(), flatten()],
    "3x3-pooled": lambda: [conv(32, 3), pool(), conv(64, 3), pool(), flatten()],
}


def build_model(architecture="5x5", data="MNIST"):
    """Build an untrained keras.Sequential, named after the data that it is to be trained on.

    It takes float32 images (n, 28, 28, 1) in [0, 1], ink bright on a dark ground, and
    answers float32 probabilities (n, 10).
    """
    layers = [keras.Input((*IMAGE_SHAPE, 1)), *ARCHITECTURES[architecture](),
              dense(CLASSES, activation="softmax")]
    return keras.Sequential(layers, name="trained_on_" + re.sub("[^A-Za-z0-9.-]+", "_", data))


def option(default, meaning, low=1, high=10**6, **settings):
    """Make a field of Recipe that is an option of the command line, a number from low to high."""

    def number(text):
        if not low <= float(text) <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low} to {high}")
        return type(low)(text)

    if default not in (None, True):
        meaning += f" (default: {default})"
    return dataclasses.field(default=default, metadata={
        "help": meaning, "default": argparse.SUPPRESS, **(settings or {"type": number})})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train, by default our way."""

    epochs: int = option(5, "passes over the training images")
    batch_size: int | None = option(
        None, "images a step (default: 64 for each epoch, at most 256)")
    optimizer: str = option("adam", "Keras's optimizer", choices=[
        "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam",
        "rmsprop", "sgd"])
    learning_rate: float | None = option(
        None, "highest rate (default: ten times the optimizer's own, 0.01 for adam)", 1e-12, 1e12)
    augment: bool = option(
        True, "train on distorted images, or as they are", action=argparse.BooleanOptionalAction)
    precision: str = option("auto", "of the computations in training; auto picks the fastest",
                            choices=["auto", "float32", "bfloat16"])
    validation_split: float = option(
        0.2, "share of the images, the last ones, to validate on", 0.0, 1.0)
    patience: int | None = option(
        None, "epochs without a lower validation loss to stop after (default: never)")
    seed: int = option(0, "seed of everything random", 0, 2**32 - 1)
    # One-cycle rate, decaying weights, orthogonal steps, smoothed labels, calibration.
    ours: bool = True


# How each network was trained by those who published it; what they do not
# say is as Keras has it by default.
PLAIN_RECIPE = Recipe(batch_size=32, augment=False, precision="float32", ours=False)
PUBLISHED_RECIPES = {
    "5x5": PLAIN_RECIPE,
    "3x3-dropout": dataclasses.replace(
        PLAIN_RECIPE, epochs=50, batch_size=128, optimizer="adadelta",
        validation_split=5_000 / 60_000, patience=5),
    "3x3": dataclasses.replace(PLAIN_RECIPE, epochs=10),
    "3x3-pooled": dataclasses.replace(PLAIN_RECIPE, epochs=10),
}


# ---------------------------------------------------------------- the data

# Of the images' bytes and, one byte each, the labels.
MNIST_MD5 = {"365dab9bac26085dc69f1022fe166e2f", "a9c5e64a683c5dd2f6a9bf7c61b53e6f"}


def load_digits(source, subset):
    """Load images of digits, their labels, and the name of the data.

    `source` is "mnist" (from Keras's cache, or downloaded into it), "drawn"
    (drawn here), "auto" (MNIST, or drawn digits with a warning where it
    cannot be had), or the path of an `.npz` file laid out as Keras's
    `mnist.npz`; `subset` is "train" or "test". Answers uint8 of shape
    (n, 28, 28), 0 (ground) to 255 (ink), int64 of shape (n,), 0 to 9, and a
    str. Raises InputError.
    """
    if source == "drawn":
        drawn = draw_digits(60_000, 0) if subset == "train" else draw_digits(10_000, 1)
        return *drawn, "drawn digits, not MNIST"
    try:
        cached = source in ("auto", "mnist")
        images, labels = load_mnist(subset) if cached else read_npz(source, subset)
    except InputError as error:
        if source != "auto":
            raise
        print_error(f"{error}; going on with digits that are drawn here", "warning")
        return load_digits("drawn", subset)
    md5 = hashlib.md5(images.tobytes() + np.uint8(labels).tobytes()).hexdigest()
    name = Path(source).name.encode(errors="replace").decode()  # Some bytes are no text.
    return images, np.int64(labels), "MNIST" if md5 in MNIST_MD5 else name


def load_mnist(subset):
    """Load MNIST from Keras's cache, whoever put it there, or by download."""
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras"), "datasets/mnist.npz").expanduser()
    try:
        return read_npz(cache, subset)
    except InputError as problem:
        try:
            with progress_on_standard_error():
                sets = keras.datasets.mnist.load_data()
        # Keras raises a plain Exception for most of what can go wrong here.
        except Exception as error:
            raise InputError(f"MNIST cannot be downloaded ({error}), nor is it in Keras's cache"
                             f" ({problem}); with a copy of mnist.npz use --data FILE") from error
    return sets[subset == "test"]


def read_npz(path, subset):
    """Read the arrays x_SUBSET and y_SUBSET of an `.npz` file; see load_digits."""
    try:
        with np.load(path) as archive:
            # Five times MNIST's largest array: what unpacks to more is no MNIST.
            if any(array.file_size > 2**28 for array in archive.zip.infolist()):
                raise ValueError("its arrays are too large")
            images, labels = archive[f"x_{subset}"], archive[f"y_{subset}"]
        if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE or not len(images):
            raise ValueError(f"x_{subset} is {images.dtype} of shape {images.shape}")
        if labels.shape != images.shape[:1] or not np.isin(labels, range(CLASSES)).all():
            raise ValueError(f"y_{subset} is not one label from 0 to 9 for each image")
    # A damaged or foreign file can raise nearly anything in zipfile and NumPy.
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: not a data set of digits: {reason}") from error
    return images, labels


def split(images, labels, share):
    """Split off the last images, a share from 0 to 1, for validation; answers two pairs.

    Raises InputError if either would be empty.
    """
    count = round(len(images) * share)
    if not 0 < count < len(images):
        raise InputError(f"--validation-split {share:g} of {len(images)} images"
                         " leaves none for training or none for validation")
    return (images[:-count], labels[:-count]), (images[-count:], labels[-count:])


def fit(ink):
    """Fit a digit, its ink cut, uint8 of shape (h, w), into a picture of (28, 28) as MNIST's are.

    It fills a box of 20x20, its centre of mass in the middle (LeCun and others,
    "Gradient-based learning applied to document recognition", 1998).
    """
    ink = cv2.normalize(resized(ink, BOX / max(ink.shape)), None, 255, 0, cv2.NORM_INF)
    mass = cv2.moments(ink)
    right, down = (round(IMAGE_SHAPE[0] / 2 - mass[m] / mass["m00"]) for m in ("m10", "m01"))
    return cv2.warpAffine(ink, np.float32([[1, 0, right], [0, 1, down]]), IMAGE_SHAPE)


def cut(ink):
    """Cut off what is empty around the ink, uint8 of shape (h, w)."""
    left, top, width, height = cv2.boundingRect(np.uint8(ink > 12))
    return ink[top : top + height, left : left + width]


def resized(picture, scale):
    """Resize a picture, uint8 of shape (h, w)."""
    size = [max(2, round(scale * side)) for side in reversed(picture.shape)]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def as_input(images):
    """Convert uint8 images of shape (n, 28, 28) to what the network takes; see build_model."""
    return np.float32(images[..., None]) / 255


# ---------------------------------------------------------------- training


def train(model, train_set, validation_set, recipe, more_callbacks=()):
    """Train the network in place, and leave it as it was after its best epoch.

    The sets are pairs (images, labels) from load_digits, the recipe is a
    Recipe. Answers the history, a dict of lists with a value an epoch (loss,
    accuracy, val_loss, val_accuracy; the losses are cross-entropies in nats,
    less what the smoothing of the labels adds), and a status: 0, or 130 or
    143 if Ctrl-C or SIGTERM stopped it after at least one epoch; before that
    they are raised. Raises InputError if the loss is no longer finite.
    """
    # In a short run more steps are worth more than large batches, and milder distortions.
    batch_size = min(recipe.batch_size or min(64 * recipe.epochs, 256), len(train_set[0]))
    steps = math.ceil(len(train_set[0]) / batch_size)
    strength = recipe.augment and min(0.95 + 0.05 * recipe.epochs, 1.2)
    stop_early = keras.callbacks.EarlyStopping
    best = stop_early("val_accuracy", patience=recipe.epochs, restore_best_weights=True)
    callbacks = [best, stop_early("val_loss", patience=recipe.patience or recipe.epochs),
                 keras.callbacks.TerminateOnNaN(), *more_callbacks]
    smoothing, one_hot = 0.1 * recipe.ours, np.eye(CLASSES, dtype=np.float32)
    cross_entropy = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
    lowest = cross_entropy(one_hot, (1 - smoothing) * one_hot + smoothing / CLASSES)
    precision = fastest_precision() if recipe.precision == "auto" else recipe.precision
    for layer in model.layers[:-1]:
        layer.dtype_policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    model.compile(
        make_optimizer(recipe, recipe.epochs * steps),
        lambda labels, probabilities: cross_entropy(labels, probabilities) - lowest,
        metrics=["accuracy"], steps_per_execution=min(20, steps),
        jit_compile=False)  # XLA makes this network two to three times slower on processors.
    status = 0
    try:
        with progress_on_standard_error() as verbose:
            model.fit(
                training_batches(*train_set, batch_size, strength, recipe.seed),
                steps_per_epoch=steps, epochs=recipe.epochs, callbacks=callbacks, verbose=verbose,
                validation_data=(as_input(validation_set[0]), one_hot[validation_set[1]]),
                validation_batch_size=500, shuffle=False)
    except (KeyboardInterrupt, SystemExit) as stop:
        if best.best_weights is None:
            raise
        status = getattr(stop, "code", INTERRUPTED)
    history = model.history.history
    if not np.isfinite(history["loss"]).all():
        raise InputError("training diverged: the loss is no longer finite; nothing is saved;"
                         " try a lower --learning-rate")
    model.set_weights(best.best_weights)
    for layer in model.layers:
        layer.dtype_policy = "float32"
    return history, status


def training_batches(images, labels, batch_size, strength, seed):
    """Make an endless tf.data.Dataset of shuffled batches, the same for the same seed.

    A batch is float32 images (n, 28, 28, 1) in [0, 1], distorted with a strength
    from 0, and float32 one-hot labels (n, 10).
    """
    count = len(images)
    images, labels = tf.constant(images[..., None]), tf.constant(labels)

    def make_batch(step, chosen):
        batch = tf.cast(tf.gather(images, chosen), tf.float32) / 255
        if strength:
            batch = distort(batch, strength, (seed, step))
        return batch, tf.one_hot(tf.gather(labels, chosen), CLASSES)

    order = tf.data.Dataset.range(count).shuffle(count, seed).repeat().batch(batch_size)
    return order.enumerate().map(make_batch, num_parallel_calls=2).prefetch(4)


def distort(images, strength, seed):
    """Turn, scale, stretch, slant and shift images at random, each in its own way.

    One affine change, and so one resampling, which blurs least (Simard,
    Steinkraus and Platt, "Best practices for convolutional neural networks",
    ICDAR 2003), of a float32 tensor of shape (n, 28, 28, 1), the ground at 0.
    The same seed, two ints, distorts in the same way.
    """
    uniform = tf.random.stateless_uniform([6, tf.shape(images)[0]], seed, -strength, strength)
    angle, size, stretch, slant, right, down = tf.unstack(uniform)
    # The matrix takes a place in the result, counted from the middle, to the
    # place in the image that its brightness comes from.
    a, b = 1 + 0.1 * size + 0.07 * stretch, 0.15 * slant - 0.17 * angle
    c, d = 0.17 * angle, 1 + 0.1 * size - 0.07 * stretch
    middle = (IMAGE_SHAPE[0] - 1) / 2
    x = middle - (a + b) * middle + 1.5 * right
    y = middle - (c + d) * middle + 1.5 * down
    matrix = tf.stack([a, b, x, c, d, y, 0 * a, 0 * a], axis=1)
    return keras.ops.image.affine_transform(images, matrix, fill_mode="constant")


def make_optimizer(recipe, steps):
    """Make the keras.optimizers.Optimizer for a training of so many steps.

    A one-cycle learning rate rises linearly over the first 15% of the steps
    and falls to zero along a cosine; its top can be far higher than a constant
    one (Smith and Topin 2017, https://arxiv.org/abs/1708.07120).
    """
    optimizer = keras.optimizers.get(recipe.optimizer)
    kind, settings = type(optimizer), optimizer.get_config()
    own_rate = settings["learning_rate"]
    if not recipe.ours:
        return kind(**settings | {"learning_rate": recipe.learning_rate or own_rate})
    # The recipe fits a thousand steps, about the default run. In a longer one the rate is lower,
    # weights decay more slowly, and Adam, which remembers a thousand gradients, looks further back.
    longer = max(1, steps / 1000)
    highest = recipe.learning_rate or 10 * own_rate / math.sqrt(longer)
    warm_up = math.ceil(0.15 * steps)
    settings["learning_rate"] = keras.optimizers.schedules.CosineDecay(
        highest / 25, max(1, steps - warm_up), warmup_target=highest, warmup_steps=warm_up)
    settings["weight_decay"] = 0.0004 / own_rate / math.sqrt(longer)
    if "beta_2" in settings:
        settings["beta_2"] = 1 - 0.05 / longer
    return orthogonalized(kind)(**settings)


def orthogonalized(optimizer):
    """Derive an optimizer class whose steps change a hidden layer in all directions alike.

    Each step for a layer's weights, as a matrix with a column an output, gives
    way to a nearly orthogonal one of its length (Jordan and others, "Muon",
    2024, https://kellerjordan.github.io/posts/muon/).
    """

    class Orthogonalized(optimizer):
        def update_step(self, gradient, variable, learning_rate):
            before = tf.identity(variable)
            super().update_step(gradient, variable, learning_rate)
            if len(variable.shape) == 1 or variable.shape[-1] == CLASSES:
                return  # biases, and the output layer
            step = tf.reshape(variable - before, (-1, variable.shape[-1]))
            matrix = tf.math.divide_no_nan(step, tf.norm(step))
            for _ in range(3):  # Newton-Schulz iterations, with Jordan's coefficients
                square = tf.transpose(matrix) @ matrix
                matrix = 3.4445 * matrix - matrix @ (4.775 * square - 2.0315 * square @ square)
            step = tf.math.divide_no_nan(matrix, tf.norm(matrix)) * tf.norm(step)
            variable.assign(before + tf.reshape(step, variable.shape))

    return Orthogonalized


def fastest_precision(cpu_description="/proc/cpuinfo"):
    """Find the precision in which this machine trains fastest, "bfloat16" or "float32".

    bfloat16 is faster only where the processor itself multiplies such matrices
    (x86 with AMX or AVX512-BF16).
    """
    file = Path(cpu_description)
    flags = file.read_text(errors="replace") if file.is_file() else ""
    capable = "amx_bf16" in flags or "avx512_bf16" in flags
    return "bfloat16" if capable and not tf.config.list_physical_devices("GPU") else "float32"


def calibrate(model, images, labels):
    """Make the network's probabilities fit how often it is right on images not trained on.

    Divides the logits, by way of the last layer's weights, by the temperature
    that gives the lowest cross-entropy on these images, uint8 (n, 28, 28), with
    these labels, int (n,); no decision changes (Guo, Pleiss, Sun and Weinberger,
    "On calibration of modern neural networks", ICML 2017).
    """
    probabilities = model.predict(as_input(images), batch_size=500, verbose=0)
    logits = np.log(np.maximum(probabilities, 1e-30))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    temperature = min(np.geomspace(0.2, 5, 161, dtype=np.float32),
                      key=lambda temperature: cross_entropy(labels, logits / temperature))
    output = model.layers[-1]
    output.set_weights([weights / temperature for weights in output.get_weights()])


@contextlib.contextmanager
def progress_on_standard_error():
    """Send Keras's progress bars to standard error; yields the fitting `verbose`."""
    with contextlib.redirect_stdout(sys.stderr):
        # Where there is no terminal a bar would be written again and again.
        yield 1 if sys.stderr.isatty() else 2


# ---------------------------------------------------------------- files and plots


@contextlib.contextmanager
def replaced_whole(path):
    """Write a file so that at any moment it is the old one or the new one, whole.

    Yields a path beside it to write to, which takes the place of `path` in one
    step when the block ends well, and is removed when it does not. Raises OSError.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(*paths):
    """Raise InputError if one of these files cannot be written after long work."""
    for path in map(Path, paths):
        folder = next(folder for folder in path.resolve().parents if folder.exists())
        if path.is_dir() or not os.access(f"{folder}/", os.W_OK):  # No file ends in a slash.
            raise InputError(f"{path}: cannot be written; name another file or folder")


def save_model(model, path):
    """Save the network as .keras or .h5, ready for `evaluate`; an error leaves an earlier file."""
    # Plain SGD has no state of its own, so the file holds the network alone.
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with replaced_whole(path) as partial:
        model.save(partial)


def plot_history(history, data, augment):
    """Plot accuracy and loss of both sets, from train's history; answers the figure."""
    training = "training, on distorted images" if augment else "training"
    figure, axes = new_plot(10, 4, 1, 2)
    figure.suptitle(f"Training on {data}")
    for axis, name in zip(axes.flat, ("accuracy", "loss")):
        for key, label in ((name, training), (f"val_{name}", "validation")):
            axis.plot(range(1, len(history[key]) + 1), history[key], "o-", label=label)
        axis.set(xlabel="epoch", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    return figure


def new_plot(width, height, rows=1, columns=1):
    """Make a figure, its size in inches, whose window fits a screen of 1366 x 768; and its axes."""
    return plt.subplots(rows, columns, squeeze=False, figsize=(width, height),
                        dpi=min(100, 1300 / width, 620 / height))


def save_plot(figure, path, title):
    """Save a Matplotlib figure as PNG, say where, and give its window a title."""
    with replaced_whole(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
    print(f"  plot saved as        {path}")
    figure.canvas.manager.set_window_title(title)


# ---------------------------------------------------------------- the drawn digits


def draw_digits(count, seed):
    """Draw handwritten digits with a round pen; the same seed draws the same ones.

    Answers images, uint8 (count, 28, 28), 0 (ground) to 255 (ink), and labels, int64 (count,).
    """
    random = np.random.default_rng(seed)
    chosen, images = random.integers(len(HANDWRITING), size=count), []
    with progress_on_standard_error() as verbose:
        bar = keras.utils.Progbar(count, verbose=verbose)
        for variant in chosen:
            images.append(draw_strokes(HANDWRITING[variant], random))
            bar.add(1)
    return np.array(images), chosen * CLASSES // len(HANDWRITING)


def draw_strokes(variant, random):
    """Draw a variant of HANDWRITING in a random hand; answers uint8 of shape (28, 28)."""
    stretch = np.exp(random.normal(0, 0.25, 2)) * (48, 64)
    slant, lines = random.normal(0.15, 0.3), []
    for stroke in variant.split("/"):
        points = np.array(stroke.replace(",", " ").split(), float).reshape(-1, 2) / 100 - 0.5
        points += random.normal(0, 0.055, points.shape) + random.normal(0, 0.05, 2)
        points = 112 + points * stretch @ [[1, 0], [-slant, 1]]
        # Cut corners are round (Chaikin, "An algorithm for high-speed curve generation", 1974).
        start, end = points[:-1], points[1:]
        points = np.hstack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end])
        lines.append(np.int32(points.reshape(-1, 2)))
    canvas, pen = np.zeros((224, 224), np.uint8), round(random.uniform(4, 17))
    return fit(cut(cv2.polylines(canvas, lines, False, 255, pen, cv2.LINE_AA)))


# How people write each digit, four variants each from 0 to 9: strokes (after a
# slash, another) of points x,y in per cent of the digit's width and height,
# from the top left. A point that is given twice makes a corner.
HANDWRITING = [
    "50,0 15,20 3,55 22,93 55,100 90,75 97,40 78,8 48,1 38,4",
    "60,2 25,10 3,50 20,92 50,100 85,85 98,45 80,10 55,0",
    "45,6 12,30 8,70 40,100 80,85 95,50 80,12 50,0 30,8",
    "70,10 30,5 5,50 30,95 70,95 95,50 75,10 45,12",
    "50,0 50,50 50,100",
    "25,25 50,0 50,0 50,50 50,100",
    "30,22 52,0 52,0 51,50 50,100 50,100 / 25,100 78,99",
    "40,12 50,0 50,0 50,100",
    "8,25 30,2 65,3 82,28 60,62 5,98 5,98 95,96",
    "10,28 35,2 75,8 78,38 45,75 12,97 5,88 22,78 50,92 95,97",
    "12,30 38,2 72,10 72,40 48,82 18,97 5,82 25,66 58,82 98,92",
    "10,25 45,0 75,20 65,55 35,95 5,95 2,75 25,65 55,78 98,72",
    "10,15 45,0 82,15 70,40 35,48 35,48 75,55 88,78 55,100 5,88",
    "8,3 85,2 85,2 45,40 45,40 85,55 82,88 45,100 5,90",
    "15,10 55,0 80,20 60,42 30,46 62,48 90,70 70,97 30,98 8,85",
    "12,18 50,0 78,18 45,45 45,45 80,60 80,88 40,100 8,92",
    "20,2 8,52 15,60 50,57 92,53 / 72,5 68,50 66,100",
    "68,100 70,50 70,2 70,2 5,68 5,68 98,66",
    "18,5 12,45 35,58 75,45 / 82,2 76,45 70,100",
    "75,100 78,5 78,5 45,25 8,62 8,62 60,60 95,58",
    "28,5 20,45 20,45 55,38 85,60 75,90 40,100 5,90 / 28,4 60,3 92,0",
    "88,2 30,3 30,3 20,42 20,42 58,38 85,62 70,95 35,100 5,88",
    "85,5 45,5 22,25 40,45 72,58 75,85 40,100 8,92",
    "25,15 15,50 15,50 55,42 80,65 55,98 5,92 / 25,12 95,0",
    "78,2 40,20 12,60 22,95 60,100 85,78 65,55 30,62 15,80",
    "55,0 22,40 10,78 40,100 72,88 75,62 45,55 15,75",
    "88,8 50,12 15,50 15,85 50,100 85,85 80,58 50,52 20,70",
    "60,0 15,40 5,80 30,100 85,88 92,68 55,65 15,88",
    "5,8 50,6 92,3 92,3 60,50 35,100",
    "5,6 92,4 92,4 65,45 40,100 / 25,50 82,46",
    "5,5 50,10 88,3 88,3 72,30 58,65 55,100",
    "5,20 30,5 70,5 80,20 60,60 45,100",
    "78,12 50,0 20,18 42,44 78,68 70,95 35,98 18,75 50,48 80,25 74,8",
    "50,48 18,28 35,3 70,4 80,28 50,48 20,68 25,95 60,100 82,78 50,48",
    "85,10 50,0 22,15 30,38 70,58 85,82 50,100 18,85 35,58 70,35 88,12",
    "80,20 45,0 25,20 50,48 75,75 55,100 25,85 45,55 85,5",
    "82,18 55,0 18,15 20,42 55,45 82,18 82,18 80,55 72,100",
    "80,12 45,0 12,22 30,48 65,40 82,12 82,12 82,60 60,95 20,98",
    "75,25 45,0 10,20 25,48 60,42 78,15 78,15 65,60 48,100",
    "85,8 35,12 15,40 45,50 80,15 80,15 68,60 60,100",
]


# ---------------------------------------------------------------- the command line


def make_parser(description):
    """Make an argparse parser with the options that both scripts have, and one-line errors."""
    parser = argparse.ArgumentParser(description=description)
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")
    parser.add_argument(
        "--data", default="auto", help="mnist (downloaded once), drawn (digits that are drawn"
        " here), auto (mnist, or drawn where it cannot be had), or a mnist.npz that you have"
        " (default: %(default)s)")
    parser.add_argument(
        "--plots", metavar="DIR", default="plots", help="folder for plots (default: %(default)s)")
    return parser


def parse_arguments():
    """Parse the command line of train_model.py; answers the arguments and a Recipe."""
    parser = make_parser("Train a network to classify handwritten digits, and save it.")
    parser.add_argument(
        "--output", metavar="FILE", default=MODEL_FILE,
        help="where to save the network, .keras or .h5 (default: %(default)s)")
    parser.add_argument(
        "--architecture", choices=ARCHITECTURES, default="5x5",
        help="the network (default: %(default)s)")
    parser.add_argument(
        "--recipe", choices=["ours", "published"], default="ours",
        help="how to train it: ours, or as those did who published the network;"
        " the options below win over it (default: %(default)s)")
    for field in dataclasses.fields(Recipe):
        if field.metadata:
            parser.add_argument("--" + field.name.replace("_", "-"), **field.metadata)
    arguments = parser.parse_args()
    if not arguments.output.endswith((".keras", ".h5")):
        parser.error("argument --output: the name must end in .keras or .h5")
    given = {name: value for name, value in vars(arguments).items() if hasattr(Recipe, name)}
    recipe = Recipe() if arguments.recipe == "ours" else PUBLISHED_RECIPES[arguments.architecture]
    return arguments, dataclasses.replace(recipe, **given)


def print_error(message, kind="error"):
    """Print an error or a warning as one line on standard error."""
    print(f"{Path(sys.argv[0]).name}: {kind}:", *f"{message}".split(), file=sys.stderr)


@contextlib.contextmanager
def run_as_script():
    """Run a script's main: what a user can put right or wants ends it with one line."""
    # A path may have characters that the terminal does not know.
    sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    socket.setdefaulttimeout(10)  # seconds without a byte of a download
    warnings.simplefilter("ignore")  # What users should know, the scripts say themselves.
    logging.disable()
    plt.rcParams["text.parse_math"] = False  # The name of a file may have dollars.
    status = 1
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
        return
    except BrokenPipeError:
        # Whoever read the results has gone, as `| head` does; Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (InputError, OSError, RuntimeError) as error:  # the last of a link to itself
        file = getattr(error, "filename", None)
        print_error(f"{file}: {error.strerror}" if file else error)
    except KeyboardInterrupt:
        print_error("interrupted")
        status = INTERRUPTED
    sys.exit(status)


def print_statistics(model, data, history, sets, seconds):
    """Print what the training came to; the sets are the one for training and the other."""
    print("Training statistics")
    print(f"  data                 {data}")
    print(f"  epochs               {len(history['val_loss'])}")
    for name, (images, labels) in zip(("training", "validation"), sets):
        loss, accuracy = model.evaluate(as_input(images), labels, batch_size=500, verbose=0)
        print(f"  {name + ' accuracy':<20} {accuracy:.2%} (loss {loss:.4f})")
    print(f"  validation images    {len(images):,}")
    print(f"  time                 {seconds:.1f} s")


def main():
    arguments, recipe = parse_arguments()
    images, labels, data = load_digits(arguments.data, "train")
    sets = split(images, labels, recipe.validation_split)
    curves = Path(arguments.plots, "training_curves.png")
    check_writable(arguments.output, curves)
    keras.utils.set_random_seed(recipe.seed)
    model = build_model(arguments.architecture, data)
    model.summary(print_fn=print)
    start = time.perf_counter()
    history, status = train(model, *sets, recipe)
    if recipe.ours:
        calibrate(model, *sets[1])
    seconds = time.perf_counter() - start
    save_model(model, arguments.output)
    if status:
        print_error(f"stopped; the best epoch's network is saved as {arguments.output}", "warning")
        sys.exit(status)
    print_statistics(model, data, history, sets, seconds)
    print(f"  network saved as     {arguments.output}")
    save_plot(plot_history(history, data, recipe.augment), curves, "Training curves")
    plt.show()


if __name__ == "__main__":
    with run_as_script():
        main()
