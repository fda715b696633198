"""Train a small convolutional network to classify handwritten digits.

    python train_model.py

trains on MNIST, prints the training statistics, saves the network as
`digit_classifier.keras` and the accuracy and loss curves as a picture.
`predict_model.py` scores the network; `--help` lists the options.
"""

import argparse
import contextlib
import importlib.util
import logging
import math
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

# Both are read when TensorFlow and Keras are imported: warnings and
# information of TensorFlow's C++ side are not meant for the people who run
# these scripts, and requirements.txt installs this backend and no other.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"


def import_when_used(name):
    """Import a module when its first attribute is read, and quietly.

    TensorFlow takes seconds to import, too long for `--help` and for a
    mistyped option, and while it starts it writes lines to standard error
    that no setting stops. So file descriptor 2 points to nowhere just then.

    Args:
        name: str, the module's full name.

    Returns:
        The module, which runs its code later.

    Raises:
        SystemExit: if the module is not installed.

    Source: https://docs.python.org/3/library/importlib.html#implementing-lazy-imports
    """
    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit(f"error: {name} is missing: pip install -r requirements.txt")
    run_module = spec.loader.exec_module

    def run_module_quietly(module):
        with open(os.devnull, "w") as nowhere:
            standard_error = os.dup(2)
            os.dup2(nowhere.fileno(), 2)
            try:
                run_module(module)
            finally:
                os.dup2(standard_error, 2)
                os.close(standard_error)

    spec.loader.exec_module = run_module_quietly
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


keras = import_when_used("keras")
tf = import_when_used("tensorflow")
plt = import_when_used("matplotlib.pyplot")

MODEL_FILE = "digit_classifier.keras"
PLOTS_FOLDER = "plots"
CURVES_PLOT = "training_curves.png"
IMAGE_SHAPE = (28, 28)
CLASSES = 10
# Far above any real data set; an array that unpacks to more than this is no MNIST.
LARGEST_ARRAY_BYTES = 2**30


class InputError(Exception):
    """Something that the user can put right; the text says what and how, in one line."""


# ---------------------------------------------------------------- the networks

# Each network is its list of hidden layers, given keras.layers; the input
# before them and the ten outputs after them are the same for all.
ARCHITECTURES = {
    "5x5": lambda layers: [
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
    ],
    "3x3-dropout": lambda layers: [
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.5),
    ],
    "3x3": lambda layers: [
        layers.Conv2D(64, 3, activation="relu"),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
    ],
    "3x3-pooled": lambda layers: [
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
    ],
}

# How to train. A learning rate of None is the optimizer's own; the weight
# decay is the share that a step at the optimizer's own rate takes off each weight.
OUR_RECIPE = {
    "epochs": 5,
    "batch_size": 256,
    "optimizer": "adam",
    "learning_rate": None,
    "one_cycle": True,
    "weight_decay": 0.0004,
    "label_smoothing": 0.1,
    "augment": True,
    "calibrate": True,
    "precision": "auto",
    "validation_split": 0.2,
    "patience": None,
}

# How each network was trained by those who published it; what they do not
# say is as Keras has it by default.
PLAIN_RECIPE = OUR_RECIPE | {
    "batch_size": 32,
    "one_cycle": False,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "augment": False,
    "calibrate": False,
    "precision": "float32",
}
PUBLISHED_RECIPES = {
    "5x5": PLAIN_RECIPE,
    "3x3-dropout": PLAIN_RECIPE
    | {
        "epochs": 50,
        "batch_size": 128,
        "optimizer": "adadelta",
        "validation_split": 5_000 / 60_000,
        "patience": 5,
    },
    "3x3": PLAIN_RECIPE | {"epochs": 10},
    "3x3-pooled": PLAIN_RECIPE | {"epochs": 10},
}


