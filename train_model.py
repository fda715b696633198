"""Train a small convolutional network to classify handwritten digits.

    python train_model.py

trains on MNIST, prints how well the network reads, saves it as `digit_classifier.keras`, and a plot
of accuracy and loss. Settings are in RECIPE below; `predict_model.py` scores the network.

Importing this file sets Keras to TensorFlow, float32 and channels last, quiets the logs of both,
and keeps OpenCV to one thread; outside of IPython it drops a notebook's MPLBACKEND.
"""

import argparse
import contextlib
import gc
import logging
import math
import os
import re
import socket
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
if "IPython" not in sys.modules and os.environ.get("MPLBACKEND", "").startswith("module://"):
    del os.environ["MPLBACKEND"]  # A notebook's own, which a script that it starts cannot use.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# While it starts TensorFlow writes to standard error even so: that goes nowhere.
nowhere = os.open(os.devnull, os.O_WRONLY)
standard_error = os.dup(2)
os.dup2(nowhere, 2)
gc.disable()  # To look for garbage among TensorFlow's objects takes a tenth of the imports' time.
try:
    import cv2
    import keras
    import matplotlib.pyplot as plt
    import numpy as np
    import tensorflow as tf
    from keras.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
except ModuleNotFoundError as error:
    sys.exit(f"error: {error.name} is missing: pip install -r requirements.txt")
except ValueError as error:  # of Matplotlib
    sys.exit(f"error: MPLBACKEND: {error}")
except KeyboardInterrupt:
    sys.exit(130)
finally:
    os.dup2(standard_error, 2)
    gc.enable()
if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 14):
    sys.exit("error: Keras 3.14 or newer is needed: pip install -r requirements.txt")
keras.config.set_floatx("float32")
keras.config.set_image_data_format("channels_last")
for name in ("absl", "tensorflow"):  # They warn of each .h5 file, and of a second network.
    logging.getLogger(name).setLevel(logging.ERROR)
cv2.setNumThreads(1)  # More would compete with TensorFlow's threads.

MODEL_FILE = "digit_classifier.keras"
IMAGE_SHAPE = (28, 28)
CLASSES = 10
SYNTHETIC = "synthetic digits, not MNIST"  # as the name of data


# ---------------------------------------------------------------- the recipe and the networks

# How a network is trained: these are the settings to play with.
RECIPE = {
    "epochs": 5,  # passes over the training images; 40 gain 0.1 points
    "batch_size": None,  # None: 64 times the epochs, at most 256, as a short run needs more steps
    # One of Keras's by its name, or None: our_optimizer. By ours 99.45% of the validation images
    # are read, by one-cycle Adam 99.37%, at Adam's constant rate 99.04%.
    "optimizer": None,
    # Distorted images, as hands differ, and synthetic digits, as ways of writing do: of 841 digits
    # that people made 838 are read, 834 without the first, 831 without the second.
    "augment": True,
    "label_smoothing": 0.1,  # share spread over all digits: 99.45% of validation images, not 99.38
    "patience": None,  # epochs without a better one to stop after; None: train them all
    "validation_split": 0.2,  # share of the images, the last ones, to choose the best epoch by
    "seed": 0,  # of everything random: on one machine equal seeds give equal weights
}

# What `--recipe published` changes, as the public README of each network says; the rest is Keras's
# default, or as above.
PLAIN = {"batch_size": 32, "optimizer": "adam", "augment": False, "label_smoothing": 0.0}
PUBLISHED = {
    "5x5": PLAIN,  # there 98.82% of the validation images
    "3x3-dropout": PLAIN  # there 92.40% of the test images
    | {"epochs": 50, "batch_size": 128, "optimizer": "adadelta", "patience": 5}
    | {"validation_split": 1 / 12},
    "3x3": PLAIN | {"epochs": 10},  # there 98.15% of the test images
    "3x3-pooled": PLAIN | {"epochs": 10},
}

conv = partial(Conv2D, activation="relu")
pool = MaxPooling2D

# Each makes the hidden layers of a network, new ones at each call. All were published.
ARCHITECTURES = {
    "5x5": lambda: [conv(32, 5), pool(), conv(32, 5), pool(), Flatten(), Dense(128, "relu")],
    "3x3-dropout": lambda: (
        [conv(32, 3), conv(64, 3), pool(), Dropout(0.25), Flatten()]
        + [Dense(256, "relu"), Dropout(0.5)]
    ),
    "3x3": lambda: [conv(64, 3), conv(32, 3), pool(), Flatten()],
    "3x3-pooled": lambda: [conv(32, 3), pool(), conv(64, 3), pool(), Flatten()],
}


