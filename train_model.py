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
import re
import signal
import socket
import sys
import tempfile
import time
import warnings
from pathlib import Path

try:
    import numpy as np
except ModuleNotFoundError:
    sys.exit("error: NumPy is missing: pip install -r requirements.txt")

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
    if name in sys.modules:
        return sys.modules[name]
    installed = importlib.util.find_spec(name.partition(".")[0])
    spec = installed and importlib.util.find_spec(name)
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
INTERRUPTED, TERMINATED = 130, 143  # exit statuses, by custom 128 plus the signal's number
IMAGE_SHAPE = (28, 28)
CLASSES = 10
# Five times MNIST's largest array: what unpacks to more than this is no MNIST.
LARGEST_ARRAY_BYTES = 2**28


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


def build_model(architecture="5x5", data="MNIST"):
    """Build an untrained network.

    Args:
        architecture: str, a key of ARCHITECTURES.
        data: str, the data to train it on, for the network's name: whoever
            loads it can see what it was trained on.

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
        ],
        name="trained_on_" + re.sub(r"[^A-Za-z0-9.-]+", "_", data),
    )


# How people write each digit: variants, each of one or more strokes (after a
# slash), each of points x,y in per cent of the digit's width and height, from
# the top left. A point that is given twice makes a corner.
HANDWRITING = [
    # 0
    [
        "50,0 15,20 3,55 22,93 55,100 90,75 97,40 78,8 48,1 38,4",
        "60,2 25,10 3,50 20,92 50,100 85,85 98,45 80,10 55,0",
        "45,6 12,30 8,70 40,100 80,85 95,50 80,12 50,0 30,8",
        "70,10 30,5 5,50 30,95 70,95 95,50 75,10 45,12",
    ],
    # 1
    [
        "50,0 50,50 50,100",
        "25,25 50,0 50,0 50,50 50,100",
        "30,22 52,0 52,0 51,50 50,100 50,100 / 25,100 78,99",
        "40,12 50,0 50,0 50,100",
    ],
    # 2
    [
        "8,25 30,2 65,3 82,28 60,62 5,98 5,98 95,96",
        "10,28 35,2 75,8 78,38 45,75 12,97 5,88 22,78 50,92 95,97",
        "5,10 60,0 85,20 65,55 8,97 8,97 50,92 98,98",
        "15,20 45,0 80,15 75,45 30,85 10,98 10,98 35,88 65,98 95,90",
        "12,30 38,2 72,10 72,40 48,82 18,97 5,82 25,66 58,82 98,92",
        "10,35 40,0 78,18 68,55 40,92 10,92 12,68 40,70 70,92 98,85",
        "10,25 45,0 75,20 65,55 35,95 5,95 2,75 25,65 55,78 98,72",
    ],
    # 3
    [
        "10,15 45,0 82,15 70,40 35,48 35,48 75,55 88,78 55,100 5,88",
        "8,3 85,2 85,2 45,40 45,40 85,55 82,88 45,100 5,90",
        "15,10 55,0 80,20 60,42 30,46 62,48 90,70 70,97 30,98 8,85",
        "12,18 50,0 78,18 45,45 45,45 80,60 80,88 40,100 8,92",
    ],
    # 4
    [
        "20,2 8,52 15,60 50,57 92,53 / 72,5 68,50 66,100",
        "68,100 70,50 70,2 70,2 5,68 5,68 98,66",
        "30,0 5,60 5,60 92,57 / 66,30 62,65 58,100",
        "18,5 12,45 35,58 75,45 / 82,2 76,45 70,100",
        "75,100 78,5 78,5 45,25 8,62 8,62 60,60 95,58",
        "18,8 12,45 40,56 75,42 84,5 84,5 78,50 72,100",
        "25,5 8,50 25,62 90,50 / 70,25 62,60 55,100",
    ],
    # 5
    [
        "28,5 20,45 20,45 55,38 85,60 75,90 40,100 5,90 / 28,4 60,3 92,0",
        "88,2 30,3 30,3 20,42 20,42 58,38 85,62 70,95 35,100 5,88",
        "85,5 45,5 22,25 40,45 72,58 75,85 40,100 8,92",
        "30,12 25,45 25,45 60,45 78,68 60,95 10,97 / 30,10 90,8",
        "25,15 15,50 15,50 55,42 80,65 55,98 5,92 / 25,12 95,0",
        "20,25 12,55 12,55 45,52 60,75 35,98 2,90 / 20,22 98,2",
    ],
    # 6
    [
        "78,2 40,20 12,60 22,95 60,100 85,78 65,55 30,62 15,80",
        "55,0 22,40 10,78 40,100 72,88 75,62 45,55 15,75",
        "88,8 50,12 15,50 15,85 50,100 85,85 80,58 50,52 20,70",
        "35,0 12,45 12,85 45,100 80,80 60,62 15,80",
        "60,0 15,40 5,80 30,100 85,88 92,68 55,65 15,88",
        "45,0 18,35 8,75 35,100 70,92 78,68 50,60 15,80",
    ],
    # 7
    [
        "5,8 50,6 92,3 92,3 60,50 35,100",
        "5,6 92,4 92,4 65,45 40,100 / 25,50 82,46",
        "8,25 8,6 8,6 60,8 90,4 90,4 62,50 48,100",
        "5,5 50,10 88,3 88,3 72,30 58,65 55,100",
        "5,20 30,5 70,5 80,20 60,60 45,100",
        "10,35 15,5 55,12 90,5 60,45 45,100",
        "5,15 30,3 55,10 92,5 92,5 58,55 42,100 / 30,52 80,50",
    ],
    # 8
    [
        "78,12 50,0 20,18 42,44 78,68 70,95 35,98 18,75 50,48 80,25 74,8",
        "50,48 18,28 35,3 70,4 80,28 50,48 20,68 25,95 60,100 82,78 50,48",
        "85,10 50,0 22,15 30,38 70,58 85,82 50,100 18,85 35,58 70,35 88,12",
        "80,20 45,0 25,20 50,48 75,75 55,100 25,85 45,55 85,5",
        "82,5 35,12 35,35 65,60 60,92 30,98 25,75 55,45 88,15",
        "50,45 20,30 30,2 68,0 80,25 50,45 50,45 15,72 35,100 75,95 82,68 50,45",
    ],
    # 9
    [
        "82,18 55,0 18,15 20,42 55,45 82,18 82,18 80,55 72,100",
        "80,12 45,0 12,22 30,48 65,40 82,12 82,12 82,60 60,95 20,98",
        "75,25 45,0 10,20 25,48 60,42 78,15 78,15 65,60 48,100",
        "70,12 35,3 10,30 30,52 65,38 80,8 80,8 78,55 74,100",
        "85,8 35,12 15,40 45,50 80,15 80,15 68,60 60,100",
        "78,8 40,2 15,28 40,45 75,28 80,5 80,5 78,50 76,100",
    ],
]


# ---------------------------------------------------------------- the data


def load_digits(source, subset):
    """Load images of digits and their labels.

    Args:
        source: "mnist" for MNIST from Keras's cache, or by download; "drawn"
            for digits that are drawn here; "auto" for MNIST, or drawn digits
            with a warning where MNIST cannot be had; or the path of an `.npz`
            file in the layout of Keras's `mnist.npz`.
        subset: "train" or "test".

    Returns:
        images: uint8 array of shape (n, 28, 28), 0 (ground) to 255 (ink).
        labels: int64 array of shape (n,), 0 to 9.
        name: str, which data they are.

    Raises:
        InputError: if the file is no such data set, or MNIST cannot be had.
    """
    if source == "drawn":
        return *load_drawn(subset), "drawn digits, not MNIST"
    if source not in ("auto", "mnist"):
        return *read_npz(source, subset), Path(source).name
    try:
        return *load_mnist(subset), "MNIST"
    except InputError as error:
        if source == "mnist":
            raise
        print_error(f"{error}; going on with digits that are drawn here", "warning")
        return load_digits("drawn", subset)


def load_mnist(subset):
    """Load MNIST from Keras's cache, or by download into it; see load_digits."""
    cache = Path(os.environ.get("KERAS_HOME", os.path.expanduser("~/.keras")), "datasets/mnist.npz")
    problem = ""
    if cache.is_file():
        try:
            return read_npz(cache, subset)
        except (InputError, OSError) as error:
            problem = f"; {error}"
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(10)  # seconds without a byte
    try:
        with progress_on_standard_error():
            train_set, test_set = keras.datasets.mnist.load_data()
    # Keras raises a plain Exception for most of what can go wrong here.
    except Exception as error:
        raise InputError(
            f"MNIST cannot be downloaded ({error}){problem};"
            " with a copy of mnist.npz use --data FILE"
        ) from error
    finally:
        socket.setdefaulttimeout(timeout)
    images, labels = train_set if subset == "train" else test_set
    return images, labels.astype(np.int64)


