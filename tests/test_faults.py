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
from pathlib import Path
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

NETWORK, OLD = "digit_classifier.keras", {"digit_classifier.keras": b"an earlier network"}
QUICK = ["--recipe=published", "--epochs=2", "--batch-size=600"]


@pytest.fixture
def digit(tmp_path):
    """Path of the picture of a digit."""
    image = 255 - np.kron(train_model.draw_digits(1, seed=0)[0][0], np.ones((4, 4), np.uint8))
    train_model.plt.imsave(tmp_path / "digit.png", image, cmap="gray")
    return tmp_path / "digit.png"


# ---------------------------------------------------------------- surroundings


@pytest.mark.parametrize(
    "module, status, said",
    [
        ("import nothing", 1, "error: nothing is missing: pip install -r requirements.txt\n"),
        ("raise KeyboardInterrupt", 130, ""),
    ],
)
def test_start_that_fails_says_why_in_a_line(tmp_path, module, status, said):
    (tmp_path / "cv2.py").write_text(module)
    run = run_script(PREDICT, cwd=tmp_path, status=status, PYTHONPATH=str(tmp_path))
    assert (run.stdout, run.stderr) == ("", said)


SEEN = """
import train_model
keras, plt = train_model.keras, train_model.plt
train_model.save_plot(train_model.new_plot('', 4, 3)[0], "a.png", "A title")
print(keras.backend.backend(), keras.config.floatx(), keras.config.dtype_policy().name)
print(keras.config.image_data_format(), keras.layers.Dense(1).compute_dtype)
"""


@pytest.mark.parametrize(
    "variables, settings",
    [
        (
            {"KERAS_BACKEND": "jax", "MPLBACKEND": "module://matplotlib_inline.backend_inline"},
            {"floatx": "float16"},
        ),
        ({"KERAS_BACKEND": "nonsense", "MPLBACKEND": "nonsense"}, {"floatx": "float64"}),
        (
            {"MPLBACKEND": "module://nowhere.at.all"},
            {"backend": "torch", "image_data_format": "channels_first"},
        ),
    ],
)
def test_settings_around_the_scripts_change_nothing(tmp_path, variables, settings):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    (tmp_path / "seen.py").write_text(SEEN)
    around = {"PYTHONPATH": str(PROJECT), "KERAS_HOME": str(tmp_path)} | variables
    run = run_script(tmp_path / "seen.py", cwd=tmp_path, **around)
    seen = ["tensorflow", "float32", "float32", "channels_last", "float32"]
    assert run.stdout.split()[-5:] == seen and not run.stderr
    assert (tmp_path / "a.png").is_file()


def test_plot_backend_that_is_there_is_used(tmp_path):
    (tmp_path / "a.py").write_text("import train_model; print(train_model.plt.get_backend())")
    run = run_script(tmp_path / "a.py", cwd=tmp_path, PYTHONPATH=str(PROJECT), MPLBACKEND="svg")
    assert run.stdout == "svg\n"


def test_imports_of_any_order_save_to_one_folder_until_killed(tmp_path):
    saves = f"""
matplotlib.pyplot.figure()
model = keras.Sequential([keras.Input(tensorflow.constant(2).shape), keras.layers.Flatten()])
while True:
    train_model.save_model(model, '{NETWORK}')
    print('saved', flush=True)"""
    with contextlib.ExitStack() as stack:
        savers = []
        for order in (
            "keras, train_model, tensorflow, matplotlib.pyplot",
            "predict_model, matplotlib.pyplot, tensorflow, keras, train_model",
            "tensorflow, predict_model, keras, train_model, matplotlib.pyplot",
        ):
            path = tmp_path / f"{order}.py"
            path.write_text(f"import {order}{saves}")
            saver = started(path, cwd=tmp_path, PYTHONPATH=str(PROJECT))
            savers.append(stack.enter_context(saver))
        for saver in savers:
            assert saver.stdout.readline() == "saved\n", saver.stderr.read()
        for saver in savers:
            for _ in range(30):
                with zipfile.ZipFile(tmp_path / NETWORK) as network:
                    assert not network.testzip()
                time.sleep(np.random.default_rng().uniform(0, 0.03))
            assert saver.poll() is None, saver.stderr.read()
            saver.kill()


# ---------------------------------------------------------------- streams


