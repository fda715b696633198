"""Odd surroundings, no MNIST, interrupts, kills, full disks and closed streams."""

import contextlib
import io
import json
import os
import signal
import socket
import time
import urllib.request
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import (
    DEADLINE,
    PREDICT,
    PROJECT,
    TRAIN,
    accuracy_in,
    files_in,
    linux_only,
    result,
    run_main,
    run_script,
    started,
)

import train_model
from train_model import keras

NETWORK = "digit_classifier.keras"
QUICK = ["--recipe=published", "--epochs=2", "--batch-size=600"]


@pytest.fixture
def digit(tmp_path):
    """Path of the picture of a digit."""
    image = 255 - np.kron(train_model.draw_digits(1, seed=0)[0][0], np.ones((4, 4), np.uint8))
    train_model.plt.imsave(tmp_path / "digit.png", image, cmap="gray")
    return tmp_path / "digit.png"


@pytest.fixture
def old(tmp_path):
    """What is in the folder before a run: an earlier network."""
    (tmp_path / NETWORK).write_bytes(b"an earlier network")
    return files_in(tmp_path)


@pytest.mark.parametrize(
    "module, status, said",
    [("import nothing", 1, "error: nothing is missing: "), ("raise KeyboardInterrupt", 130, "")],
)
def test_start_that_fails_says_why_in_a_line(tmp_path, module, status, said):
    (tmp_path / "cv2.py").write_text(module)
    run = run_script(PREDICT, cwd=tmp_path, status=status, PYTHONPATH=str(tmp_path))
    assert run.stderr.startswith(said) and len(run.stderr.splitlines()) < 2


SEEN = """
import train_model
keras, plt = train_model.keras, train_model.plt
train_model.save_plot(train_model.new_plot('', 4, 3), train_model.Path("a.png"), "A title")
print(keras.backend.backend(), keras.config.floatx(), keras.config.image_data_format())
print(keras.layers.Dense(1).compute_dtype, plt.get_backend())
"""


