"""Odd surroundings, no MNIST, interrupts, kills, full disks and closed streams."""

import io
import json
import multiprocessing
import os
import signal
import socket
import time
import urllib.request
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PREDICT, PROJECT, TRAIN, files_in, linux_only, run_main, run_script

import train_model
from train_model import keras

NETWORK = "digit_classifier.keras"


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
    "backend, of_plots, is_set",
    [("jax", "svg", True), ("nonsense", "module://nowhere.at", False), ("torch", "no such", False)],
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


def save_again_and_again(path):
    """Save what stands for a network, in two parts, as a disk is slow."""

    def save(path):
        with zipfile.ZipFile(path, "w") as file:
            for name in "ab":
                file.writestr(name, bytes(2**20))
                time.sleep(0.002)

    network = SimpleNamespace(compile=lambda *_, **__: None, layers=[], save=save)
    while True:
        train_model.save_model(network, path)


@linux_only
def test_network_is_whole_at_any_time_while_two_processes_save_it_and_are_killed(tmp_path):
    fork = multiprocessing.get_context("fork")
    path = tmp_path / NETWORK
    saver = {"target": save_again_and_again, "args": [path], "daemon": True}
    savers = [fork.Process(**saver) for _ in range(2)]
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


@linux_only
@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", ">&-"])
def test_closed_standard_streams_are_no_error(trained, small_data, tmp_path, closed):
    options = "--data", small_data, "--model", trained[0], "--plots", "."
    run = run_script(PREDICT, *options, cwd=tmp_path, redirection=closed)
    files = files_in(tmp_path)
    assert not run.stderr
    assert files.keys() == {"misclassified.png", "confusion_matrix.png"}
    assert all(content.startswith(b"\x89PNG") for content in files.values())


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
@pytest.mark.parametrize("stream", [notebook_stream, ascii_stream])
def test_any_stream_takes_the_name_of_any_file(trained, digit, stream):
    name = "数\udcff $_$.png"
    digit.rename(digit.with_name(name))
    out = stream()
    run_main(PREDICT, "--model", trained[0], name, cwd=digit.parent, stdout=out)
    assert "%" in out.getvalue()


def test_closed_pipe_is_no_error(trained, digit):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as out:
        options = "--model", trained[0], digit.name
        run = run_main(PREDICT, *options, cwd=digit.parent, status=1, stdout=out)
    assert run.stderr == ""


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


def test_without_network_as_many_digits_as_mnists_are_drawn_and_it_is_said(monkeypatch, capsys):
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: (count, seed))
    count, seed, name = train_model.load_digits("auto", "train")
    assert "warning: MNIST cannot be downloaded (" in capsys.readouterr().err
    assert count == 60_000 and name == "drawn digits, not MNIST"
    others, another_seed, same_name = train_model.load_digits("drawn", "test")
    assert others == 10_000 and another_seed != seed and same_name == name


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
    options = "--data", small_data, "--recipe=published", "--epochs=2", "--batch-size=600"
    run = run_main(TRAIN, *options, cwd=tmp_path, status=130)
    assert run.stderr.endswith(f"{said}\n") and files_in(tmp_path).keys() == {NETWORK}
    if epoch == 0:
        assert files_in(tmp_path) == old
    else:
        assert keras.saving.load_model(tmp_path / NETWORK).count_params() == 93_418


@linux_only
def test_full_disk_leaves_the_old_network(tmp_path, old):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="(?i)too large"):
            train_model.save_model(train_model.build_model(), tmp_path / NETWORK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files_in(tmp_path) == old
