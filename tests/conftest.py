"""What the tests share: ways to run the scripts, small data, a network trained on them."""

import io
import os
import re
import signal
import subprocess
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
LINUX = sys.platform == "linux"
linux_only = pytest.mark.skipif(not LINUX, reason="uses what only Linux has")
DEADLINE = 300  # seconds for a test or a script, on a slow machine

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


@pytest.fixture(autouse=True)
def deadline():
    """End a test that hangs."""
    if LINUX:
        signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"hangs: {DEADLINE} seconds are over"))
        signal.alarm(DEADLINE)
    yield
    if LINUX:
        signal.alarm(0)


def run_script(script, *arguments, cwd, status=0, **environment):
    """Run a script as a user does; returns what it printed."""
    command = [sys.executable, str(PROJECT / script), *map(str, arguments)]
    options = {"capture_output": True, "encoding": "utf-8", "timeout": DEADLINE}
    run = subprocess.run(command, cwd=cwd, env=os.environ | environment, **options)
    assert run.returncode == status, run.stderr
    return run


def run_main(script, *arguments, cwd, status=0, stdout=None):
    """Run a script in this process, which saves its start; returns what it printed."""
    train_model.plt.close("all")  # what the run before left
    # As a terminal of today is: UTF-8, and strict.
    own = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    out, err = stdout or own, io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.chdir(cwd)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        module = {TRAIN: train_model, PREDICT: predict_model}[script]
        train_model.run_as_script(module.main)
    assert int(end.value.code or 0) == status, (arguments, err.getvalue())
    text = own.buffer.getvalue().decode()
    return subprocess.CompletedProcess(arguments, status, text, err.getvalue())


def result(text, name):
    """Return a result that a script printed by its name."""
    return re.search(rf"^ *{name}  +(.*)$", text, re.MULTILINE)[1]


def accuracy_in(text):
    """Return the first accuracy that predict_model.py printed, in per cent."""
    return float(result(text, "accuracy").partition("% of ")[0])


def files_in(folder):
    """Return the paths of all files and folders below a folder, and the content of the files."""
    return {
        str(path.relative_to(folder)): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def small_network(shape=(28, 28, 1)):
    """Make a network of one layer, which Keras trains and saves in no time."""
    keras = train_model.keras
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential(layers)


def network_answering(probabilities, path):
    """Save a network that returns these probabilities for every image."""
    model = train_model.build_model()
    *weights, _ = [0 * array for array in model.get_weights()]
    model.set_weights([*weights, np.log(probabilities)])
    train_model.save_model(model, path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Path of a small file laid out as Keras's mnist.npz."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    (images, labels), (more, others) = map(train_model.synthetic_digits, (1500, 300), (1, 2))
    np.savez_compressed(path, x_train=images, y_train=np.uint8(labels), x_test=more, y_test=others)
    return path


@pytest.fixture(scope="session")
def trained(small_data, tmp_path_factory):
    """Path of a network that train_model.py made, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(train_model.RECIPE, "batch_size", 32)
        run = run_main(TRAIN, "--data", small_data, cwd=folder)
    return folder / train_model.MODEL_FILE, run


# What a network returns that reads any image as a four, or with less confidence as a five.
ANSWER = [0.01, *[0.001] * 3, 0.83, 0.153, *[0.001] * 4]


@pytest.fixture(scope="session")
def four(tmp_path_factory):
    """Path of a network that reads any image as a four."""
    path = tmp_path_factory.mktemp("four") / "a.keras"
    network_answering(ANSWER, path)
    return path


@pytest.fixture(scope="session")
def network(trained):
    """Load the trained network."""
    return predict_model.load_model(trained[0])


@pytest.fixture(scope="session")
def mnist():
    """Path of the real MNIST; tests that need it are skipped where there is none."""
    path = Path(os.environ.get("MNIST_NPZ", PROJECT.parent / "shared" / "mnist.npz"))
    if not path.is_file():
        pytest.skip(f"needs the real MNIST: {path} is missing (MNIST_NPZ names another file)")
    return path.resolve()


def sheet_of_fours(rows=(1,), size=120):
    """Draw rows of so many fours on white paper, each in a square of so many pixels."""
    places = [(place, row) for row, digits in enumerate(rows) for place in range(digits)]
    strokes = [np.add(stroke, place) for place in places for stroke in FOUR]
    return draw(strokes, size, canvas=(size * max(1, *rows), size * len(rows)))


def find_digits(image):
    """Find the digits in an image, by a network that is certain of all it sees."""
    certain = SimpleNamespace(
        input_shape=(None, 28, 28, 1), predict_on_batch=lambda batch: np.eye(10)[[4] * len(batch)]
    )
    return predict_model.predict_digits(certain, image)
