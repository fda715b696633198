"""What the tests share: ways to run the scripts, drawings, small data and networks."""

import io
import itertools
import os
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
os.environ["MPLBACKEND"] = "agg"
os.environ["KERAS_HOME"] = tempfile.mkdtemp()  # The user's MNIST is neither used nor changed.
os.environ["https_proxy"] = "http://127.0.0.1:9"  # No test gets data from elsewhere.

import predict_model
import train_model

TRAIN, PREDICT = "train_model.py", "predict_model.py"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="uses what only Linux has")

# Strokes on a square from 0 to 1.
FOUR = [[(0.55, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.65, 0.35), (0.65, 0.9)]]
FIVE = [[(0.35, 0.32), (0.35, 0.5), (0.6, 0.48), (0.63, 0.65), (0.55, 0.85), (0.35, 0.8)]]
BAR = [[(0.38, 0.18), (0.7, 0.17)]]


def draw(strokes, size=200, width=None, place=(0, 0), canvas=None, ink=0, ground=255, mode="L"):
    """Draw strokes with a pen, dark on light by default; returns a PIL image."""
    image = Image.new(mode, canvas or (size, size), ground)
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = np.ravel(np.multiply(stroke, size) + place).tolist()
        pen.line(points, fill=ink, width=width or size // 12, joint="curve")
    return image


def sheet_of_fours(rows=(1,), size=120):
    """Draw rows of so many fours on white paper, each in a square of so many pixels."""
    places = [(place, row) for row, digits in enumerate(rows) for place in range(digits)]
    strokes = [np.add(stroke, place) for place in places for stroke in FOUR]
    return draw(strokes, size, canvas=(size * max(1, *rows), size * len(rows)))


def reader(*answers):
    """Make a network that returns these digits, each with a confidence, in turn."""
    turns = itertools.cycle(answers)

    def predict_on_batch(batch):
        return np.array([share * np.eye(10)[digit] for _, (digit, share) in zip(batch, turns)])

    return SimpleNamespace(input_shape=(None, 28, 28, 1), predict_on_batch=predict_on_batch)


def read_as_fours(image):
    """Find the digits in an image, by a network that is certain of all it sees."""
    return predict_model.predict_digits(reader((4, 1.0)), image)


def likeness(image, picture):
    """Correlation of the only digit of an image with a picture, from -1 to 1."""
    (digit,) = read_as_fours(image)
    return np.corrcoef(digit.picture.ravel(), picture.ravel())[0, 1]


def run_main(script, *arguments, cwd, status=0, stdout=None):
    """Run a script in this process, which saves its start; returns what it printed."""
    train_model.plt.close("all")  # what the run before left
    # As a terminal of today is: UTF-8, and strict.
    own = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    error = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.chdir(cwd)
        patch.setattr(sys, "stdout", stdout or own)
        patch.setattr(sys, "stderr", error)
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        module = {TRAIN: train_model, PREDICT: predict_model}[script]
        train_model.run_as_script(module.main)
    assert int(end.value.code or 0) == status, (arguments, error.getvalue())
    return SimpleNamespace(stdout=own.buffer.getvalue().decode(), stderr=error.getvalue())


def result(text, name):
    """Return a result that a script printed by its name."""
    return re.search(rf"^ *{name}  +(.*)$", text, re.MULTILINE)[1]


def files_in(folder):
    """Return the paths of all files and folders below a folder, and the content of the files."""
    paths = folder.rglob("*")
    return {str(it.relative_to(folder)): it.is_file() and it.read_bytes() for it in paths}


def small_network(shape=(28, 28, 1), last=None):
    """Make a network of one layer, which Keras trains and saves in no time."""
    keras = train_model.keras
    last = last or keras.layers.Dense(10, "softmax")
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), last])


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Path of a small file laid out as Keras's mnist.npz."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    images, labels = train_model.synthetic_digits(1500, 1)
    # Big integers of 16 bits, with an axis for colour, are digits, too.
    np.savez(path, x_train=images[..., np.newaxis].astype(">u2"), y_train=np.uint8(labels))
    return path


@pytest.fixture(scope="session")
def trained(small_data, tmp_path_factory):
    """Path of a network that train_model.py made, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(train_model.RECIPE, "batch_size", 32)  # So few images need more steps.
        run = run_main(TRAIN, "--data", small_data, cwd=folder)
    return folder / train_model.MODEL_FILE, run


@pytest.fixture(scope="session")
def network(trained):
    """Load the trained network."""
    return predict_model.load_model(trained[0])


# What a network returns that reads any image as a four, or with less confidence as a five.
ANSWER = [0.01, *[0.001] * 3, 0.83, 0.153, *[0.001] * 4]


@pytest.fixture(scope="session")
def four(tmp_path_factory):
    """Path of a network that reads any image as a four."""
    path, model = tmp_path_factory.mktemp("four") / "a.keras", train_model.build_model()
    *weights, _ = [0 * array for array in model.get_weights()]
    model.set_weights([*weights, np.log(ANSWER)])
    train_model.save_model(model, path)
    return path
