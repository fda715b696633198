"""Odd surroundings, no MNIST, interrupts, kills, full disks and closed pipes."""

import json
import multiprocessing
import os
import signal
import socket
import time
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import (
    ANSWER,
    PREDICT,
    TRAIN,
    files_in,
    linux_only,
    network_answering,
    result,
    run_main,
    run_script,
    sheet_of_fours,
    small_network,
)

import train_model
from train_model import keras, plt

NETWORK = train_model.MODEL_FILE


@pytest.fixture
def digit(tmp_path):
    """Path of the picture of a digit, beside a network."""
    sheet_of_fours().save(tmp_path / "digit.png")
    network_answering(ANSWER, tmp_path / NETWORK)
    return tmp_path / "digit.png"


@pytest.fixture
def old(tmp_path):
    """What is in the folder before a run: an earlier network."""
    train_model.save_model(small_network(), tmp_path / NETWORK)
    return files_in(tmp_path)


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
    assert run.stderr.startswith(f"error: {said}")
    assert run.stderr.endswith(": pip install -r requirements.txt\n")
    assert run.stderr.count("\n") == 1


@linux_only  # Elsewhere names of files are text.
def test_odd_surroundings_change_nothing(small_data, tmp_path):
    data = tmp_path / "数\udcff $_$.npz"
    data.symlink_to(small_data)
    around = {"floatx": "float64", "image_data_format": "channels_first", "backend": "torch"}
    (tmp_path / "keras.json").write_text(json.dumps(around))
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    odd = {"HOME": "/proc/none", "COLUMNS": "40", "PYTHONIOENCODING": "ascii"}
    odd |= {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path), "MPLBACKEND": "module://no.where"}
    options = "--data", data.name, "--output", "nét.h5", "--epochs=1"
    run = run_script(TRAIN, *options, cwd=tmp_path, **odd)
    assert result(run.stdout, "network saved as") == r"n\xe9t.h5"
    assert all("synthetic" in line or "loss" in line for line in run.stderr.splitlines())
    with h5py.File(tmp_path / "nét.h5") as network:
        config = network.attrs["model_config"]
    assert not any(word in config for word in ("float64", "bfloat16", "channels_first"))
    assert (tmp_path / "plots" / "training_curves.png").is_file()


@pytest.mark.parametrize(
    "setting", [{"text.usetex": True}, {"image.origin": "lower"}, {"savefig.transparent": True}]
)
def test_matplotlibrc_changes_no_plot(digit, setting):
    plots = []
    for around in ({}, setting):
        with plt.rc_context(around):
            run_main(PREDICT, digit.name, cwd=digit.parent)
            assert all(plt.rcParams[name] == value for name, value in around.items())
        plots.append((digit.parent / "plots" / "own_digits.png").read_bytes())
    assert plots[0] == plots[1]


def test_full_disk_leaves_the_old_network(tmp_path, monkeypatch, old):
    def save(model, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.Sequential, "save", save)
    with pytest.raises(OSError, match="No space"):
        train_model.save_model(small_network(), tmp_path / NETWORK)
    assert files_in(tmp_path) == old


def save_again_and_again(path):
    """Save a network in two parts, as a slow disk does, under the process number of another."""

    def save(_, path):
        with zipfile.ZipFile(path, "w") as file:
            for name in "ab":
                file.writestr(name, bytes(2**20))
                time.sleep(0.002)

    os.getpid, keras.Sequential.save, network = lambda: 1, save, small_network()
    while True:
        train_model.save_model(network, path)


@linux_only
def test_network_is_whole_at_any_time_while_two_processes_save_it_and_are_killed(tmp_path):
    path, fork = tmp_path / NETWORK, multiprocessing.get_context("fork")
    savers = [fork.Process(target=save_again_and_again, args=[path], daemon=True) for _ in "ab"]
    for saver in savers:
        saver.start()
    savers[0].join(1)
    for saver in savers:
        for pause in np.linspace(0, 0.01, 50):
            with zipfile.ZipFile(path) as network:
                assert not network.testzip()
            time.sleep(pause)
        assert saver.is_alive()
        saver.kill()