# ---------------------------------------------------------------- the steps of a run


def main():
    """Train, calibrate, save, and say how it went."""
    arguments, recipe = parse_arguments()
    check_writable(arguments.output)
    images, labels, data = load_digits(arguments.data, "train")
    train_set, validation_set = split(images, labels, recipe["validation_split"])
    keras.utils.set_random_seed(recipe["seed"])
    model = build_model(arguments.architecture, data)
    model.summary()
    all_digits = with_synthetic(train_set, recipe["seed"]) if recipe["augment"] else train_set
    history = train(model, all_digits, validation_set, recipe)
    save_model(model, arguments.output)  # Ctrl-C from here on costs no training.
    calibrate(model, *validation_set)
    save_model(model, arguments.output)
    print_statistics(model, train_set, validation_set)
    print_result("network saved as", arguments.output)
    save_plot(plot_history(history, data), f"{arguments.plots}/training_curves.png")
    plt.show()


def parse_arguments():
    """Parse the command line; returns the arguments, and the recipe that they make."""
    parser, _ = make_parser("Train a network to classify handwritten digits, and save it.")
    add = parser.add_argument
    add("--output", metavar="FILE", default=MODEL_FILE, help="the network's file, .keras or .h5")
    add("--architecture", choices=ARCHITECTURES, default="5x5", help="the network")
    add("--recipe", choices=["ours", "published"], default="ours", help="how it is trained")
    # Absent unless typed, so that the recipe's stands.
    number = {"type": int, "metavar": "N", "default": argparse.SUPPRESS}
    add("--epochs", **number, help="passes over the training images (default: the recipe's)")
    add("--seed", **number, help="seed of everything random (default: the recipe's)")
    arguments = parser.parse_args()
    published = PUBLISHED[arguments.architecture] if arguments.recipe == "published" else {}
    typed = {name: value for name, value in vars(arguments).items() if name in RECIPE}
    recipe = RECIPE | published | typed
    if not arguments.output.endswith((".keras", ".h5")):
        parser.error("argument --output: the name must end in .keras or .h5")
    if recipe["epochs"] < 1 or not 0 <= recipe["seed"] < 2**32:
        parser.error("--epochs must be 1 or more, --seed from 0 to 4294967295")
    if not 0 < recipe["validation_split"] < 1:
        parser.error("RECIPE: validation_split must be above 0 and below 1")
    if arguments.data == "auto" and os.path.exists(arguments.output):
        arguments.data = "mnist"  # Synthetic digits replace an earlier network only if asked for.
    return arguments, recipe


def make_parser(description):
    """Make the parser of a script; returns it, and its inputs, of which a user may give one."""
    with_defaults = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=with_defaults)
    # One line, without the usage.
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")
    inputs = parser.add_mutually_exclusive_group()
    inputs.add_argument(
        "--data",
        default="auto",
        help="mnist (downloaded once), synthetic (digits that are made here), auto (mnist, or"
        " synthetic where it cannot be had), or a mnist.npz that you have",
    )
    parser.add_argument("--plots", metavar="DIR", default="plots", help="folder for plots")
    return parser, inputs


# ---------------------------------------------------------------- the data


def load_digits(source, subset):
    """Load images of digits and their labels.

    Args:
        source: "mnist" (downloaded once, by Keras), "synthetic" (made here), "auto" (MNIST, or
            synthetic where it cannot be had), or the path of a file as Keras's `mnist.npz`.
        subset: "train" or "test".

    Returns:
        Images, uint8 (n, 28, 28), 0 (background) to 255 (ink); labels, integers (n,), 0 to 9;
        and the name of the data, a str.

    Raises:
        InputError: The data cannot be had, or are no digits.
    """
    if source == "auto":
        try:
            return load_digits("mnist", subset)
        except InputError as error:
            print_message("warning", f"{error}; going on with synthetic digits")
            source = "synthetic"
    if source == "mnist":
        return *load_mnist(subset), "MNIST"
    if source == "synthetic":
        count, seed = (60_000, 0) if subset == "train" else (10_000, 1)
        return *synthetic_digits(count, seed), SYNTHETIC
    return *read_npz(source, subset), Path(source).name