def load_drawn(subset):
    """Draw as many digits as MNIST has, always the same ones; see load_digits."""
    first, batches = {"train": (0, 60), "test": (60, 10)}[subset]
    print(f"Drawing {batches},000 digits", file=sys.stderr)
    with progress_on_standard_error() as verbose:
        bar = keras.utils.Progbar(batches, verbose=verbose, unit_name="batch")
        parts = []
        for seed in range(first, first + batches):
            parts.append(draw_digits(1000, seed))
            bar.add(1)
    images, labels = map(np.concatenate, zip(*parts))
    return images, labels


def draw_digits(count, seed):
    """Draw handwritten digits with a round pen.

    The strokes of HANDWRITING are shaken, slanted, stretched and turned at
    random, smoothed by Catmull-Rom splines, and placed as MNIST's are: in a
    box of 20x20, the centre of mass in the middle of 28x28.

    Args:
        count: int, how many.
        seed: int; the same seed draws the same digits.

    Returns:
        images: uint8 array of shape (count, 28, 28), 0 (ground) to 255 (ink).
        labels: int64 array of shape (count,), 0 to 9.
    """
    random = np.random.default_rng(seed)
    labels, choice = random.integers(0, CLASSES, count), random.random(count)
    images = np.zeros((count, *IMAGE_SHAPE), np.uint8)
    for digit, variants in enumerate(HANDWRITING):
        for number, variant in enumerate(variants):
            chosen = (labels == digit) & ((choice * len(variants)).astype(int) == number)
            images[chosen] = draw_variant(variant, np.count_nonzero(chosen), random)
    return images, labels