@linux_only
@pytest.mark.parametrize(
    "script, closed", [(TRAIN, "<&- >&- 2>&-"), (PREDICT, ">&-"), (TRAIN, "2>&-")]
)
def test_closed_standard_streams_are_no_error(trained, small_data, tmp_path, script, closed):
    options = {
        TRAIN: ["--data", small_data, *QUICK, "--epochs=1"],
        PREDICT: ["--data", small_data, "--model", trained[0]],
    }[script]
    run = run_script(script, *options, cwd=tmp_path, redirection=closed)
    assert not run.stderr and ("accuracy" in run.stdout) == (closed == "2>&-")
    for path in tmp_path.rglob("*.*"):  # No stream was written into a file.
        assert path.read_bytes()[:4] in (b"\x89PNG", b"PK\3\4")
    assert len([*tmp_path.rglob("*.*")]) == 2  # a network and a plot, or two plots


def notebook_stream(encoding):
    """Make what a notebook has for standard output: text goes in, and little else is there."""
    parts = []
    return SimpleNamespace(
        encoding=encoding, write=parts.append, flush=lambda: None, getvalue=lambda: "".join(parts)
    )


def ascii_stream():
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
    stream.getvalue = lambda: stream.buffer.getvalue().decode("ascii")
    return stream


STREAMS = pytest.mark.parametrize(
    "stream",
    [lambda: notebook_stream("UTF-8"), lambda: notebook_stream(None), io.StringIO, ascii_stream],
    ids=["notebook", "without encoding", "redirected", "ascii"],
)


@STREAMS
def test_training_prints_to_any_stream(small_data, monkeypatch, tmp_path, stream):
    def train(model, train_set, validation_set, **settings):
        names = "loss", "accuracy", "val_loss", "val_accuracy"
        return dict.fromkeys(names, [0.5]), False

    train.__kwdefaults__ = train_model.train.__kwdefaults__
    monkeypatch.setattr(train_model, "train", train)
    out = stream()
    run_main(TRAIN, "--data", small_data, "--recipe=published", cwd=tmp_path, stdout=out)
    assert "Training statistics" in out.getvalue()


@linux_only  # Elsewhere names of files are text.
@pytest.mark.filterwarnings("error::UserWarning")
@STREAMS
@pytest.mark.parametrize("name", ["ünï数.png", "not \udcff text.png", "two  spaces.png"])
def test_file_name_that_a_stream_cannot_print_is_no_error(trained, digit, stream, name):
    digit.rename(digit.with_name(name))
    out = stream()
    run_main(PREDICT, "--model", trained[0], name, cwd=digit.parent, stdout=out)
    assert "%" in out.getvalue()


@linux_only
@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_closed_pipe_is_no_error(trained, digit, unbuffered):
    options = ["--model", trained[0], digit.name]
    with started(PREDICT, *options, cwd=digit.parent, PYTHONUNBUFFERED=unbuffered) as process:
        process.stdout.close()
        process.wait(DEADLINE)
        assert process.stderr.read() == "" and process.returncode == 1


# ---------------------------------------------------------------- tables


@pytest.fixture
def table(trained, digit):
    """Read the digit with a table written to a path; returns the run."""
    return lambda path: run_main(
        PREDICT, "--model", trained[0], digit.name, "--csv", path, cwd=digit.parent
    )


def test_table_is_written_to_a_file(table, digit):
    table("a.csv")
    heading, row, end = (digit.parent / "a.csv").read_text(encoding="utf-8").split("\n")
    assert (
        heading.startswith("path,row,place,digit,confidence")
        and row.startswith("digit.png,")
        and not end
    )


@linux_only
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_table_is_written_into_what_is_no_file(table, digit, kind):
    path, (reader, writer) = digit.parent / "fifo", os.pipe()
    try:
        if kind == "fifo":
            os.mkfifo(path)
            os.dup2(os.open(path, os.O_RDONLY | os.O_NONBLOCK), reader)
        table("fifo" if kind == "fifo" else f"/dev/fd/{writer}")
        text = os.read(reader, 2**16).decode()
    finally:
        os.close(reader)
        os.close(writer)
    table("a.csv")
    assert text == (digit.parent / "a.csv").read_bytes().decode()
    assert path.is_fifo() == (kind == "fifo")


def test_table_on_standard_output_has_it_for_itself(table, digit):
    run = table("-")
    table("a.csv")
    assert run.stdout.splitlines() == (digit.parent / "a.csv").read_text("utf-8").splitlines()
    assert "digit.png\t" in run.stderr and not (digit.parent / "-").exists()