def build_model(architecture="5x5"):
    """Build an untrained network.

    Args:
        architecture: str, a key of ARCHITECTURES.

    Returns:
        A keras.Sequential that takes float32 images of shape (n, 28, 28, 1)
        in [0, 1], ink bright on a dark ground, and answers the float32
        probabilities of the ten digits, shape (n, 10).
    """
    return keras.Sequential(
        [
            keras.Input((*IMAGE_SHAPE, 1)),
            *ARCHITECTURES[architecture](keras.layers),
            keras.layers.Dense(CLASSES, activation="softmax"),
        ]
    )


# ---------------------------------------------------------------- the data


def load_digits(source, subset):
    """Load one subset of MNIST.

    Args:
        source: path of an `.npz` file in the layout of Keras's `mnist.npz`;
            None for MNIST from Keras's cache, or by download.
        subset: "train" or "test".

    Returns:
        images: uint8 array of shape (n, 28, 28), 0 (ground) to 255 (ink).
        labels: int64 array of shape (n,), 0 to 9.

    Raises:
        InputError: if the file is no such data set, or MNIST cannot be had.
    """
    if source is not None:
        return read_npz(source, subset)
    try:
        with progress_on_standard_error():
            train_set, test_set = keras.datasets.mnist.load_data()
    # Keras raises a plain Exception for most of what can go wrong here.
    except Exception as error:
        raise InputError(
            f"MNIST cannot be had ({error}); with a copy of mnist.npz use --data FILE"
        ) from error
    images, labels = train_set if subset == "train" else test_set
    return images, labels.astype(np.int64)