def load_mnist(subset):
    """Load MNIST, which Keras downloads once; see load_digits."""
    socket.setdefaulttimeout(10)  # seconds without a byte of the download
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras's progress
            return keras.datasets.mnist.load_data()[0 if subset == "train" else 1]
    # Keras raises a plain Exception for most of what can go wrong here.
    except Exception as error:
        raise InputError(
            f"MNIST cannot be loaded ({error}); --data FILE takes a copy of mnist.npz,"
            " --data synthetic makes digits here"
        ) from error
    finally:
        socket.setdefaulttimeout(None)


def read_npz(path, subset):
    """Read the arrays x_SUBSET and y_SUBSET of an `.npz` file; see load_digits."""
    try:
        with np.load(path) as arrays:
            images, labels = arrays[f"x_{subset}"], arrays[f"y_{subset}"]
        is_right = (
            images.shape[:3] == (*labels.shape, *IMAGE_SHAPE)
            and len(labels) > 2
            and np.isin(labels, range(CLASSES)).all()
            and images.dtype.kind in "iu"
            and 0 <= images.min() <= images.max() <= 255
        )
        if not is_right:
            raise ValueError(f"images {images.dtype} {images.shape}, labels {labels.dtype}")
        return np.uint8(images).reshape(len(labels), *IMAGE_SHAPE), np.uint8(labels)
    # A damaged or foreign file can raise nearly anything in zipfile and NumPy.
    except Exception as error:
        raise InputError(
            f"{path}: {error}; wanted is an .npz file as Keras's mnist.npz: x_train and x_test,"
            " integers from 0 (background) to 255 (ink) of shape (n, 28, 28), y_train and y_test,"
            " n integers from 0 to 9, n at least 3"
        ) from error


def split(images, labels, share):
    """Split off a share of the images, the last ones, for validation; returns two data sets."""
    first = int(len(images) * (1 - share))
    return (images[:first], labels[:first]), (images[first:], labels[first:])


# ---------------------------------------------------------------- training


def build_model(architecture="5x5", data="MNIST"):
    """Build an untrained network.

    Args:
        architecture: A name from ARCHITECTURES.
        data: What it is to be trained on; the network is named after it.

    Returns:
        A keras.Sequential, from float32 images (n, 28, 28, 1), 0 (background) to 1 (ink), to
        float32 probabilities (n, 10).
    """
    hidden = ARCHITECTURES[architecture]()
    output = Dense(CLASSES, "softmax", name="output")
    # With a dot in its name Keras could not load an .h5 file under PyTorch.
    name = "trained_on_" + re.sub("[^A-Za-z0-9-]+", "_", data)
    return keras.Sequential([keras.Input((*IMAGE_SHAPE, 1)), *hidden, output], name=name)


def train(model, train_set, validation_set, recipe=RECIPE, callbacks=()):
    """Train a network in place, and leave it as it was after its best epoch.

    Args:
        model: The network, from build_model.
        train_set: Images and labels, as from load_digits.
        validation_set: Others; the best epoch is the most accurate on them.
        recipe: The settings, a dict as RECIPE.
        callbacks: More Keras callbacks.

    Returns:
        The history, a dict of lists with a value an epoch: loss (in nats, of smoothed labels),
        accuracy, val_loss and val_accuracy.

    Raises:
        InputError: The loss of the best epoch is not finite.
        KeyboardInterrupt: Ctrl-C was pressed in the first epoch; later it ends the training early.
    """
    epochs = recipe["epochs"]
    batches = training_batches(*train_set, recipe)
    validation_batches = tf.data.Dataset.from_tensor_slices(validation_set).batch(250)
    keep_best = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=recipe["patience"] or epochs, restore_best_weights=True
    )
    # Hidden layers are trained in the precision that is fastest here; what is saved is float32.
    for layer in model.layers[:-1]:
        layer.dtype_policy = fastest_policy()
    model.compile(
        recipe["optimizer"] or our_optimizer(epochs * len(batches)),
        "categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=32,  # steps between returns to Python: saves a tenth of the time
    )
    try:
        with contextlib.redirect_stdout(sys.stderr):
            model.fit(
                batches,
                epochs=epochs,
                verbose=1 if sys.stderr.isatty() else 2,  # bars, or a line an epoch
                callbacks=[keep_best, *callbacks],
                validation_data=validation_batches.map(as_pair),
                shuffle=False,  # Keras would warn; the Dataset is shuffled already.
            )
    except KeyboardInterrupt:
        if keep_best.best_weights is None:
            raise
        print_message("warning", "interrupted; going on with the best epoch's network")
        model.set_weights(keep_best.best_weights)
    history = model.history.history
    if not np.isfinite(history["val_loss"][keep_best.best_epoch]):
        raise InputError("the loss is not finite: another optimizer or learning rate may help")
    for layer in model.layers:
        layer.dtype_policy = "float32"
    return history


