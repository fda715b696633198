"""The default run on the real MNIST, and other people's digits; skipped where there are none."""

import os
from pathlib import Path

import people
import pytest
from conftest import PREDICT, TRAIN, result, run_main
from PIL import Image

import predict_model
import train_model


def percentage(text, name):
    """Return a result that begins with a percentage, as a number."""
    return float(result(text, name).partition("%")[0])


@pytest.fixture(scope="module")
def mnist():
    """Path of the real MNIST."""
    path = Path(os.environ.get("MNIST_NPZ", "none")).resolve()
    return path if path.is_file() else pytest.skip("MNIST_NPZ names no copy of mnist.npz")


@pytest.fixture(scope="module")
def mnist_run(mnist, tmp_path_factory):
    """Folder in which train_model.py was run by default on the real MNIST, and what it printed."""
    folder = tmp_path_factory.mktemp("mnist")
    return folder, run_main(TRAIN, "--data", mnist, cwd=folder).stdout


def test_default_run_reaches_its_accuracy(mnist_run, mnist):
    folder, text = mnist_run
    assert percentage(text, "validation accuracy") >= 99.3
    assert percentage(run_main(PREDICT, "--data", mnist, cwd=folder).stdout, "accuracy") >= 99.45


def test_images_from_files_are_read_as_those_of_the_data(mnist_run, mnist, tmp_path):
    images, labels, _ = train_model.load_digits(mnist, "test")
    for number, (image, label) in enumerate(zip(images[:2000], labels)):
        path = tmp_path / str(label) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    assert percentage(run_main(PREDICT, tmp_path, cwd=mnist_run[0]).stdout, "accuracy") >= 99


LEAST = {"own-digits": 0.994, "more-digits": 0.98, "numbers": 0.86, "no-digit": 0.5, "cases": 0.75}


@pytest.mark.parametrize("name", LEAST)
def test_pictures_that_people_made_are_read(mnist_run, name):
    if not (people.SHARED / name).is_dir():
        pytest.skip(f"needs pictures that people made: {people.SHARED / name} is missing")
    model = predict_model.load_model(mnist_run[0] / train_model.MODEL_FILE)
    pictures = [*people.pictures(name)]
    wrong = [it for it in pictures if not people.is_right(people.read(model, it[2])[0], it[1])]
    assert len(wrong) <= (1 - LEAST[name]) * len(pictures), wrong


def test_network_of_drawn_digits_reads_mnist(mnist, tmp_path):
    run_main(TRAIN, "--data", "synthetic", cwd=tmp_path)
    assert percentage(run_main(PREDICT, "--data", mnist, cwd=tmp_path).stdout, "accuracy") >= 97.5