def read_npz(path, subset):
    """Read the arrays x_SUBSET and y_SUBSET of an `.npz` file; see load_digits."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = []
            for name in (f"x_{subset}", f"y_{subset}"):
                if name not in archive.files:
                    raise InputError(f"{path}: there is no array {name} in it")
                if archive.zip.getinfo(f"{name}.npy").file_size > LARGEST_ARRAY_BYTES:
                    raise InputError(f"{path}: {name} is too large for a data set of digits")
                arrays.append(archive[name])
    except (InputError, OSError):
        raise
    # A damaged or foreign file can raise nearly anything in zipfile and NumPy.
    except Exception as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from error
    images, labels = arrays
    if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise InputError(
            f"{path}: x_{subset} is {images.dtype} of shape {images.shape}, not uint8 of (n, 28, 28)"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise InputError(
            f"{path}: y_{subset} is {labels.dtype} of shape {labels.shape},"
            f" not integers of shape ({len(images)},)"
        )
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise InputError(f"{path}: y_{subset} has labels other than 0 to 9")
    return images, labels.astype(np.int64)


def split(images, labels, validation_split):
    """Split off the last images for validation.

    Args:
        images: array of shape (n, ...).
        labels: array of shape (n,).
        validation_split: float, the share of the images to split off.

    Returns:
        Two pairs (images, labels): the training and the validation set.

    Raises:
        InputError: if either would be empty.
    """
    count = round(len(images) * validation_split)
    if not 0 < count < len(images):
        raise InputError(
            f"--validation-split {validation_split:g} of {len(images)} images"
            " leaves none for training or none for validation"
        )
    return (images[:-count], labels[:-count]), (images[-count:], labels[-count:])


def as_input(images):
    """Convert uint8 images of shape (n, 28, 28) to what the network takes; see build_model."""
    return images[..., np.newaxis].astype(np.float32) / 255


# ---------------------------------------------------------------- training


def training_batches(images, labels, batch_size, augment, seed):
    """Make an endless stream of shuffled batches, the same for the same seed.

    Args:
        images: uint8 array of shape (n, 28, 28).
        labels: int array of shape (n,).
        batch_size: int, images a batch.
        augment: bool, whether to distort the images at random.
        seed: int.

    Returns:
        A tf.data.Dataset of pairs: float32 images of shape (batch_size, 28,
        28, 1) in [0, 1], and float32 one-hot labels of shape (batch_size, 10).
    """
    count = len(images)
    images, labels = tf.constant(images[..., np.newaxis]), tf.constant(labels)

    def make_batch(step, chosen):
        batch = tf.cast(tf.gather(images, chosen), tf.float32) / 255
        if augment:
            batch = distort(batch, (seed, step))
        return batch, tf.one_hot(tf.gather(labels, chosen), CLASSES)

    order = tf.data.Dataset.range(count).shuffle(count, seed).repeat().batch(batch_size)
    return order.enumerate().map(make_batch, num_parallel_calls=2).prefetch(4)


def distort(images, seed):
    """Turn, scale, stretch, slant and shift images at random, each in its own way.

    All of it is one affine change of each image and so one resampling, which
    blurs least. A method of long standing for digits: Simard, Steinkraus and
    Platt, "Best practices for convolutional neural networks", ICDAR 2003.

    Args:
        images: float32 tensor of shape (n, 28, 28, 1), the ground at 0.
        seed: two ints; the same seed distorts in the same way.

    Returns:
        float32 tensor of the same shape.
    """
    count = tf.shape(images)[0]
    angle, size, stretch, slant, right, down = tf.unstack(
        tf.random.stateless_uniform([6, count], seed, -1.0, 1.0)
    )
    angle = angle * math.radians(10)
    width, height = tf.exp(0.1 * size + 0.07 * stretch), tf.exp(0.1 * size - 0.07 * stretch)
    slant = 0.15 * slant
    # The matrix takes a place in the result, counted from the middle, to the
    # place in the image that its brightness comes from.
    cos, sin = tf.cos(angle), tf.sin(angle)
    a, b = cos * width, cos * slant - sin * height
    c, d = sin * width, sin * slant + cos * height
    middle = (IMAGE_SHAPE[0] - 1) / 2
    x = middle - (a + b) * middle + 1.5 * right
    y = middle - (c + d) * middle + 1.5 * down
    zero = tf.zeros(count)
    return keras.ops.image.affine_transform(
        images, tf.stack([a, b, x, c, d, y, zero, zero], axis=1), fill_mode="constant"
    )


def make_optimizer(recipe, steps):
    """Make the optimizer, tuned for a short training if the recipe is one-cycle.

    A one-cycle learning rate rises linearly over the first 15% of the steps
    and falls to zero along a cosine over the rest (Smith and Topin 2017,
    https://arxiv.org/abs/1708.07120). It can be far higher at its top than a
    constant one: by default ten times the optimizer's own, 0.01 for Adam.

    Args:
        recipe: as for train.
        steps: int, the number of batches in the whole training.

    Returns:
        A keras.optimizers.Optimizer.

    Raises:
        InputError: if Keras has no optimizer of this name.
    """
    try:
        optimizer = keras.optimizers.get(recipe.optimizer)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"--optimizer {recipe.optimizer}: Keras has no optimizer of this name"
        ) from error
    settings = optimizer.get_config()
    own_rate = settings["learning_rate"]
    if recipe.learning_rate is not None:
        settings["learning_rate"] = recipe.learning_rate
    if recipe.one_cycle:
        # The recipe fits a thousand steps, about the default run. In a longer
        # one the rate is lower, the weights decay more slowly, and Adam,
        # which by default remembers a thousand gradients, looks further back.
        longer = max(1, steps / 1000)
        highest = recipe.learning_rate or 10 * own_rate / math.sqrt(longer)
        warm_up = math.ceil(0.15 * steps)
        settings["learning_rate"] = keras.optimizers.schedules.CosineDecay(
            highest / 25, max(1, steps - warm_up), warmup_target=highest, warmup_steps=warm_up
        )
        settings["weight_decay"] = recipe.weight_decay / own_rate / math.sqrt(longer)
        if "beta_2" in settings:
            settings["beta_2"] = 1 - 0.05 / longer
    return type(optimizer)(**settings)


def fastest_precision(cpu_description="/proc/cpuinfo"):
    """Find the precision in which this machine trains fastest.

    bfloat16 halves the time of an epoch where the processor multiplies such
    matrices itself, and lengthens it elsewhere.

    Args:
        cpu_description: path of Linux's description of the processor; other
            systems have none.

    Returns:
        "bfloat16" with an x86 processor that has AMX or AVX512-BF16, or a GPU
        of compute capability 8 or more; "float32" everywhere else.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capable = details.get("compute_capability", (0, 0)) >= (8, 0)
    else:
        try:
            words = Path(cpu_description).read_text(errors="replace").split()
        except OSError:
            words = []
        capable = not {"amx_bf16", "avx512_bf16"}.isdisjoint(words)
    return "bfloat16" if capable else "float32"


def set_precision(model, precision):
    """Set the precision in which the hidden layers compute; their weights stay float32.

    Args:
        model: a network from build_model.
        precision: "float32" or "bfloat16".
    """
    for layer in model.layers[:-1]:
        layer.dtype_policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]