def training_batches(images, labels, recipe):
    """Make a tf.data.Dataset of one epoch's inputs and targets, anew for each epoch."""
    share = recipe["label_smoothing"] / CLASSES  # of each digit but the true one
    # Not smoothed by Keras's loss, which would smooth the validation labels, too.
    targets = tf.one_hot(labels, CLASSES, 1 - (CLASSES - 1) * share, share)
    images = tf.constant(images)

    def make_batch(chosen):
        inputs = as_input(tf.gather(images, chosen))
        if recipe["augment"]:
            inputs = distort(inputs, seed=(chosen[0], chosen[-1]))  # another for each batch
        return inputs, tf.gather(targets, chosen)

    # The numbers of the images are shuffled, as images would take memory while they wait.
    order = tf.data.Dataset.range(len(images)).shuffle(len(images), recipe["seed"])
    batches = order.batch(recipe["batch_size"] or min(64 * recipe["epochs"], 256))
    options = tf.data.Options()
    options.autotune.enabled = False  # `fit` would wait seconds for its thread, which sleeps.
    return batches.map(make_batch, num_parallel_calls=2).prefetch(4).with_options(options)


def as_pair(images, labels):
    """Convert images and labels to what the network takes, and to what it is to return."""
    return as_input(images), tf.one_hot(labels, CLASSES)


def as_input(images):
    """Convert uint8 images (n, 28, 28) to what the network takes; see build_model."""
    return tf.cast(images, tf.float32)[..., tf.newaxis] / 255


def distort(images, seed):
    """Turn, scale, stretch, slant and shift images at random, each in its own way.

    One affine change is one resampling, which blurs least (Simard, Steinkraus and Platt, "Best
    practices for convolutional neural networks", ICDAR 2003).
    """
    uniform = tf.random.stateless_uniform([6, tf.shape(images)[0]], seed, -1, 1)
    # A pixel gets its brightness from its own place plus [[a, b], [c, d]] times that place, counted
    # from the middle, plus (x, y) pixels: so it is turned by up to 10 degrees or so.
    a, b, c, d, x, y = tf.unstack(uniform * [[0.14], [0.2], [0.14], [0.14], [1.5], [1.5]])
    middle = (IMAGE_SHAPE[0] - 1) / 2
    x -= middle * (a + b)
    y -= middle * (c + d)
    changes = tf.stack([1 + a, b, x, c, 1 + d, y, 0 * x, 0 * y], axis=1)  # no perspective
    return keras.ops.image.affine_transform(images, changes)


def our_optimizer(steps):
    """Make Muon with a one-cycle learning rate over so many steps.

    Muon changes a dense layer in all directions alike (Jordan and others 2024,
    https://kellerjordan.github.io/posts/muon/), and leaves the rest to Adam. A one-cycle rate rises
    linearly, then falls to zero along a cosine; its top can be far higher than a constant one
    (Smith and Topin 2017, https://arxiv.org/abs/1708.07120).
    """
    warm_up = math.ceil(0.15 * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warm_up), warmup_target=0.01, warmup_steps=warm_up
    )
    return keras.optimizers.Muon(
        rate,
        adam_beta_2=0.99,  # Keras's 0.999 averages a thousand gradients, as many as a run has.
        weight_decay=0.4,  # chosen on the validation images
        adam_weight_decay=0.4,
        ns_steps=3,
        exclude_layers=["/output/"],  # which Adam trains
    )


def fastest_policy():
    """Return the Keras dtype policy in which this machine trains fastest."""
    # bfloat16 is faster only where the processor itself multiplies such matrices (x86 with AMX or
    # AVX512-BF16), and oneDNN has it do so.
    cpu = Path("/proc/cpuinfo")
    capable = cpu.is_file() and re.search("(amx|avx512)_bf16", cpu.read_text())
    used = os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"
    has_gpu = tf.config.list_physical_devices("GPU")
    return "mixed_bfloat16" if capable and used and not has_gpu else "float32"