def draw_variant(variant, count, random):
    """Draw one variant of a digit in different hands.

    Args:
        variant: str, as in HANDWRITING.
        count: int, how many.
        random: numpy.random.Generator.

    Returns:
        uint8 array of shape (count, 28, 28).
    """
    strokes = [
        np.array([point.split(",") for point in stroke.split()], float) / 100 - 0.5
        for stroke in variant.split("/")
    ]
    paths = []
    stretch = np.exp(random.normal(0, 0.25, (count, 1, 2))) * (0.75, 1)
    for points in strokes:
        shaken = random.normal(0, 0.055, (count, len(points), 2))
        repeated = np.flatnonzero((points[1:] == points[:-1]).all(axis=1)) + 1
        shaken[:, repeated] = shaken[:, repeated - 1]
        paths.append(points * stretch + shaken + random.normal(0, 0.05, (count, 1, 2)))
    angle, slant = random.normal(0, 0.1, count), random.normal(0.15, 0.3, count)
    cos, sin = np.cos(angle), np.sin(angle)
    hand = np.array([[cos, sin], [-sin - slant, cos]]).transpose(2, 0, 1)
    lengths = [np.hypot(*np.diff(points, axis=0).T).sum() for points in strokes]
    samples = [max(4, round(80 * length / sum(lengths))) for length in lengths]
    lines = [spline(p.shape[1], n) @ p @ hand for p, n in zip(paths, samples)]
    steps = [np.diff(line, axis=1, append=line[:, -1:]) for line in lines]
    path = np.concatenate(lines, axis=1, dtype=np.float32)
    ink = np.hypot(*np.concatenate(steps, axis=1).T).T[..., np.newaxis]
    radius = random.uniform(0.8, 2.4, (count, 1, 1)).astype(np.float32)
    softness = random.uniform(1, 1.6, (count, 1, 1)).astype(np.float32)
    path -= path.min(axis=1, keepdims=True)
    path *= (20 - 2 * radius) / path.max(axis=(1, 2), keepdims=True)
    centre = (path * ink).sum(axis=1, keepdims=True) / ink.sum(axis=1, keepdims=True)
    path += (IMAGE_SHAPE[0] / 2 - centre).astype(np.float32)
    pixels = np.arange(IMAGE_SHAPE[0], dtype=np.float32)[:, np.newaxis]
    x, y = (pixels - path[:, np.newaxis, :, axis] for axis in (0, 1))
    distance = np.sqrt(((y * y)[:, :, np.newaxis] + (x * x)[:, np.newaxis]).min(axis=-1))
    return np.rint(255 * np.clip((radius - distance) / softness + 0.5, 0, 1)).astype(np.uint8)


