"""No MNIST, interrupts, kills, full disks, closed pipes and orders of import."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from conftest import PREDICT, PROJECT, TRAIN, accuracy_in, files_in, run_main, run_script, start
from PIL import Image

import train_model
from train_model import keras

QUICK = ["--epochs", 1, "--batch-size", 600]


def python(code, **settings):
    """Start a fresh Python, which finds the two scripts."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, **settings)


def test_importing_in_any_order_leaves_all_modules_whole(tmp_path):
    use = (
        "; assert keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).count_params() == 9"
        "; assert tensorflow.constant([1, 2]).shape == 2; matplotlib.pyplot.figure().savefig('a.png')"
        "; import sys; print('whole', file=sys.stderr)"
    )
    orders = [
        "train_model, tensorflow, keras, matplotlib.pyplot",
        "tensorflow, predict_model, keras, matplotlib.pyplot, train_model",
        "keras, train_model, matplotlib.pyplot, tensorflow, predict_model",
        "matplotlib.pyplot, predict_model, tensorflow, keras",
    ]
    for process in [python(f"import {order}{use}", cwd=tmp_path) for order in orders]:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0 and errors.endswith("whole\n"), errors


def test_a_missing_package_is_named():
    process = python("import sys; sys.modules['cv2'] = None; import predict_model")
    assert process.communicate()[1] == "error: cv2 is missing: pip install -r requirements.txt\n"
    assert process.returncode == 1


# ---------------------------------------------------------------- no MNIST