def calibrate(model, images, labels):
    """Make the probabilities of a network fit how often it is right.

    Divides the logits, by way of the last layer's weights, by the temperature that gives the lowest
    cross-entropy; no decision changes (Guo, Pleiss, Sun and Weinberger, "On calibration of modern
    neural networks", ICML 2017).

    Args:
        model: The trained network, changed in place.
        images: Images that it was not trained on, as from load_digits.
        labels: Their labels.
    """
    logits = np.log(np.maximum(predict(model, images), 1e-30))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    temperatures = np.geomspace(0.2, 5, 65)  # in steps of 5%
    best = min(temperatures, key=lambda each: cross_entropy(labels, logits / each))
    output = model.layers[-1]
    output.set_weights([weights / best for weights in output.get_weights()])


def predict(model, images):
    """Predict the digits in images that are as MNIST's.

    Args:
        model: A network from images (n, 28, 28, 1), (n, 28, 28) or (n, 784).
        images: uint8 (n, 28, 28), 0 (background) to 255 (ink).

    Returns:
        Probabilities, float32 (n, 10).
    """
    # Keras's predict takes long to start for one image, and more than 64 at once much memory.
    images = np.reshape(images, (-1, *model.input_shape[1:]))
    parts = np.array_split(images, len(images) // 64 + 1)
    return np.concatenate([model.predict_on_batch(np.float32(part) / 255) for part in parts])


# ---------------------------------------------------------------- what a run leaves


def save_model(model, path):
    """Save a network as a file that every Keras from 3.3 on loads, not compiled.

    At any moment the file is the earlier one or the new one, whole.

    Args:
        model: The network, which is left as it is.
        path: The file, `.keras` or `.h5`.

    Raises:
        OSError: The file cannot be written; an earlier one is left as it is.
    """
    copy = keras.Sequential.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    # Settings that are None are left out, as an older Keras may not know them.
    for layer in copy.layers:
        layer.get_config = partial(without_unset, layer.get_config())
    target = Path(os.path.realpath(path))  # A link stays a link.
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as folder:
        unfinished = Path(folder, Path(path).name)
        try:
            copy.save(unfinished)
        except (OSError, RuntimeError) as error:  # On a full disk h5py raises the latter.
            raise OSError(f"{path}: cannot be written ({error})") from error
        unfinished.replace(target)


def without_unset(config):
    """Return settings without those that are None, in nested ones as well."""
    if not isinstance(config, dict):
        return config
    return {name: without_unset(value) for name, value in config.items() if value is not None}


def print_statistics(model, train_set, validation_set):
    """Print accuracy and loss on 12,000 of the training images, and of the validation images."""
    print("Training statistics")
    for name, (images, labels) in (("training", train_set), ("validation", validation_set)):
        images, labels = images[:12_000], labels[:12_000]  # More take seconds.
        probabilities = predict(model, images)
        accuracy = np.mean(probabilities.argmax(axis=1) == labels)
        loss = np.mean(keras.losses.sparse_categorical_crossentropy(labels, probabilities))
        print_result(f"{name} accuracy", f"{accuracy:.2%} of {len(images):,} (loss {loss:.4f})")


def plot_history(history, data):
    """Plot accuracy and loss of both sets over the epochs; returns the figure."""
    figure = new_plot(f"Training on {data}", 10, 4, 1, 2)
    epochs = range(1, len(history["loss"]) + 1)
    for axis, name in zip(figure.axes, ("accuracy", "loss")):
        axis.plot(epochs, history[name], "o-", label="training, as the recipe alters it")
        axis.plot(epochs, history[f"val_{name}"], "o-", label="validation")
        axis.set(xlabel="epoch", ylabel=name, xlim=(0, len(epochs) + 1))
        axis.locator_params("x", integer=True)
        axis.legend()
    return figure


def new_plot(title, width, height, rows=1, columns=1):
    """Make a figure of a size in inches, whose window fits a screen of 1366 x 768; returns it."""
    dpi = min(100, 1300 / width, 620 / height)
    try:
        figure = plt.figure(figsize=(width, height), dpi=dpi, layout="constrained")
    except (ImportError, RuntimeError) as error:  # of a backend whose package is missing
        raise InputError(f"Matplotlib's backend in MPLBACKEND does not work: {error}") from error
    figure.subplots(rows, columns)
    figure.suptitle(drawable(title), parse_math=False)
    return figure


def drawable(text):
    """Replace what Matplotlib cannot draw, as bytes in the name of a file that are no text."""
    return text.encode(errors="replace").decode()


def save_plot(figure, path):
    """Save a figure as PNG, and say where; where that cannot be, the results are as good."""
    path = Path(path)
    figure.canvas.manager.set_window_title(path.stem)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
        print_result("plot saved as", path)
    except OSError as error:
        print_message("warning", f"{path}: the plot cannot be saved ({error.strerror})")


# ---------------------------------------------------------------- messages and errors


class InputError(Exception):
    """Something that the user can put right; the text says what and how, in one line."""


def check_writable(path):
    """Raise InputError now if a file could not be written later, after long work."""
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=target.parent) as folder:
            Path(folder, Path(path).name).touch()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


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
        # Whatever stands in the user's matplotlibrc; what packages warn of, users cannot put right.
        with plt.style.context("default"), warnings.catch_warnings(action="ignore"):
            status = main()
        print(end="", flush=True)
    except BrokenPipeError:  # Whoever read the results has gone, as `| head` does.
        status = 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (InputError, OSError) as error:
        status, file = 1, getattr(error, "filename", None)
        print_message("error", f"{file}: {error.strerror}" if file else error)
    except KeyboardInterrupt:
        status = 130  # by custom 128 plus the number of the signal
        print_message("error", "interrupted")
    if "IPython" not in sys.modules:
        gc.freeze()  # Else Python would look for garbage among all objects, 0.8 s long, as it ends.
    sys.exit(status)


