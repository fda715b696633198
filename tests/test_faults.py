"""Starts that fail, no MNIST, interrupts, kills, full disks and closed pipes."""

import os
import re
import resource
import signal
import socket
import time
import urllib.request
import zipfile

import numpy as np
import pytest
from conftest import PREDICT, PROJECT, TRAIN, accuracy_in, files_in, run_main, start

import train_model
from train_model import keras

NETWORK, OLD = "digit_classifier.keras", {"digit_classifier.keras": b"an earlier network"}
SAVED = f"warning: stopped; the best epoch's network is saved as {NETWORK}\n"
QUICK = ["--recipe=published", "--epochs=2", "--batch-size=600"]


def test_start_that_fails(tmp_path):
    missing = "error: nothing is missing: pip install -r requirements.txt\n"
    for cv2, *expected in (("import nothing", 1, missing), ("raise KeyboardInterrupt", 130, "")):
        (tmp_path / "cv2.py").write_text(cv2)
        process = start(PREDICT, cwd=tmp_path, PYTHONPATH=str(tmp_path))
        assert [process.wait(), process.stderr.read()] == expected


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


def test_mnist_of_the_cache_or_the_download_is_used(small_data, monkeypatch, tmp_path, capsys):
    sets = [(np.full((3, 28, 28), n, np.uint8), np.full(3, n, np.uint8)) for n in (1, 2)]
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: print("bar") or sets)
    for number, subset in enumerate(("train", "test"), 1):
        images, labels, _ = train_model.load_digits("mnist", subset)
        assert images[0, 0, 0] == labels[0] == number and labels.dtype == np.int64
    assert capsys.readouterr() == ("", "bar\nbar\n")
    cache = tmp_path / ".keras" / "datasets"
    cache.mkdir(parents=True)
    (cache / "mnist.npz").write_bytes(small_data.read_bytes())
    for name, value in (("KERAS_HOME", cache.parent), ("HOME", tmp_path)):
        monkeypatch.setenv(name, str(value))
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
    last, cache = run.stderr.splitlines()[-1], os.environ["KERAS_HOME"] + "/datasets/mnist.npz"
    assert last.startswith("train_model.py: error: MNIST cannot be downloaded")
    assert "timed out" in last and 5 <= given[0] <= 30
    assert f"cache ({cache}: not a data set" in last and "--data FILE" in last


@pytest.mark.parametrize("number, status, epoch, end", [
    (signal.SIGINT, 130, 0, "train_model.py: error: interrupted\n"),
    (signal.SIGINT, 130, 1, SAVED), (signal.SIGTERM, 143, 0, ""), (signal.SIGTERM, 143, 1, SAVED)])
def test_interrupts_keep_the_best_network_if_there_is_one(
    small_data, monkeypatch, tmp_path, number, status, epoch, end
):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It is ignored in the background.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # In a callback, as Python swallows what is raised in one of TensorFlow's finalizers.
    stop = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda now, logs: now == epoch and signal.raise_signal(number))
    train = train_model.train
    monkeypatch.setattr(train_model, "train", lambda *given: train(*given, [stop]))
    (tmp_path / NETWORK).write_bytes(OLD[NETWORK])
    run = run_main(TRAIN, "--data", small_data, *QUICK, cwd=tmp_path, status=status)
    assert run.stderr.endswith(end) and "statistics" not in run.stdout
    assert files_in(tmp_path).keys() == {NETWORK} and (files_in(tmp_path) == OLD) == (epoch == 0)
    assert epoch == 0 or keras.saving.load_model(tmp_path / NETWORK).count_params() == 93_418


def test_imports_of_any_order_save_to_one_folder_until_killed(tmp_path):
    savers, script = [], f"""
matplotlib.pyplot.figure()
model = keras.Sequential([keras.Input(tensorflow.constant(2).shape), keras.layers.Flatten()])
while True:
    train_model.save_model(model, '{NETWORK}')
    print('saved', flush=True)"""
    for order in ("keras, train_model, tensorflow, matplotlib.pyplot",
                  "predict_model, matplotlib.pyplot, tensorflow, keras, train_model",
                  "tensorflow, predict_model, keras, train_model, matplotlib.pyplot"):
        path = tmp_path / f"{order}.py"
        path.write_text(f"import {order}{script}")
        savers.append(start(path, cwd=tmp_path, PYTHONPATH=str(PROJECT)))
    for saver in savers:
        assert saver.stdout.readline() == "saved\n", saver.communicate()
    for saver in savers:
        for _ in range(30):
            with zipfile.ZipFile(tmp_path / NETWORK) as network:
                assert not network.testzip()
            time.sleep(np.random.default_rng().uniform(0, 0.03))
        assert saver.poll() is None, saver.communicate()
        saver.kill()


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


def test_closed_pipe_is_no_error(trained, tmp_path):
    train_model.plt.imsave(tmp_path / "digit.png", train_model.draw_digits(1, seed=0)[0][0])
    options = "--model", trained[0], "digit.png", "--csv", "a.csv"
    for unbuffered, whole in (("1", False), ("", True)):
        process = start(PREDICT, *options, cwd=tmp_path, PYTHONUNBUFFERED=unbuffered)
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == 1
        assert (tmp_path / "a.csv").exists() == whole