def train(model, train_set, validation_set, recipe, seed, more_callbacks=()):
    """Train the network in place, and leave it as it was after its best epoch.

    Args:
        model: an untrained network from build_model.
        train_set: (images, labels) as load_digits answers them.
        validation_set: the same.
        recipe: argparse.Namespace with the names of OUR_RECIPE.
        seed: int, seed of the order of the images and of their distortion.
        more_callbacks: Keras callbacks, told of each batch and epoch.

    Returns:
        dict of lists, one value an epoch: loss, accuracy, val_loss, val_accuracy.

    Raises:
        InputError: if the loss is no longer finite, or there is no such optimizer.
    """
    steps = math.ceil(len(train_set[0]) / recipe.batch_size)
    best = keras.callbacks.EarlyStopping(
        "val_accuracy", patience=recipe.epochs, restore_best_weights=True
    )
    callbacks = [best, keras.callbacks.LambdaCallback(on_train_batch_end=check_finite)]
    if recipe.patience is not None:
        callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience))
    precision = fastest_precision() if recipe.precision == "auto" else recipe.precision
    set_precision(model, precision)
    model.compile(
        make_optimizer(recipe, recipe.epochs * steps),
        keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
        steps_per_execution=min(20, steps),
        jit_compile=False,  # XLA makes this network two to three times slower on processors.
    )
    validation_images, validation_labels = validation_set
    with progress_on_standard_error() as verbose:
        history = model.fit(
            training_batches(*train_set, recipe.batch_size, recipe.augment, seed),
            steps_per_epoch=steps,
            epochs=recipe.epochs,
            validation_data=(as_input(validation_images), np.eye(CLASSES)[validation_labels]),
            validation_batch_size=500,
            callbacks=[*callbacks, *more_callbacks],
            shuffle=False,  # training_batches has done it.
            verbose=verbose,
        )
    model.set_weights(best.best_weights)
    set_precision(model, "float32")
    return history.history


def calibrate(model, images, labels):
    """Make the network's probabilities fit how often it is right.

    Divides the logits by the temperature that gives the lowest cross-entropy
    on these images; folded into the weights of the last layer, it changes
    the probabilities and no decision (Guo, Pleiss, Sun and Weinberger, "On
    calibration of modern neural networks", ICML 2017).

    Args:
        model: a trained network from build_model; its last layer is changed.
        images: uint8 array of shape (n, 28, 28), not trained on.
        labels: int array of shape (n,).
    """
    probabilities = model.predict(as_input(images), batch_size=500, verbose=0)
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))

    def cross_entropy(temperature):
        scaled = logits / temperature
        true_logits = scaled[np.arange(len(labels)), labels]
        return np.mean(np.log(np.exp(scaled).sum(axis=1)) - true_logits)

    temperature = min(np.geomspace(0.2, 5, 161), key=cross_entropy)
    output = model.layers[-1]
    output.set_weights([weights / temperature for weights in output.get_weights()])


@contextlib.contextmanager
def progress_on_standard_error():
    """Send Keras's progress bars to standard error; yields the fitting `verbose`."""
    with contextlib.redirect_stdout(sys.stderr):
        # Where there is no terminal a bar would be written again and again.
        yield 1 if sys.stderr.isatty() else 2


def check_finite(batch, logs):
    """Raise InputError if the loss of this batch is not finite; a Keras callback."""
    if not math.isfinite(logs["loss"]):
        raise InputError(
            "training diverged: the loss is no longer finite; nothing is saved;"
            " try a lower --learning-rate"
        )