def test_without_network_it_draws_digits_and_says_so(tmp_path):
    run = run_script(TRAIN, "--epochs", 1, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert re.search(r"warning: MNIST cannot be downloaded \(.*refused", run.stderr)
    assert "data                 drawn digits, not MNIST\n" in run.stdout
    run = run_main(PREDICT, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "\npredict_model.py: warning: MNIST cannot be" in run.stderr
    assert "network              trained_on_drawn_digits_not_MNIST\n" in run.stdout
    assert "test images of drawn digits, not MNIST" in run.stdout
    assert accuracy_in(run.stdout) > 98
    assert len(files_in(tmp_path / "plots")) == 3


def test_mnist_by_name_never_falls_back(monkeypatch, tmp_path):
    (tmp_path / "datasets").mkdir()
    cache = tmp_path / "datasets" / "mnist.npz"
    cache.write_text("half a download")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    run = run_main(TRAIN, "--data", "mnist", cwd=tmp_path)
    last = run.stderr.splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith("train_model.py: error: MNIST cannot be downloaded")
    assert str(cache) in last and "--data FILE" in last
    assert files_in(tmp_path) == {"datasets": False, "datasets/mnist.npz": b"half a download"}


def test_mnist_of_the_cache_or_the_download_is_used(small_data, monkeypatch, tmp_path):
    sets = [(np.full((3, 28, 28), n, np.uint8), np.full(3, n, np.uint8)) for n in (1, 2)]
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda *path: sets)
    for number, subset in enumerate(("train", "test"), 1):
        images, labels, _ = train_model.load_digits("mnist", subset)
        assert images[0, 0, 0] == labels[0] == number and labels.dtype == np.int64
    (tmp_path / "datasets").mkdir()
    shutil.copy(small_data, tmp_path / "datasets" / "mnist.npz")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name in ("mnist", "auto"):
        assert len(train_model.load_digits(name, "test")[0]) == 300


def test_download_that_hangs_is_given_up(monkeypatch, tmp_path):
    given, set_timeout = [], socket.setdefaulttimeout

    def shorten(seconds):
        """Wait as the script would, but for a tenth of the time."""
        given.append(seconds)
        set_timeout(seconds and seconds / 10)

    monkeypatch.setattr(socket, "setdefaulttimeout", shorten)
    monkeypatch.setattr(urllib.request, "_opener", None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        run = run_main(TRAIN, "--data", "mnist", cwd=tmp_path)
    monkeypatch.setattr(urllib.request, "_opener", None)
    assert run.returncode == 1 and "timed out" in run.stderr.splitlines()[-1]
    assert 5 <= given[0] <= 30 and socket.getdefaulttimeout() is None


# ---------------------------------------------------------------- interrupts and kills


def stop_two(folders, line, *arguments):
    """Train in two folders until they say the line; stop one by Ctrl-C and one by SIGTERM."""
    processes = [start(TRAIN, *arguments, cwd=folder) for folder in folders]
    for process, number in zip(processes, (signal.SIGINT, signal.SIGTERM)):
        assert any(line in text for text in process.stderr)
        process.send_signal(number)
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [130, 143], errors
    assert "Traceback" not in "".join(errors)
    return errors


def test_interrupt_keeps_the_best_network_so_far(small_data, tmp_path_factory):
    folders = [tmp_path_factory.mktemp("stop") for _ in range(2)]
    errors = stop_two(folders, "Epoch 3/", "--data", small_data, "--epochs", 10_000)
    for folder, text in zip(folders, errors):
        assert text.endswith("stopped; the best epoch's network is saved as digit_classifier.keras\n")
        assert files_in(folder).keys() == {"digit_classifier.keras"}
        model = keras.saving.load_model(folder / "digit_classifier.keras")
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_interrupt_in_the_first_epoch_saves_nothing(small_data, tmp_path_factory):
    folders = [tmp_path_factory.mktemp("stop") for _ in range(2)]
    for folder in folders:
        (folder / "digit_classifier.keras").write_text("an earlier network")
    stop_two(folders, "Epoch 1/", "--data", small_data, "--batch-size", 1)
    for folder in folders:
        assert files_in(folder) == {"digit_classifier.keras": b"an earlier network"}


def test_two_runs_in_one_folder_and_kills_at_random_moments(small_data, tmp_path):
    begin, random, duration = time.monotonic(), np.random.default_rng(0), None
    for _ in range(4):
        processes = [start(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path) for _ in range(2)]
        # The first pair ends by itself. Then one is killed where files are written, about.
        for process, moment in zip(processes, (random.uniform(0.1, 0.8), random.uniform(0.8, 1.05))):
            if duration is not None:
                time.sleep(max(0, begin + duration * moment - time.monotonic()))
                process.kill()
            errors = process.communicate(timeout=600)[1]
            assert duration is not None or process.returncode == 0, errors
        if duration is None:
            duration = time.monotonic() - begin
            names = {"digit_classifier.keras", "plots", "plots/training_curves.png"}
            assert files_in(tmp_path).keys() == names
        model = keras.saving.load_model(tmp_path / "digit_classifier.keras")
        assert model.count_params() == 93_418
        begin = time.monotonic()


# ---------------------------------------------------------------- disks and pipes


def test_full_disk_leaves_the_old_files(small_data, tmp_path):
    (tmp_path / "digit_classifier.keras").write_text("an earlier network")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        run = run_main(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: ") and "too large" in last.lower()
    assert files_in(tmp_path) == {"digit_classifier.keras": b"an earlier network"}


def test_closed_pipe_is_no_error(trained, small_data, tmp_path):
    Image.fromarray(train_model.draw_digits(1, seed=0)[0][0]).save(tmp_path / "digit.png")
    scripts = [f'"{sys.executable}" -u "{PROJECT / name}"' for name in (TRAIN, PREDICT)]
    commands = [
        f'{scripts[0]} --data "{small_data}" --epochs 1 --batch-size 600 | head -n 1',
        f'{scripts[1]} --model "{trained[0]}" digit.png | true',
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(command, shell=True, cwd=tmp_path, **pipes) for command in commands
    ]
    for process, lines in zip(processes, (1, 0)):
        out, errors = process.communicate(timeout=300)
        assert len(out.splitlines()) == lines
        assert not re.search("error|Traceback|Exception", errors, re.IGNORECASE), errors
