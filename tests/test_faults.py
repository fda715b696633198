"""No MNIST, interrupts, kills, full disks and odd surroundings."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import PROJECT, accuracy_in, run_script

import train_model
from train_model import keras

DRAWN = "drawn digits, not MNIST"


def start(*arguments, cwd, **environment):
    """Start train_model.py; answers the Popen."""
    return subprocess.Popen(
        [sys.executable, "-u", str(PROJECT / "train_model.py"), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(process, text):
    """Read a process's standard error up to the line that has this text."""
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the process ended without saying {text}")


def files_in(folder):
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- drawn digits


def test_drawn_digits_are_the_same_for_the_same_seed():
    images, labels = train_model.draw_digits(500, seed=3)
    again, labels_again = train_model.draw_digits(500, seed=3)
    other, _ = train_model.draw_digits(500, seed=4)
    assert images.shape == (500, 28, 28) and images.dtype == np.uint8
    assert labels.shape == (500,) and set(labels) == set(range(10))
    assert np.array_equal(images, again) and np.array_equal(labels, labels_again)
    assert not np.array_equal(images, other)


def test_drawn_digits_stand_as_in_mnist():
    images, _ = train_model.draw_digits(500, seed=3)
    y, x = np.mgrid[0:28, 0:28]
    for place in (x, y):
        centres = np.array([np.average(place, weights=picture) for picture in images])
        # The centre is that of the pen's path; where strokes overlap the ink's is beside it.
        assert abs(centres.mean() - 14) < 0.2 and centres.std() < 0.5
    for picture in images:
        rows, columns = (np.flatnonzero((picture > 127).any(axis=axis)) for axis in (1, 0))
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21


def test_spline_runs_through_its_points():
    matrix = train_model.spline(5, 9)
    assert np.allclose(matrix[::2], np.eye(5))
    assert np.allclose(matrix.sum(axis=1), 1)


# ---------------------------------------------------------------- no MNIST


def test_without_network_it_draws_digits_and_says_so(tmp_path):
    surroundings = {"KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9"}
    run = run_script("train_model.py", "--epochs", 1, cwd=tmp_path, **surroundings)
    assert run.returncode == 0, run.stderr
    assert re.search(r"warning: MNIST cannot be downloaded \(.*refused", run.stderr)
    assert DRAWN in run.stdout
    model = keras.saving.load_model(tmp_path / "digit_classifier.keras")
    assert model.name == "trained_on_drawn_digits_not_MNIST"
    run = run_script("predict_model.py", cwd=tmp_path, **surroundings)
    assert run.returncode == 0, run.stderr
    assert "warning: MNIST" in run.stderr
    assert f"test images of {DRAWN}" in run.stdout and model.name in run.stdout
    assert accuracy_in(run.stdout) > 95
    assert files_in(tmp_path / "plots") == [
        "confusion_matrix.png",
        "misclassified.png",
        "training_curves.png",
    ]