def spline(points, samples):
    """Compute the matrix that takes control points to samples of a Catmull-Rom spline.

    E. Catmull and R. Rom, "A class of local interpolating splines", 1974.

    Args:
        points, samples: int, their numbers.

    Returns:
        float64 array of shape (samples, points).
    """
    place = np.linspace(0, points - 1, samples)
    start = np.minimum(place.astype(int), points - 2)
    u = place - start
    weights = (
        -0.5 * u + u**2 - 0.5 * u**3,
        1 - 2.5 * u**2 + 1.5 * u**3,
        0.5 * u + 2 * u**2 - 1.5 * u**3,
        -0.5 * u**2 + 0.5 * u**3,
    )
    matrix = np.zeros((samples, points))
    for offset, weight in enumerate(weights, start=-1):
        # At either end the last point stands in for the one beyond it.
        neighbour = np.clip(start + offset, 0, points - 1)
        np.add.at(matrix, (np.arange(samples), neighbour), weight)
    return matrix


def read_npz(path, subset):
    """Read the arrays x_SUBSET and y_SUBSET of an `.npz` file; see load_digits."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path}: is not a file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = []
            for name in (f"x_{subset}", f"y_{subset}"):
                if name not in archive.files:
                    raise InputError(f"{path}: there is no array {name} in it")
                if archive.zip.getinfo(f"{name}.npy").file_size > LARGEST_ARRAY_BYTES:
                    raise InputError(f"{path}: {name} is too large for a data set of digits")
                arrays.append(archive[name])
    except (FileNotFoundError, PermissionError, InputError):
        raise
    # A damaged or foreign file can raise nearly anything in zipfile and NumPy.
    except Exception as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from error
    images, labels = arrays
    if images.dtype != np.uint8 or images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise InputError(
            f"{path}: x_{subset} is {images.dtype} of shape {images.shape},"
            " not uint8 of shape (n, 28, 28)"
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
    except (KeyError, TypeError, ValueError) as error:
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
        history: dict of lists, one value an epoch: loss, accuracy, val_loss,
            val_accuracy.
        status: int, 0; or 130 or 143 if an interrupt (Ctrl-C) or SIGTERM
            stopped the training after at least one epoch.

    Raises:
        InputError: if the loss is no longer finite, or there is no such optimizer.
        KeyboardInterrupt, SystemExit: if one stopped the training before that.
    """
    batch_size = min(recipe.batch_size, len(train_set[0]))
    steps = math.ceil(len(train_set[0]) / batch_size)
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
    status = 0
    try:
        with progress_on_standard_error() as verbose:
            model.fit(
                training_batches(*train_set, batch_size, recipe.augment, seed),
                steps_per_epoch=steps,
                epochs=recipe.epochs,
                validation_data=(as_input(validation_images), np.eye(CLASSES)[validation_labels]),
                validation_batch_size=500,
                callbacks=[*callbacks, *more_callbacks],
                shuffle=False,  # training_batches has done it.
                verbose=verbose,
            )
    except (KeyboardInterrupt, SystemExit) as stop:
        if best.best_weights is None:
            raise
        status = getattr(stop, "code", INTERRUPTED)
    model.set_weights(best.best_weights)
    set_precision(model, "float32")
    return model.history.history, status


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