# ---------------------------------------------------------------- images as MNIST's

BOX = 20  # pixels of the box that a digit fills
LEAST_STROKE = 2.2  # pixels of that box; a thinner stroke would vanish, and MNIST's are not
SUBPIXELS = 4  # to a pixel of that box, while a stroke is measured and widened


def as_mnist(ink):
    """Turn the ink of a digit into an image as MNIST's are.

    Args:
        ink: uint8 (h, w) of any size, 0 (background) to 255 (ink), not empty.

    Returns:
        uint8 (28, 28), 0 (background) to 255 (ink); a stroke that is too thin is widened.
    """
    # A stroke's width is about twice its area over the length of its outline.
    large = fitted(ink, SUBPIXELS * BOX)
    solid = np.uint8(large > large.max() / 2)
    outline = cv2.erode(solid, None, borderValue=0) < solid
    missing = round(SUBPIXELS * LEAST_STROKE - 2 * solid.sum() / outline.sum())
    if missing > 0:
        pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (missing + 1, missing + 1))
        ink = cv2.dilate(np.pad(large, missing), pen)
    return centred(ink)


def centred(ink):
    """Fit the ink of a digit into a box of 20x20 pixels, its centre of mass in the image's middle.

    So MNIST was made (LeCun and others, "Gradient-based learning applied to document recognition",
    1998).
    """
    ink = cv2.normalize(fitted(ink, BOX), None, 255, 0, cv2.NORM_INF)
    mass = cv2.moments(ink)
    shift = [round(IMAGE_SHAPE[0] / 2 - mass[axis] / mass["m00"]) for axis in ("m10", "m01")]
    return cv2.warpAffine(ink, np.column_stack([np.eye(2), shift]), IMAGE_SHAPE)


def fitted(ink, side):
    """Crop the ink of a digit, and resize it to a square of so many pixels; returns uint8."""
    left, top, width, height = cv2.boundingRect(np.uint8(ink > ink.max() / 20))
    square = np.zeros((max(width, height),) * 2, np.uint8)
    square[:height, :width] = ink[top : top + height, left : left + width]
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)


# ---------------------------------------------------------------- synthetic digits

# Synthetic images for each image of the data to train on: enough to teach what MNIST lacks.
SYNTHETIC_SHARE = 1 / 8

# How much hands differ: standard deviations, and ranges.
SIZE_SPREAD = 0.2  # of the logarithms of width and height
POINT_SPREAD = 0.1  # of each point, in widths and heights
STROKE_SPREAD = 0.05  # of each stroke, in widths and heights
SLANT_SPREAD = 0.3  # to the right, for a height of 1
PENS = 0.06, 0.36  # the thinnest and the thickest, in widths or heights, whichever is less
SHARPNESS = 8, 40  # pixels that a digit is reduced to before it fills its box: fewer are softer
CANVAS = 224  # pixels of a side