@linux_only  # Elsewhere names of files are text.
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("is_notebook", [False, True])
def test_any_stream_takes_the_name_of_any_file(digit, is_notebook):
    name = "数\udcff $_$.png"
    digit.rename(digit.with_name(name))
    parts = []
    # A notebook's stream takes text, and has little else.
    stream = SimpleNamespace(write=parts.append, flush=lambda: None) if is_notebook else None
    run = run_main(PREDICT, name, cwd=digit.parent, stdout=stream)
    assert "%" in run.stdout + "".join(parts)


def test_closed_pipe_is_no_error(digit):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as out:
        run = run_main(PREDICT, digit.name, cwd=digit.parent, status=1, stdout=out)
    assert run.stderr == ""


def test_without_network_as_many_synthetic_digits_as_mnists_are_made(monkeypatch, capsys):
    monkeypatch.setattr(train_model, "synthetic_digits", lambda count, seed: (count, seed))
    count, seed, name = train_model.load_digits("auto", "train")
    error = capsys.readouterr().err
    assert "warning: MNIST cannot be downloaded (" in error and "synthetic" in error
    assert count == 60_000 and name == train_model.SYNTHETIC
    others, another_seed, same_name = train_model.load_digits("synthetic", "test")
    assert others == 10_000 and another_seed != seed and same_name == name


def test_without_network_an_earlier_network_is_kept_and_it_is_said_what_to_type(tmp_path, old):
    run = run_main(TRAIN, cwd=tmp_path, status=1)
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"{TRAIN}: error: MNIST cannot be downloaded (")
    assert "--data FILE" in last and "--data synthetic" in last and files_in(tmp_path) == old


def test_plot_backend_whose_package_is_missing_is_told_in_a_line(monkeypatch, digit):
    def refuse(*_, **__):
        raise RuntimeError("The WebAgg backend requires Tornado.")

    monkeypatch.setattr(plt, "figure", refuse)
    run = run_main(PREDICT, digit.name, cwd=digit.parent, status=1)
    (line,) = run.stderr.splitlines()
    assert "requires Tornado" in line and "MPLBACKEND" in line


@pytest.mark.parametrize("subset, number", [("train", 1), ("test", 2)])
def test_mnist_of_keras_is_taken_quietly(monkeypatch, capsys, subset, number):
    sets = [(np.full((3, 28, 28), n, np.uint8), np.full(3, n, np.uint8)) for n in (1, 2)]
    # A download that hangs is given up after 10 seconds.
    monkeypatch.setattr(
        keras.datasets.mnist, "load_data", lambda: print(socket.getdefaulttimeout()) or sets
    )
    images, labels, name = train_model.load_digits("auto", subset)
    assert images[0, 0, 0] == labels[0] == number and name == "MNIST"
    assert capsys.readouterr() == ("", "10.0\n") and socket.getdefaulttimeout() is None


def press_ctrl_c(*_):
    signal.raise_signal(signal.SIGINT)


def spoil(model):
    model.set_weights([np.full_like(array, np.nan) for array in model.get_weights()])


KEPT = "warning: interrupted; going on with the best epoch's network"


@pytest.mark.parametrize(
    "what, epoch, status, said, is_saved",
    [
        (press_ctrl_c, 0, 130, "error: interrupted", False),
        (press_ctrl_c, 1, 0, KEPT, True),
        (press_ctrl_c, "calibration", 130, "error: interrupted", True),
        (
            spoil,
            0,
            1,
            "error: the loss is not finite: another optimizer or learning rate may help",
            False,
        ),
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
    assert run.stderr.endswith(f"{said}\n")
    assert (files_in(tmp_path) != old) == is_saved
    weights = keras.saving.load_model(tmp_path / NETWORK).get_weights()
    assert all(np.isfinite(array).all() for array in weights)