def test_mnist_by_name_never_falls_back(tmp_path):
    cache = tmp_path / "datasets" / "mnist.npz"
    cache.parent.mkdir()
    cache.write_text("half a download")
    run = run_script(
        *("train_model.py", "--data", "mnist"),
        cwd=tmp_path,
        KERAS_HOME=str(tmp_path),
        https_proxy="http://127.0.0.1:9",
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: MNIST cannot be downloaded")
    assert str(cache) in last and "--data FILE" in last
    assert files_in(tmp_path) == ["datasets", "keras.json"]  # Keras makes the second


def test_cached_mnist_is_used(small_data, tmp_path):
    (tmp_path / "datasets").mkdir()
    shutil.copy(small_data, tmp_path / "datasets" / "mnist.npz")
    run = run_script(
        "train_model.py", "--data", "mnist", "--epochs", 1, cwd=tmp_path, KERAS_HOME=str(tmp_path)
    )
    assert run.returncode == 0, run.stderr
    assert "validation images    500" in run.stdout


def test_download_that_hangs_is_given_up(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begin = time.monotonic()
        run = run_script(
            *("train_model.py", "--data", "mnist"),
            cwd=tmp_path,
            KERAS_HOME=str(tmp_path),
            https_proxy=proxy,
            timeout=120,
        )
    assert run.returncode == 1
    assert "timed out" in run.stderr.splitlines()[-1]
    assert 10 <= time.monotonic() - begin < 90


def test_network_of_drawn_digits_reads_mnist(mnist, tmp_path, capsys):
    run = run_script("train_model.py", "--data", "drawn", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    run = run_script("predict_model.py", "--data", mnist, cwd=tmp_path)
    with capsys.disabled():
        print(f"\ntrained on drawn digits: {accuracy_in(run.stdout):.2f}% of MNIST's test images")
    assert accuracy_in(run.stdout) >= 95


# ---------------------------------------------------------------- interrupts and kills


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_keeps_the_best_network_so_far(small_data, tmp_path, number, status):
    process = start("--data", small_data, "--epochs", 10_000, cwd=tmp_path)
    wait_for(process, "Epoch 4/")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    last = errors.splitlines()[-1]
    assert re.search(r"stopped; best of \d+ epochs saved as digit_classifier.keras", last)
    assert "Traceback" not in errors
    assert files_in(tmp_path) == ["digit_classifier.keras"]
    model = keras.saving.load_model(tmp_path / "digit_classifier.keras")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_in_the_first_epoch_saves_nothing(small_data, tmp_path, number, status):
    (tmp_path / "digit_classifier.keras").write_text("an earlier network")
    process = start("--data", small_data, "--batch-size", 1, cwd=tmp_path)
    wait_for(process, "Epoch 1/")
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert files_in(tmp_path) == ["digit_classifier.keras"]
    assert (tmp_path / "digit_classifier.keras").read_text() == "an earlier network"


def test_kills_at_random_moments_never_lose_the_earlier_network(trained, small_data, tmp_path):
    output = tmp_path / "digit_classifier.keras"
    shutil.copy(trained / "digit_classifier.keras", output)
    begin = time.monotonic()
    process = start("--data", small_data, "--epochs", 1, cwd=tmp_path)
    process.communicate(timeout=300)
    assert process.returncode == 0
    duration = time.monotonic() - begin
    random = np.random.default_rng(0)
    # Half of the kills fall into the end of the run, where files are written.
    moments = duration * np.concatenate([random.uniform(0, 0.8, 10), random.uniform(0.8, 1.05, 10)])
    for moment in moments:
        process = start("--data", small_data, "--epochs", 1, cwd=tmp_path)
        time.sleep(moment)
        process.kill()
        process.communicate()
        assert keras.saving.load_model(output).count_params() == 93_418


# ---------------------------------------------------------------- disks and surroundings


def test_full_disk_leaves_the_old_files(small_data, tmp_path):
    output = tmp_path / "digit_classifier.keras"
    output.write_text("an earlier network")
    code = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.path.insert(0, {str(PROJECT)!r})
sys.argv = ["train_model.py", "--data", {str(small_data)!r}, "--epochs", "1"]
runpy.run_path({str(PROJECT / "train_model.py")!r}, run_name="__main__")
"""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("train_model.py: error: ") and "too large" in last.lower()
    assert "Traceback" not in run.stderr
    assert files_in(tmp_path) == ["digit_classifier.keras"]
    assert output.read_text() == "an earlier network"


def test_two_runs_in_one_folder(small_data, tmp_path):
    processes = [start("--data", small_data, "--seed", seed, cwd=tmp_path) for seed in (1, 2)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert files_in(tmp_path) == ["digit_classifier.keras", "plots"]
    assert files_in(tmp_path / "plots") == ["training_curves.png"]
    assert keras.saving.load_model(tmp_path / "digit_classifier.keras").count_params() == 93_418


def test_odd_surroundings(small_data, tmp_path):
    folder = tmp_path / "my dïgits 数字"
    folder.mkdir()
    data = shutil.copy(small_data, folder / "my mnîst.npz")
    surroundings = {
        "HOME": str(tmp_path / "nowhere"),
        "COLUMNS": "40",
        "PYTHONIOENCODING": "ascii",
        "DISPLAY": "",
        "MPLBACKEND": "",
    }
    arguments = ["--data", data, "--epochs", 1, "--output", folder / "nét.keras"]
    run = run_script("train_model.py", *arguments, "--plots", folder, cwd=tmp_path, **surroundings)
    assert run.returncode == 0, run.stderr
    arguments = ["--data", data, "--model", folder / "nét.keras", "--plots", folder]
    run = run_script("predict_model.py", *arguments, cwd=tmp_path, **surroundings)
    assert run.returncode == 0, run.stderr
    assert len(files_in(folder)) == 5


@pytest.mark.parametrize("script", ["train_model.py", "predict_model.py"])
def test_closed_pipe(trained, small_data, tmp_path, script):
    shutil.copy(trained / "digit_classifier.keras", tmp_path)
    command = f'"{sys.executable}" "{PROJECT / script}" --data "{small_data}" | head -n 1'
    run = subprocess.run(
        command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert len(run.stdout.splitlines()) == 1
    assert "error" not in run.stderr.lower() and "Traceback" not in run.stderr
    assert len(files_in(tmp_path / "plots")) == (1 if script == "train_model.py" else 2)


@pytest.mark.parametrize("script", ["train_model.py", "predict_model.py"])
def test_help_does_not_import_tensorflow(tmp_path, script):
    code = f"""
import runpy, sys
sys.argv = [{script!r}, "--help"]
try:
    runpy.run_path({str(PROJECT / script)!r}, run_name="__main__")
finally:
    print("tensorflow.python" in sys.modules, file=sys.stderr)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0
    assert "--plots" in run.stdout
    assert run.stderr == "False\n"