def evaluate(model, images, labels):
    """Measure the network on clean images.

    Args:
        model: a compiled network.
        images: uint8 array of shape (n, 28, 28).
        labels: int array of shape (n,).

    Returns:
        (accuracy, loss): floats, the share of images classified correctly and
        the mean cross-entropy in nats.
    """
    loss, accuracy = model.evaluate(as_input(images), labels, batch_size=1000, verbose=0)
    return accuracy, loss


def print_statistics(epochs, results, validation_count, seconds, output):
    """Print the training statistics on standard output.

    Args:
        epochs: int, the epochs trained.
        results: (accuracy, loss) on the training set and on the validation set.
        validation_count: int, the number of validation images.
        seconds: float, the time that the training took.
        output: path of the saved network.
    """
    print("Training statistics")
    print(f"  epochs               {epochs}")
    for name, (accuracy, loss) in zip(("training", "validation"), results):
        print(f"  {name + ' accuracy':<20} {accuracy:.2%} (loss {loss:.4f})")
    print(f"  validation images    {validation_count:,}")
    print(f"  time                 {seconds:.1f} s")
    print(f"  network saved as     {output}")


# ---------------------------------------------------------------- files and plots


@contextlib.contextmanager
def replaced_whole(path):
    """Write a file so that at any moment it is the old one or the new one, whole.

    Yields a path in the same folder to write to. When the block ends well,
    that file is on the disk and takes the place of `path` in one step; when
    it does not, that file is removed and `path` is as it was.

    Args:
        path: path of the file to write; a link is followed, a missing folder made.

    Raises:
        OSError: if the folder cannot be written to, or the disk is full.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path):
    """Find out, before long work, whether a file can be written later.

    Args:
        path: path of the file to be; its folder need not be there yet.

    Raises:
        InputError: if it cannot.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, not a file to write to")
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def save_model(model, path):
    """Save the network, ready for `evaluate`, without the state of its training.

    Args:
        model: a network from build_model.
        path: path of the file, ending in `.keras`, or in `.h5` for HDF5.

    Raises:
        OSError: if it cannot be written; an earlier file is then as it was.
    """
    # Keras warns that HDF5 is old; whoever asks for .h5 knows.
    logging.getLogger("absl").setLevel(logging.ERROR)
    # Plain SGD has no state of its own, so the file holds the network alone.
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    with replaced_whole(path) as partial:
        model.save(partial)


def save_plot(figure, folder, name):
    """Save a Matplotlib figure as a PNG file in a folder, and print where it went."""
    path = Path(folder) / name
    with replaced_whole(path) as partial:
        figure.savefig(partial, dpi=150, bbox_inches="tight", format="png")
    print(f"  plot saved as        {path}")


def show_plots():
    """Show all figures in windows until they are closed; without a display, do nothing."""
    with warnings.catch_warnings():
        # Without a display pyplot warns that there is no window.
        warnings.simplefilter("ignore")
        plt.show()


def plot_history(history):
    """Plot the accuracy and loss curves of both sets.

    Args:
        history: as train answers it.

    Returns:
        The Matplotlib figure.
    """
    epochs = range(1, len(history["loss"]) + 1)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, name in zip(axes, ("accuracy", "loss")):
        axis.plot(epochs, history[name], "o-", markersize=3, label="training")
        axis.plot(epochs, history[f"val_{name}"], "o-", markersize=3, label="validation")
        axis.set(title=name.capitalize(), xlabel="epoch", ylabel=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend()
    return figure


# ---------------------------------------------------------------- the command line


def number(kind, lowest, highest):
    """Answer a type for argparse: a number of this kind within bounds, both included."""

    def parse(text):
        value = kind(text)
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text} is not from {lowest} to {highest}")
        return value

    parse.__name__ = {int: "whole number", float: "number"}[kind]
    return parse


def model_path(text):
    """Check for argparse that a path names a file format for models."""
    if Path(text).suffix not in (".keras", ".h5"):
        raise argparse.ArgumentTypeError(f"{text}: the name must end in .keras or .h5")
    return text


