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
QUICK = ["--recipe=published", "--epochs=1", "--batch-size=600"]


def python(code, **settings):
    """Start a fresh Python, which finds the two scripts."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **PIPES, **settings)


def test_importing_in_any_order_leaves_all_modules_whole(tmp_path):
    use = """
assert keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]).count_params() == 9
assert tensorflow.constant([1, 2]).shape == 2
matplotlib.pyplot.figure().savefig('a.png'); import sys; print('whole', file=sys.stderr)"""
    orders = ["keras, train_model, tensorflow, matplotlib.pyplot",
              "tensorflow, predict_model, keras, matplotlib.pyplot, train_model",
              "predict_model, matplotlib.pyplot, tensorflow, keras"]
    for process in [python(f"import {order}{use}", cwd=tmp_path) for order in orders]:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0 and errors.endswith("whole\n"), errors
    process = python("import sys; sys.modules['cv2'] = None; import predict_model")
    assert process.communicate()[1] == "error: cv2 is missing: pip install -r requirements.txt\n"
    assert process.returncode == 1


def test_without_network_it_draws_digits_and_says_so(monkeypatch, tmp_path):
    draw = train_model.draw_digits
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: draw(count // 20, seed))
    run = run_main(TRAIN, "--epochs", 1, cwd=tmp_path)
    assert re.search(r"warning: MNIST cannot be downloaded \(.*refused", run.stderr)
    assert "data                 drawn digits, not MNIST\n" in run.stdout
    run = run_main(PREDICT, cwd=tmp_path)
    assert "predict_model.py: warning: MNIST cannot be" in run.stderr
    assert "network              trained_on_drawn_digits_not_MNIST\n" in run.stdout
    assert "test images of drawn digits, not MNIST" in run.stdout
    assert accuracy_in(run.stdout) > 90 and "of 500 images" in run.stdout
    assert len(files_in(tmp_path / "plots")) == 3


def test_mnist_by_name_never_falls_back(monkeypatch, tmp_path):
    cache = tmp_path / "datasets" / "mnist.npz"
    cache.parent.mkdir()
    cache.write_text("half a download")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    last = run_main(TRAIN, "--data", "mnist", cwd=tmp_path, status=1).stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: MNIST cannot be downloaded")
    assert str(cache) in last and "--data FILE" in last
    assert cache.read_text() == "half a download"


def test_mnist_of_the_cache_or_the_download_is_used(small_data, monkeypatch, tmp_path):
    sets = [(np.full((3, 28, 28), n, np.uint8), np.full(3, n, np.uint8)) for n in (1, 2)]
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda *path: print("bar") or sets)
    for number, subset in enumerate(("train", "test"), 1):
        images, labels, _ = train_model.load_digits("mnist", subset)
        assert images[0, 0, 0] == labels[0] == number and labels.dtype == np.int64
    shutil.copytree(small_data.parent, tmp_path / ".keras" / "datasets")
    os.rename(tmp_path / ".keras/datasets/small.npz", tmp_path / ".keras/datasets/mnist.npz")
    for name, value in (("KERAS_HOME", str(tmp_path / ".keras")), ("HOME", str(tmp_path))):
        monkeypatch.setenv(name, value)
        for source in ("mnist", "auto"):
            assert len(train_model.load_digits(source, "test")[0]) == 300
        monkeypatch.delenv(name)


def test_download_that_hangs_is_given_up(monkeypatch, tmp_path):
    given, set_timeout = [], socket.setdefaulttimeout
    monkeypatch.setattr(  # Wait as the script would, but for a tenth of the time.
        socket, "setdefaulttimeout", lambda time: given.append(time) or set_timeout(time / 10))
    monkeypatch.setattr(urllib.request, "_opener", None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        run = run_main(TRAIN, "--data", "mnist", cwd=tmp_path, status=1)
    set_timeout(None)
    urllib.request._opener = None
    assert "timed out" in run.stderr.splitlines()[-1] and 5 <= given[0] <= 30


def whole_or_old(folder):
    """Check what a kill at this moment would leave; answers whether it is the new network."""
    content = (folder / NETWORK).read_bytes()
    if content == OLD[NETWORK]:
        return False
    copy = folder.with_name("copy.keras")
    copy.write_bytes(content)
    return keras.saving.load_model(copy).count_params() == 93_418


def test_interrupts_keep_the_best_network_if_there_is_one(small_data, tmp_path_factory):
    slow = ["--epochs=2", "--batch-size=1", "--architecture=3x3-dropout"]
    cases = [(signal.SIGTERM, 143, "Epoch 1/", slow),
             (signal.SIGINT, 130, "Epoch 3/", ["--epochs=9999", "--batch-size=16"])]
    folders = [tmp_path_factory.mktemp("stop") for _ in cases]
    for folder in folders:
        (folder / NETWORK).write_bytes(OLD[NETWORK])
    runs = [start(TRAIN, "--data", small_data, *QUICK, *case[-1], cwd=folder)
            for case, folder in zip(cases, folders)]
    for run, (number, status, line, _), folder in zip(runs, cases, folders):
        assert any(line in text for text in run.stderr)
        run.send_signal(number)
        text = run.communicate(timeout=60)[1]
        assert run.returncode == status and "Traceback" not in text, text
        best = text.endswith(f"warning: stopped; the best epoch's network is saved as {NETWORK}\n")
        assert best == whole_or_old(folder) == (number == signal.SIGINT)
        assert files_in(folder).keys() == {NETWORK}


def test_two_runs_may_share_a_folder_and_are_whole_at_any_moment(small_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    (folder / NETWORK).write_bytes(OLD[NETWORK])
    pair = [start(TRAIN, "--data", small_data, *QUICK, cwd=folder) for _ in range(2)]
    while None in [process.poll() for process in pair]:
        whole_or_old(folder)
        time.sleep(0.01)
    assert [process.returncode for process in pair] == [0, 0], pair[0].communicate()
    assert whole_or_old(folder)
    assert files_in(folder).keys() == {NETWORK, "plots", "plots/training_curves.png"}


def test_kills_leave_a_whole_network(tmp_path_factory):
    """A loop that saves is stopped at random moments, and killed at last."""
    folder, random = tmp_path_factory.mktemp("killed"), np.random.default_rng()
    save = f"save_model(model, '{NETWORK}'); print('saved', flush=True)"
    code = f"from train_model import *; model = build_model()\nwhile True: {save}"
    process = python(code, cwd=folder)
    for number in [signal.SIGSTOP] * 20 + [signal.SIGKILL]:
        assert process.stdout.readline() == "saved\n"
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(number)
        assert whole_or_old(folder)
        process.send_signal(signal.SIGCONT)
    process.communicate()


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
    commands = [f'{scripts[0]} --data "{small_data}" | head -n 1',
                f'{scripts[1]} --model "{trained[0]}" digit.png | true']
    processes = [subprocess.Popen(line, shell=True, cwd=tmp_path, **PIPES) for line in commands]
    for process, lines in zip(processes, (1, 0)):
        out, errors = process.communicate(timeout=300)
        assert len(out.splitlines()) == lines
        assert not re.search("error|Traceback|Exception", errors, re.IGNORECASE), errors