def with_synthetic(train_set, seed):
    """Add synthetic digits to a training set; returns both as tensors."""
    count = math.ceil(SYNTHETIC_SHARE * len(train_set[0]))
    synthetic = synthetic_digits(count, (2, seed))  # others than load_digits makes
    return [tf.concat(both, axis=0) for both in zip(train_set, synthetic)]


def synthetic_digits(count, seed):
    """Write digits with a round pen, in the ways of HANDWRITING.

    Args:
        count: How many.
        seed: An int, or several; the same seed writes the same ones.

    Returns:
        Images, uint8 (count, 28, 28), 0 (background) to 255 (ink), and labels, uint8 (count,).
    """
    print(f"making {count:,} synthetic digits ...", file=sys.stderr)
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    images = [write_digit(choose_way(label, rng), rng) for label in labels]
    return np.array(images), np.uint8(labels)


def choose_way(digit, rng):
    """Choose one of the ways to write a digit; returns its line of HANDWRITING."""
    return rng.choice([way for way in HANDWRITING.splitlines() if way.startswith(str(digit))])


def write_digit(way, rng):
    """Write a digit in one of the ways of HANDWRITING in a random hand; returns uint8 (28, 28)."""
    size = rng.lognormal(0, SIZE_SPREAD, 2) * (48, 64)  # width and height, in pixels
    slant = rng.normal(0.15, SLANT_SPREAD)
    lines = []
    for stroke in way.split(":")[1].split("/"):
        points = np.array([point.split(",") for point in stroke.split()], float) / 100 - 0.5
        points += rng.normal(0, POINT_SPREAD, points.shape) + rng.normal(0, STROKE_SPREAD, 2)
        points = CANVAS / 2 + (points * size) @ [[1, 0], [-slant, 1]]
        # To cut the corners makes them round (Chaikin, "An algorithm for high-speed curve
        # generation", 1974).
        corners = [[0.75, 0.25], [0.25, 0.75]] @ np.stack([points[:-1], points[1:]], axis=1)
        lines.append(np.int32([points[0], *corners.reshape(-1, 2), points[-1]]))
    pen = round(rng.uniform(*PENS) * min(size))
    ink = cv2.polylines(np.zeros((CANVAS, CANVAS), np.uint8), lines, False, 255, pen, cv2.LINE_AA)
    return centred(fitted(ink, rng.integers(*SHARPNESS)))


