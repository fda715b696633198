"""Fixtures: small data drawn here, a network trained on it, and real MNIST where there is one."""

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
os.environ["MPLBACKEND"] = "agg"
os.environ["KERAS_HOME"] = tempfile.mkdtemp()  # The user's MNIST is neither used nor changed.
os.environ["https_proxy"] = "http://127.0.0.1:9"  # No test gets data from elsewhere.

import predict_model
import train_model

TRAIN, PREDICT = "train_model.py", "predict_model.py"
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}


def start(script, *arguments, cwd, **environment):
    """Start a script as a user does; answers the Popen."""
    command = [sys.executable, PROJECT / script, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=os.environ | environment, **PIPES)


def run_script(script, *arguments, cwd, **environment):
    """Run a script as a user does, to a good end; answers what it printed."""
    process = start(script, *arguments, cwd=cwd, **environment)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return subprocess.CompletedProcess([], 0, out, err)


def run_main(script, *arguments, cwd, status=0):
    """Run a script in this process, which saves its start; answers what it printed."""
    train_model.plt.close("all")  # what the run before left
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.chdir(cwd)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        with train_model.run_as_script():
            {TRAIN: train_model, PREDICT: predict_model}[script].main()
        sys.exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert int(end.value.code or 0) == status, (arguments, err.getvalue())
    return subprocess.CompletedProcess([], status, out.buffer.getvalue().decode(), err.getvalue())


def accuracy_in(text):
    """Answer the first accuracy that predict_model.py printed, in per cent."""
    return float(re.search(r"^accuracy +([\d.]+)% of", text, re.MULTILINE)[1])


def files_in(folder):
    """Answer the paths of all files and folders below a folder, and the content of the files."""
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes()
            for path in folder.rglob("*")}


def network_answering(probabilities, path):
    """Save a network that answers these probabilities for every image."""
    model = train_model.build_model()
    *weights, _ = [0 * array for array in model.get_weights()]
    model.set_weights([*weights, np.log(probabilities)])
    train_model.save_model(model, path)


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Path of a small file laid out as Keras's mnist.npz."""
    path = tmp_path_factory.mktemp("dïgits 数字") / "small \udcff.npz"  # its name no text
    (images, labels), (more, others) = map(train_model.draw_digits, (1500, 300), (1, 2))
    np.savez_compressed(path, x_train=images, y_train=np.uint8(labels), x_test=more, y_test=others)
    return path


@pytest.fixture(scope="session")
def trained(small_data, tmp_path_factory):
    """Path of a network that train_model.py made in odd surroundings, and what it printed."""
    path = tmp_path_factory.mktemp("träined") / "nét.keras"
    odd = dict(HOME="/proc/none", COLUMNS="40", PYTHONIOENCODING="ascii", MPLBACKEND="", DISPLAY="")
    options = "--data", small_data, "--batch-size", 32, "--output", path.name
    return path, run_script(TRAIN, *options, cwd=path.parent, **odd)


@pytest.fixture(scope="session")
def mnist():
    """Path of the real MNIST; tests that need it are skipped where there is none."""
    path = Path(os.environ.get("MNIST_NPZ", PROJECT.parent / "shared" / "mnist.npz"))
    if not path.is_file():
        pytest.skip(f"needs the real MNIST: {path} is missing (MNIST_NPZ names another file)")
    return path.resolve()