@linux_only
def test_table_on_standard_output_takes_any_file_name(trained, digit):
    name = "not \udcff text.png"
    digit.rename(digit.with_name(name))
    options = "--model", trained[0], name, "--csv", "-"
    assert "text.png," in run_main(PREDICT, *options, cwd=digit.parent).stdout


# ---------------------------------------------------------------- MNIST that cannot be had


def test_without_network_it_draws_digits_and_says_so(monkeypatch, tmp_path):
    draw = train_model.draw_digits
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: draw(count // 20, seed))
    run = run_main(TRAIN, "--epochs", 3, cwd=tmp_path)
    assert "train_model.py: warning: MNIST cannot be downloaded (" in run.stderr
    assert " of drawn digits, not MNIST and " in result(run.stdout, "trained on")
    run = run_main(PREDICT, cwd=tmp_path)
    assert "predict_model.py: warning: MNIST cannot be downloaded (" in run.stderr
    assert result(run.stdout, "network") == "trained_on_drawn_digits_not_MNIST"
    assert result(run.stdout, "data") == "test images of drawn digits, not MNIST"
    assert accuracy_in(run.stdout) > 90 and "of 500 images" in run.stdout


def test_mnist_that_was_asked_for_is_not_replaced(tmp_path):
    run = run_main(TRAIN, "--data", "mnist", cwd=tmp_path, status=1)
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: MNIST cannot be") and "--data FILE" in last


def test_another_file_in_the_place_of_mnist_is_not_called_mnist(small_data):
    cached = Path(os.environ["KERAS_HOME"], "datasets", "mnist.npz")
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(small_data.read_bytes())
    try:
        with pytest.raises(train_model.InputError, match="MNIST cannot be downloaded"):
            train_model.load_digits("mnist", "train")
    finally:
        cached.unlink(missing_ok=True)


@pytest.mark.parametrize("source", ["auto", "mnist"])
@pytest.mark.parametrize("subset, number", [("train", 1), ("test", 2)])
def test_mnist_of_keras_is_taken_quietly(monkeypatch, capsys, source, subset, number):
    sets = [(np.full((3, 28, 28), n, np.uint8), np.full(3, n, np.uint8)) for n in (1, 2)]
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: print("bar") or sets)
    images, labels, name = train_model.load_digits(source, subset)
    assert images[0, 0, 0] == labels[0] == number and labels.dtype == np.int64
    assert name == "MNIST" and capsys.readouterr() == ("", "bar\n")


def test_download_that_hangs_is_given_up(monkeypatch):
    given, set_timeout = [], socket.setdefaulttimeout

    def tenth(seconds):
        given.append(seconds)
        set_timeout(seconds and seconds / 10)

    monkeypatch.setattr(socket, "setdefaulttimeout", tenth)
    monkeypatch.setattr(urllib.request, "_opener", None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(train_model.InputError, match="timed out"):
            train_model.load_digits("mnist", "train")
    assert 5 <= given[0] <= 30 and socket.getdefaulttimeout() is None


# ---------------------------------------------------------------- ends before the end


@pytest.mark.parametrize(
    "epoch, said",
    [
        (0, "error: interrupted"),
        (1, f"warning: stopped; the best epoch's network is saved as {NETWORK}"),
    ],
)
def test_interrupt_keeps_the_best_network_if_there_is_one(
    small_data, monkeypatch, tmp_path, epoch, said
):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in the background.
    # In a callback, as Python swallows what is raised in one of TensorFlow's finalizers.
    stop = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda now, logs: now == epoch and signal.raise_signal(signal.SIGINT)
    )
    train = train_model.train
    monkeypatch.setattr(train, "__defaults__", ([stop],))
    (tmp_path / NETWORK).write_bytes(OLD[NETWORK])
    run = run_main(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path, status=130)
    assert run.stderr.endswith(f"train_model.py: {said}\n") and "statistics" not in run.stdout
    assert files_in(tmp_path).keys() == {NETWORK} and (files_in(tmp_path) == OLD) == (epoch == 0)
    assert epoch == 0 or keras.saving.load_model(tmp_path / NETWORK).count_params() == 93_418


@linux_only
def test_full_disk_leaves_the_old_network(small_data, tmp_path):
    import resource

    (tmp_path / NETWORK).write_bytes(OLD[NETWORK])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        run = run_main(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path, status=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: ") and "too large" in last.lower()
    assert files_in(tmp_path) == OLD