def make_parser(description):
    """Make a command line parser with the options that both scripts have.

    Usage errors end with one line on standard error and status 2.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.error = lambda message: parser.exit(2, f"{parser.prog}: error: {message} (see --help)\n")
    parser.add_argument(
        "--data",
        metavar="FILE",
        help="a mnist.npz that you have already (default: Keras's, downloaded once)",
    )
    parser.add_argument(
        "--plots",
        metavar="DIR",
        default=PLOTS_FOLDER,
        help="folder for the plots (default: %(default)s)",
    )
    return parser


def parse_arguments():
    """Parse the command line of train_model.py; the recipe gives the options' defaults."""
    parser = make_parser("Train a network to classify handwritten digits, and save it.")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=model_path,
        default=MODEL_FILE,
        help="where to save the network, .keras or .h5 (default: %(default)s)",
    )
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        choices=ARCHITECTURES,
        default="5x5",
        help=f"the network: {', '.join(ARCHITECTURES)} (default: %(default)s)",
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        choices=["ours", "published"],
        default="ours",
        help="how to train it: ours, or as those did who published the network;"
        " the options below win over it (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        metavar="N",
        type=number(int, 1, 10**6),
        help="passes over the training images (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        metavar="N",
        type=number(int, 1, 10**6),
        help="images a training step (default: %(default)s)",
    )
    parser.add_argument(
        "--learning-rate",
        metavar="RATE",
        type=number(float, 1e-12, 1e12),
        help="the highest rate (default: ten times the optimizer's own, 0.01 for adam)",
    )
    parser.add_argument(
        "--optimizer",
        metavar="NAME",
        help="any optimizer that Keras has (default: %(default)s)",
    )
    parser.add_argument(
        "--no-augment",
        dest="augment",
        action="store_false",
        help="train on the images as they are, not on distorted ones",
    )
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        help="of the computations in training; auto picks the fastest (default: %(default)s)",
    )
    parser.add_argument(
        "--validation-split",
        metavar="SHARE",
        type=number(float, 0.0, 1.0),
        help="share of the training images, the last ones, to validate on (default: %(default)s)",
    )
    parser.add_argument(
        "--patience",
        metavar="N",
        type=number(int, 1, 10**6),
        help="stop when the validation loss has not improved for N epochs (default: never)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=number(int, 0, 2**32 - 1),
        default=0,
        help="seed of everything random (default: %(default)s)",
    )
    parser.set_defaults(**OUR_RECIPE)
    arguments = parser.parse_args()
    if arguments.recipe == "published":
        parser.set_defaults(**PUBLISHED_RECIPES[arguments.architecture])
        arguments = parser.parse_args()
    return arguments


def print_error(message):
    """Print an error as one line on standard error."""
    print(f"{Path(sys.argv[0]).name}: error: {' '.join(message.split())}", file=sys.stderr)


@contextlib.contextmanager
def errors_in_one_line():
    """End the script with status 1 and one line on standard error for what a user can put right."""
    try:
        yield
    except InputError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(1)


def main():
    arguments = parse_arguments()
    images, labels = load_digits(arguments.data, "train")
    train_set, validation_set = split(images, labels, arguments.validation_split)
    for path in (arguments.output, Path(arguments.plots) / CURVES_PLOT):
        check_writable(path)
    keras.utils.set_random_seed(arguments.seed)
    model = build_model(arguments.architecture)
    model.summary()
    start = time.perf_counter()
    history = train(model, train_set, validation_set, arguments, arguments.seed)
    if arguments.calibrate:
        calibrate(model, *validation_set)
    seconds = time.perf_counter() - start
    save_model(model, arguments.output)
    results = evaluate(model, *train_set), evaluate(model, *validation_set)
    print_statistics(len(history["loss"]), results, len(validation_set[0]), seconds, arguments.output)
    save_plot(plot_history(history), arguments.plots, CURVES_PLOT)
    show_plots()


if __name__ == "__main__":
    with errors_in_one_line():
        main()
