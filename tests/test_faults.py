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
from conftest import PIPES, PREDICT, PROJECT, TRAIN, accuracy_in, files_in, run_main, start
from PIL import Image

import train_model
from train_model import keras

NETWORK, OLD = "digit_classifier.keras", {"digit_classifier.keras": b"an earlier network"}
QUICK = ["--epochs", 1, "--batch-size", 600]


def python(code, **settings):
    """Start a fresh Python, which finds the two scripts."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **PIPES, **settings)


def test_importing_in_any_order_leaves_all_modules_whole(tmp_path):
    use = (
        "; assert keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).count_params() == 9"
        "; assert tensorflow.constant([1, 2]).shape == 2"
        "; matplotlib.pyplot.figure().savefig('a.png'); import sys; print('whole', file=sys.stderr)"
    )
    orders = [
        "train_model, tensorflow, keras, matplotlib.pyplot",
        "tensorflow, predict_model, keras, matplotlib.pyplot, train_model",
        "matplotlib.pyplot, keras, predict_model, tensorflow",
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
    run = run_main(TRAIN, "--epochs", 1, cwd=tmp_path)
    assert re.search(r"warning: MNIST cannot be downloaded \(.*refused", run.stderr)
    assert "data                 drawn digits, not MNIST\n" in run.stdout
    run = run_main(PREDICT, cwd=tmp_path)
    assert "predict_model.py: warning: MNIST cannot be" in run.stderr
    assert "network              trained_on_drawn_digits_not_MNIST\n" in run.stdout
    assert "test images of drawn digits, not MNIST" in run.stdout
    assert accuracy_in(run.stdout) > 98 and "of 10,000 images" in run.stdout
    assert len(files_in(tmp_path / "plots")) == 3


def test_mnist_by_name_never_falls_back(monkeypatch, tmp_path):
    (tmp_path / "datasets").mkdir()
    cache = tmp_path / "datasets" / "mnist.npz"
    cache.write_text("half a download")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    last = run_main(TRAIN, "--data", "mnist", cwd=tmp_path, status=1).stderr.splitlines()[-1]
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
        run = run_main(TRAIN, "--data", "mnist", cwd=tmp_path, status=1)
    set_timeout(None)
    urllib.request._opener = None
    assert "timed out" in run.stderr.splitlines()[-1] and 5 <= given[0] <= 30


# ---------------------------------------------------------------- interrupts and kills


def stop_two(make, content, line, *arguments):
    """Train in two folders until they say the line; stop one by Ctrl-C and one by SIGTERM."""
    folders = [make("stop") for _ in range(2)]
    for folder in folders:
        (folder / NETWORK).write_bytes(content)
    processes = [start(TRAIN, *arguments, cwd=folder) for folder in folders]
    for process, number in zip(processes, (signal.SIGINT, signal.SIGTERM)):
        assert any(line in text for text in process.stderr)
        process.send_signal(number)
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [130, 143], errors
    assert "Traceback" not in "".join(errors)
    return folders, errors


def test_interrupt_keeps_the_best_network_so_far(small_data, tmp_path_factory):
    arguments = "Epoch 3/", "--data", small_data, "--epochs", 10_000
    for folder, text in zip(*stop_two(tmp_path_factory.mktemp, OLD[NETWORK], *arguments)):
        assert text.endswith(f"stopped; the best epoch's network is saved as {NETWORK}\n")
        assert files_in(folder).keys() == {NETWORK}
        model = keras.saving.load_model(folder / NETWORK)
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_interrupt_in_the_first_epoch_saves_nothing(small_data, tmp_path_factory):
    arguments = "Epoch 1/", "--data", small_data, "--batch-size", 1
    folders, _ = stop_two(tmp_path_factory.mktemp, OLD[NETWORK], *arguments)
    assert all(files_in(folder) == OLD for folder in folders)


def test_two_runs_may_share_a_folder(small_data, tmp_path):
    pair = [start(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path) for _ in range(2)]
    for process in pair:
        assert process.wait(timeout=300) == 0, process.communicate()
    assert files_in(tmp_path).keys() == {NETWORK, "plots", "plots/training_curves.png"}


def test_kills_leave_a_whole_network(tmp_path):
    save = f"save_model(model, '{NETWORK}'); print('saved', flush=True)"
    code = f"from train_model import *; model = build_model()\nwhile True: {save}"
    random = np.random.default_rng(0)
    for process in [python(code, cwd=tmp_path) for _ in range(6)]:
        assert process.stdout.readline() == "saved\n"
        time.sleep(random.uniform(0, 0.1))
        process.kill()
        process.communicate()
        assert keras.saving.load_model(tmp_path / NETWORK).count_params() == 93_418


# ---------------------------------------------------------------- disks and pipes


def test_full_disk_leaves_the_old_files(small_data, tmp_path):
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


def test_closed_pipe_is_no_error(trained, small_data, tmp_path):
    Image.fromarray(train_model.draw_digits(1, seed=0)[0][0]).save(tmp_path / "digit.png")
    scripts = [f'"{sys.executable}" -u "{PROJECT / name}"' for name in (TRAIN, PREDICT)]
    commands = [
        f'{scripts[0]} --data "{small_data}" --epochs 1 --batch-size 600 | head -n 1',
        f'{scripts[1]} --model "{trained[0]}" digit.png | true',
    ]
    processes = [subprocess.Popen(line, shell=True, cwd=tmp_path, **PIPES) for line in commands]
    for process, lines in zip(processes, (1, 0)):
        out, errors = process.communicate(timeout=300)
        assert len(out.splitlines()) == lines
        assert not re.search("error|Traceback|Exception", errors, re.IGNORECASE), errors
