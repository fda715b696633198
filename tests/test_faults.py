"""Odd surroundings, no MNIST, interrupts, full disks and closed pipes."""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import PREDICT, TRAIN, files_in, linux_only, run_main, sheet_of_fours, small_network

import train_model
from train_model import keras

NETWORK = train_model.MODEL_FILE
NAME = "数\udcff $_$.png" if sys.platform == "linux" else "$_$.png"  # on Linux any bytes


@pytest.fixture
def read_digit(four, tmp_path):
    """Return a function that runs predict_model.py on the picture of a digit of a strange name."""
    sheet_of_fours().save(tmp_path / NAME)
    return lambda **options: run_main(PREDICT, "--model", four, NAME, cwd=tmp_path, **options)


@pytest.fixture
def old(tmp_path):
    """What is in the folder before a run: an earlier network."""
    train_model.save_model(small_network(), tmp_path / NETWORK)
    return files_in(tmp_path)


def run_script(script, *arguments, cwd, status=0, **environment):
    """Run a script as a user does; returns what it printed."""
    command = [sys.executable, Path(train_model.__file__).with_name(script), *arguments]
    options = {"capture_output": True, "encoding": "utf-8", "timeout": 300}
    run = subprocess.run(command, cwd=cwd, env=os.environ | environment, **options)
    assert run.returncode == status, run.stderr
    return run


@pytest.mark.parametrize(
    "script, module, text, said",
    [
        (TRAIN, "cv2", "import nothing", "nothing is missing"),
        (PREDICT, "pi_heif", "import nothing", "nothing is missing"),
        (TRAIN, "cv2", "import keras; keras.__version__ = '3.13.2'", "Keras 3.14 or newer"),
    ],
)
def test_start_that_fails_says_what_to_do_in_a_line(tmp_path, script, module, text, said):
    (tmp_path / f"{module}.py").write_text(text)
    run = run_script(script, cwd=tmp_path, status=1, PYTHONPATH=str(tmp_path))
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"error: {said}") and line.endswith("pip install -r requirements.txt")


@linux_only  # Elsewhere names of files are text.
def test_odd_surroundings_change_nothing(small_data, tmp_path):
    data = tmp_path / "数\udcff $_$.npz"
    data.symlink_to(small_data)
    around = {"floatx": "float64", "image_data_format": "channels_first", "backend": "torch"}
    (tmp_path / "keras.json").write_text(json.dumps(around))
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # which fails
    odd = {"HOME": "/proc/none", "COLUMNS": "40", "PYTHONIOENCODING": "ascii"}
    odd |= {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path), "MPLBACKEND": "module://no.where"}
    options = "--data", data.name, "--output", "nét.h5", "--epochs=1"
    run = run_script(TRAIN, *options, cwd=tmp_path, **odd)
    assert r" n\xe9t.h5" in run.stdout
    progress = "Epoch", "loss", "synthetic digits"
    assert all(any(word in line for word in progress) for line in run.stderr.splitlines())
    with h5py.File(tmp_path / "nét.h5") as network:
        config = network.attrs["model_config"]
    assert not any(word in config for word in ("float64", "bfloat16", "channels_first"))
    assert (tmp_path / "plots" / "training_curves.png").is_file()


def test_network_is_the_old_one_while_another_is_saved_and_where_the_disk_is_full(
    tmp_path, monkeypatch, old
):
    def save(model, path):
        path.write_bytes(b"half")
        assert (tmp_path / NETWORK).read_bytes() == old[NETWORK]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Sequential, "save", save)
    with pytest.raises(OSError, match="No space"):
        train_model.save_model(small_network(), tmp_path / NETWORK)
    assert files_in(tmp_path) == old


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("is_notebook", [False, True])
def test_any_stream_takes_the_name_of_any_file(read_digit, is_notebook):
    parts = []
    # A notebook's stream takes text, and has little else.
    stream = SimpleNamespace(write=parts.append, flush=lambda: None) if is_notebook else None
    assert "%" in read_digit(stdout=stream).stdout + "".join(parts)


def test_garbage_is_collected_after_the_start_and_in_a_notebook_for_good(read_digit, monkeypatch):
    assert gc.isenabled()
    gc.unfreeze()
    monkeypatch.setitem(sys.modules, "IPython", None)
    read_digit()
    assert not gc.get_freeze_count()


def test_closed_pipe_is_no_error(read_digit):
    pipe, writer = os.pipe()
    os.close(pipe)
    with open(writer, "w", encoding="utf-8") as out:
        assert read_digit(status=1, stdout=out).stderr == ""


def test_without_network_as_many_synthetic_digits_as_mnists_are_made(monkeypatch, capsys):
    monkeypatch.setattr(train_model, "synthetic_digits", lambda count, seed: (count, seed))
    count, seed, name = train_model.load_digits("auto", "train")
    assert "warning: MNIST cannot be loaded (" in capsys.readouterr().err
    assert count == 60_000 and name == train_model.SYNTHETIC
    others, another_seed, same_name = train_model.load_digits("synthetic", "test")
    assert others == 10_000 and another_seed != seed and same_name == name


def test_without_network_an_earlier_network_is_kept_and_it_is_said_what_to_type(tmp_path, old):
    run = run_main(TRAIN, cwd=tmp_path, status=1)
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"{TRAIN}: error: MNIST cannot be loaded (")
    assert "--data FILE" in last and "--data synthetic" in last and files_in(tmp_path) == old


def test_mnist_of_keras_is_taken_quietly_and_a_download_that_hangs_given_up(monkeypatch, capsys):
    def load_data():
        print(socket.getdefaulttimeout())
        return "ab", "cd"

    monkeypatch.setattr(keras.datasets.mnist, "load_data", load_data)
    assert train_model.load_digits("auto", "train") == ("a", "b", "MNIST")
    assert train_model.load_digits("mnist", "test") == ("c", "d", "MNIST")
    assert capsys.readouterr() == ("", "10.0\n10.0\n") and socket.getdefaulttimeout() is None


def press_ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def spoil(model):
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])


@pytest.mark.parametrize(
    "what, epoch, status, said, is_saved",
    [
        (press_ctrl_c, 0, 130, "error: interrupted\n", False),
        (press_ctrl_c, 1, 0, "warning: interrupted; going on with the best epoch's", True),
        (press_ctrl_c, "calibration", 130, "error: interrupted\n", True),
        (spoil, 0, 1, "error: the loss is not finite", False),
        (spoil, 1, 0, "", True),
    ],
)
def test_what_ends_a_training_costs_no_epoch_before(
    small_data, monkeypatch, tmp_path, old, what, epoch, status, said, is_saved
):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in the background.
    model, train = small_network(), train_model.train
    # In a callback, as Python swallows what is raised in one of TensorFlow's finalizers.
    callback = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda now, logs: now == epoch and what(model)
    )
    monkeypatch.setattr(train_model, "train", lambda *given: train(*given, [callback]))
    monkeypatch.setattr(train_model, "build_model", lambda *_: model)
    if epoch == "calibration":
        monkeypatch.setattr(train_model, "calibrate", what)
    run = run_main(TRAIN, "--data", small_data, "--epochs=2", cwd=tmp_path, status=status)
    assert said in run.stderr
    assert (files_in(tmp_path) != old) == is_saved
    weights = keras.saving.load_model(tmp_path / NETWORK).get_weights()
    assert all(np.isfinite(array).all() for array in weights)