@pytest.mark.parametrize(
    "backend, of_plots, is_set", [("jax", "svg", True), ("nonsense", "module://nowhere.at", False)]
)
def test_settings_around_the_scripts_change_nothing(tmp_path, backend, of_plots, is_set):
    settings = {"floatx": "float64", "image_data_format": "channels_first", "backend": "torch"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    (tmp_path / "seen.py").write_text(SEEN)
    around = {"PYTHONPATH": str(PROJECT), "KERAS_HOME": str(tmp_path)}
    around |= {"KERAS_BACKEND": backend, "MPLBACKEND": of_plots}
    run = run_script(tmp_path / "seen.py", cwd=tmp_path, **around)
    *seen, plots = run.stdout.split()[-5:]
    assert seen == ["tensorflow", "float32", "channels_last", "float32"]
    assert (plots == of_plots) == is_set
    assert not run.stderr and (tmp_path / "a.png").is_file()


SAVE = f"""
matplotlib.pyplot.figure()
model = keras.Sequential([keras.Input(tensorflow.constant(2).shape), keras.layers.Flatten()])
while True:
    train_model.save_model(model, '{NETWORK}')
    print('saved', flush=True)
"""


def test_network_is_whole_at_any_time_while_scripts_save_it_and_are_killed(tmp_path):
    with contextlib.ExitStack() as stack:
        savers = []
        for order in (
            "keras, train_model, tensorflow, matplotlib.pyplot",
            "tensorflow, predict_model, matplotlib.pyplot, keras, train_model",
        ):
            path = tmp_path / f"{order}.py"
            path.write_text(f"import {order}{SAVE}")
            saver = started(path, cwd=tmp_path, PYTHONPATH=str(PROJECT))
            savers.append(stack.enter_context(saver))
        for saver in savers:
            assert saver.stdout.readline() == "saved\n", saver.stderr.read()
        for saver in savers:
            for pause in np.linspace(0, 0.03, 30):
                with zipfile.ZipFile(tmp_path / NETWORK) as network:
                    assert not network.testzip()
                time.sleep(pause)
            assert saver.poll() is None, saver.stderr.read()
            saver.kill()


@linux_only
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-"])
def test_closed_standard_streams_are_no_error(trained, digit, closed):
    options = "--model", trained[0], digit.name
    run = run_script(PREDICT, *options, cwd=digit.parent, redirection=closed)
    assert files_in(digit.parent)["plots/own_digits.png"].startswith(b"\x89PNG") and not run.stderr


def notebook_stream():
    """Make what a notebook has for standard output: text goes in, and little else is there."""
    parts = []
    return SimpleNamespace(write=parts.append, flush=lambda: None, getvalue=lambda: "".join(parts))


def ascii_stream():
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    stream.getvalue = lambda: stream.buffer.getvalue().decode("ascii")
    return stream


@linux_only  # Elsewhere names of files are text.
@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("stream", [notebook_stream, io.StringIO, ascii_stream])
@pytest.mark.parametrize("name", ["ünï数.png", "not \udcff text.png", "two  spaces.png"])
def test_any_stream_takes_the_name_of_any_file(trained, digit, stream, name):
    digit.rename(digit.with_name(name))
    out = stream()
    run_main(PREDICT, "--model", trained[0], name, cwd=digit.parent, stdout=out)
    assert "%" in out.getvalue()


@linux_only
def test_closed_pipe_is_no_error(trained, digit):
    options = ["--model", trained[0], digit.name]
    with started(PREDICT, *options, cwd=digit.parent, PYTHONUNBUFFERED="") as process:
        process.stdout.close()
        process.wait(DEADLINE)
        assert process.stderr.read() == "" and process.returncode == 1


@linux_only
def test_table_is_written_into_a_named_pipe(trained, digit):
    os.mkfifo(digit.parent / "pipe")
    reader = os.open(digit.parent / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        options = "--model", trained[0], digit.name, "--csv", "pipe"
        run_main(PREDICT, *options, cwd=digit.parent)
        assert b"\ndigit.png,1,1," in os.read(reader, 2**16)
    finally:
        os.close(reader)


def test_without_network_it_draws_digits_and_says_so(monkeypatch, tmp_path):
    draw = train_model.draw_digits
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: draw(count // 60, seed))
    run = run_main(TRAIN, "--epochs", 2, cwd=tmp_path)
    assert "train_model.py: warning: MNIST cannot be downloaded (" in run.stderr
    assert " of drawn digits, not MNIST and " in result(run.stdout, "trained on")
    run = run_main(PREDICT, cwd=tmp_path)
    assert "predict_model.py: warning: MNIST cannot be downloaded (" in run.stderr
    assert result(run.stdout, "data") == "test images of drawn digits, not MNIST"
    assert accuracy_in(run.stdout) > 30


def test_mnist_that_was_asked_for_is_not_replaced(tmp_path):
    run = run_main(TRAIN, "--data", "mnist", cwd=tmp_path, status=1)
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: MNIST cannot be") and "--data FILE" in last


@pytest.mark.parametrize("subset, number", [("train", 1), ("test", 2)])
def test_mnist_of_keras_is_taken_quietly(monkeypatch, capsys, subset, number):
    sets = [(np.full((3, 28, 28), n, np.uint8), np.full(3, n, np.uint8)) for n in (1, 2)]
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: print("bar") or sets)
    images, labels, name = train_model.load_digits("auto", subset)
    assert images[0, 0, 0] == labels[0] == number and name == "MNIST"
    assert capsys.readouterr() == ("", "bar\n")


def test_download_that_hangs_is_given_up(monkeypatch):
    set_timeout = socket.setdefaulttimeout
    monkeypatch.setattr(
        socket, "setdefaulttimeout", lambda seconds: set_timeout(seconds and seconds / 10)
    )
    monkeypatch.setattr(urllib.request, "_opener", None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(train_model.InputError, match="timed out"):
            train_model.load_digits("mnist", "train")
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    "epoch, said", [(0, "error: interrupted"), (1, f"network is saved as {NETWORK}")]
)
def test_interrupt_keeps_the_best_network_or_the_old_one(
    small_data, monkeypatch, tmp_path, old, epoch, said
):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in the background.
    # In a callback, as Python swallows what is raised in one of TensorFlow's finalizers.
    stop = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda now, logs: now == epoch and signal.raise_signal(signal.SIGINT)
    )
    monkeypatch.setattr(train_model.train, "__defaults__", ([stop],))
    run = run_main(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path, status=130)
    assert run.stderr.endswith(f"{said}\n") and files_in(tmp_path).keys() == {NETWORK}
    if epoch == 0:
        assert files_in(tmp_path) == old
    else:
        assert keras.saving.load_model(tmp_path / NETWORK).count_params() == 93_418


@linux_only
def test_full_disk_leaves_the_old_network(small_data, tmp_path, old):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        run = run_main(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path, status=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: ") and "too large" in last.lower()
    assert files_in(tmp_path) == old
