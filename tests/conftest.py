"""Fixtures: small data made here, a network trained on it, and real MNIST where there is one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))
os.environ["MPLBACKEND"] = "agg"

import train_model


def run_script(script, *arguments, cwd, timeout=600, **environment):
    """Run one of the two scripts as a user does; answers the CompletedProcess, text captured."""
    return subprocess.run(
        [sys.executable, str(PROJECT / script), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def accuracy_in(text):
    """Answer the first accuracy that predict_model.py printed, in per cent."""
    return float(re.search(r"^accuracy +([\d.]+)% of", text, re.MULTILINE)[1])


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """Path of a small `.npz` file in the layout of Keras's mnist.npz."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    x_train, y_train = train_model.draw_digits(2500, seed=1)
    x_test, y_test = train_model.draw_digits(300, seed=2)
    np.savez_compressed(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return path


@pytest.fixture(scope="session")
def trained(small_data, tmp_path_factory):
    """Folder in which train_model.py was run on the small data; its output is in out.txt."""
    folder = tmp_path_factory.mktemp("trained")
    run = run_script("train_model.py", "--data", small_data, "--batch-size", 32, cwd=folder)
    assert run.returncode == 0, run.stderr
    (folder / "out.txt").write_text(run.stdout)
    (folder / "err.txt").write_text(run.stderr)
    return folder


@pytest.fixture(scope="session")
def mnist():
    """Path of the real MNIST; tests that need it skip where there is none."""
    path = Path(os.environ.get("MNIST_NPZ", PROJECT.parent / "shared" / "mnist.npz"))
    if not path.is_file():
        pytest.skip(f"needs the real MNIST: {path} is missing (MNIST_NPZ names another file)")
    return path.resolve()


@pytest.fixture(scope="session")
def mnist_run(mnist, tmp_path_factory):
    """Folder in which train_model.py was run by default on the real MNIST, and what it printed."""
    folder = tmp_path_factory.mktemp("mnist")
    run = run_script("train_model.py", "--data", mnist, cwd=folder)
    assert run.returncode == 0, run.stderr
    return folder, run.stdout


@pytest.fixture(scope="session")
def own_digits():
    """Folder of digits that people wrote; tests that need it skip where there is none."""
    path = PROJECT.parent / "shared" / "own-digits"
    if not path.is_dir():
        pytest.skip(f"needs digits that people wrote: {path} is missing")
    return path.resolve()