def print_statistics(data, epochs, results, validation_count, seconds, output):
    """Print the training statistics on standard output.

    Args:
        data: str, the name of the data.
        epochs: int, the epochs trained.
        results: (accuracy, loss) on the training set and on the validation set.
        validation_count: int, the number of validation images.
        seconds: float, the time that the training took.
        output: path of the saved network.
    """
    report("Training statistics")
    report(f"  data                 {data}")
    report(f"  epochs               {epochs}")
    for name, (accuracy, loss) in zip(("training", "validation"), results):
        report(f"  {name + ' accuracy':<20} {accuracy:.2%} (loss {loss:.4f})")
    report(f"  validation images    {validation_count:,}")
    report(f"  time                 {seconds:.1f} s")
    report(f"  network saved as     {output}")


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
        figure.savefig(partial, dpi=150, format="png")
    report(f"  plot saved as        {path}")


def show_plots():
    """Show all figures in windows until they are closed; without a display, do nothing."""
    with warnings.catch_warnings():
        # Without a display pyplot warns that there is no window.
        warnings.simplefilter("ignore")
        plt.show()


def plot_history(history, data):
    """Plot the accuracy and loss curves of both sets.

    Args:
        history: as train answers it.
        data: str, the name of the data.

    Returns:
        The Matplotlib figure.
    """
    epochs = range(1, len(history["loss"]) + 1)
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    figure.suptitle(f"Training on {data}")
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
        metavar="DATA",
        default="auto",
        help="mnist (downloaded once), drawn (digits that are drawn here), auto (mnist, or drawn"
        " where it cannot be had), or a mnist.npz that you have (default: %(default)s)",
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


def report(text):
    """Print results on standard output; go on without it if nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(message, kind="error"):
    """Print an error or a warning as one line on standard error."""
    line = f"{Path(sys.argv[0]).name}: {kind}: {message}"
    print(" ".join(line.split()), file=sys.stderr)


@contextlib.contextmanager
def run_as_script():
    """Run a script's main: what a user can put right or wants ends it with one line.

    The exit status is then 1, or 130 or 143 after an interrupt (Ctrl-C) or
    SIGTERM.
    """
    # A path or a bar may have characters that the terminal does not know.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))
    try:
        yield
    except InputError as error:
        print_error(str(error))
        sys.exit(1)
    except OSError as error:
        print_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print_error("interrupted")
        sys.exit(INTERRUPTED)


def main():
    arguments = parse_arguments()
    images, labels, data = load_digits(arguments.data, "train")
    train_set, validation_set = split(images, labels, arguments.validation_split)
    for path in (arguments.output, Path(arguments.plots) / CURVES_PLOT):
        check_writable(path)
    keras.utils.set_random_seed(arguments.seed)
    model = build_model(arguments.architecture, data)
    model.summary(print_fn=report)
    start = time.perf_counter()
    history, status = train(model, train_set, validation_set, arguments, arguments.seed)
    if arguments.calibrate:
        calibrate(model, *validation_set)
    seconds = time.perf_counter() - start
    save_model(model, arguments.output)
    epochs = len(history["val_loss"])
    if status:
        print_error(f"stopped; best of {epochs} epochs saved as {arguments.output}", "warning")
        sys.exit(status)
    results = evaluate(model, *train_set), evaluate(model, *validation_set)
    print_statistics(data, epochs, results, len(validation_set[0]), seconds, arguments.output)
    save_plot(plot_history(history, data), arguments.plots, CURVES_PLOT)
    show_plots()


if __name__ == "__main__":
    with run_as_script():
        main()