# How people write each digit, a line a way: the digit and the way's name, then its strokes, between
# slashes, as points x,y in per cent of the digit's width and height, from the top left. A point
# given twice is a sharp corner. The ways are from public descriptions, and none is traced:
# Wikipedia, "Regional handwriting variation"; Briem, "Numbers", http://briem.net; "European
# numerals", http://www.netipedia.com; "Ziffernschreibkurs", https://www.schulimpulse.de; "How to
# write numbers", https://mathematicalpapyrus.com (Japan).
HANDWRITING = """
0 closed: 41,5 15,20 3,55 22,93 55,100 90,75 97,40 78,8 48,1 40,3
0 round: 37,12 12,30 8,70 40,100 80,85 95,50 80,12 50,0 35,6
1 bar: 50,12 50,50 50,88
1 short flag: 31,19 50,0 50,0 50,50 50,88
1 long flag: 5,42 50,0 50,0 50,50 50,88
1 flat flag: 2,22 52,0 52,0 51,50 50,91
1 foot: 40,9 40,50 40,100 40,100 81,98
1 flag and foot: 36,16 52,0 52,0 51,50 50,100 / 36,100 68,99
1 long flag and foot: 6,34 50,0 50,0 50,50 50,100 / 0,100 100,100
1 like a Z: 22,22 75,0 75,0 40,100 / -25,100 105,100
1 on a line: 26,38 60,0 60,0 55,100 / -60,110 160,85
2 plain: 14,19 30,2 65,3 82,28 60,62 5,98 5,98 72,96
2 loop: 16,22 35,2 75,8 78,38 45,75 12,97 5,88 22,78 50,92 84,96
2 wide loop: 18,23 38,2 72,10 72,40 48,82 18,97 5,82 25,66 58,82 88,90
2 round loop: 19,19 45,0 75,20 65,55 35,95 5,95 2,75 25,65 55,78 87,74
3 round: 19,11 45,0 82,15 70,40 35,48 35,48 75,55 88,78 55,100 18,91
3 flat top: 27,3 85,2 85,2 45,40 45,40 85,55 82,88 45,100 15,92
3 soft: 25,8 55,0 80,20 60,42 30,46 62,48 90,70 70,97 30,98 14,88
4 open: 17,14 8,52 15,60 50,57 82,54 / 71,16 68,50 66,88
4 cup: 16,15 12,45 35,58 65,48 / 80,13 76,45 72,86
4 three-cornered: 68,88 70,50 70,2 70,2 5,68 5,68 75,66
4 in one stroke: 76,76 78,5 78,5 45,25 8,62 8,62 60,60 86,58
4 lightning: 43,5 8,66 8,66 82,62 / 64,47 61,96
4 closed: 48,8 5,64 5,64 84,64 / 66,18 64,86
5 with bar: 26,15 20,45 20,45 55,38 85,60 75,90 40,100 14,92 / 36,4 60,3 84,1
5 in one stroke: 74,2 30,3 30,3 20,42 20,42 58,38 85,62 70,95 35,100 12,91
5 like an S: 75,5 45,5 22,25 40,45 72,58 75,85 40,100 16,94
5 upright: 22,24 15,50 15,50 55,42 80,65 55,98 18,94 / 42,9 82,2
6 curved: 68,6 40,20 12,60 22,95 60,100 85,78 65,55 30,62 19,76
6 straight: 47,10 22,40 10,78 40,100 72,88 75,62 45,55 22,70
6 round: 78,9 50,12 15,50 15,85 50,100 85,85 80,58 50,52 28,66
6 slanted: 49,10 15,40 5,80 30,100 85,88 92,68 55,65 25,82
6 hooked: 84,36 92,18 64,-2 30,4 6,44 12,90 50,102 88,90 84,62 52,54 22,68
6 segments: 72,3 10,3 10,3 10,97 10,97 90,97 90,97 90,50 90,50 10,50
6 angular: 56,6 12,60 10,98 10,98 85,98 85,98 85,58 85,58 14,60
7 plain: 16,8 50,6 92,3 92,3 60,50 41,88
7 barred: 27,6 92,4 92,4 65,45 46,86 / 36,49 74,47
7 curved: 16,6 50,10 88,3 88,3 72,30 58,65 56,91
7 round: 11,16 30,5 70,5 80,20 60,60 49,90
7 hooked: 2,28 4,3 4,3 92,3 92,3 62,50 52,94
7 hooked and barred: 1,26 4,3 4,3 92,3 92,3 62,50 47,94 / 38,51 77,49
7 long bar: 23,15 85,0 85,0 60,50 45,88 / -15,80 115,35
8 in one stroke: 71,9 50,0 20,18 42,44 78,68 70,95 35,98 18,75 50,48 80,25 76,12
8 from the middle: 42,43 18,28 35,3 70,4 80,28 50,48 20,68 25,95 60,100 82,78 58,56
8 open: 76,8 50,0 22,15 30,38 70,58 85,82 50,100 18,85 35,58 70,35 84,18
8 half open: 71,15 45,0 25,20 50,48 75,75 55,100 25,85 45,55 75,18
8 two rings: 42,2 20,8 20,38 50,48 80,38 80,8 46,0 42,2 / \
    40,51 12,60 12,92 50,100 88,92 88,60 46,48 42,50
9 straight: 75,14 55,0 18,15 20,42 55,45 82,18 82,18 80,55 74,89
9 hooked: 71,9 45,0 12,22 30,48 65,40 82,12 82,12 82,60 60,95 30,97
9 curved: 68,19 45,0 10,20 25,48 60,42 78,15 78,15 65,60 52,90
9 slanted: 82,8 50,6 30,30 50,38 90,10 90,10 60,55 34,92
9 wide hook: 68,8 40,0 10,24 40,50 80,34 80,8 80,8 88,60 78,94 40,102 2,88
9 open: 79,1 40,4 8,28 32,52 78,30 78,30 78,60 64,90
9 small head: 52,4 30,0 12,16 22,34 48,32 60,8 60,8 80,55 96,84 90,100 50,102 12,98
"""


if __name__ == "__main__":
    run_as_script(main)
