"""The default run on the real MNIST, and other people's digits; skipped where there are none."""

import csv
import re

import numpy as np
import photographs
import pytest
from conftest import PREDICT, PROJECT, TRAIN, accuracy_in, run_main, run_script
from PIL import Image

import predict_model
import train_model


@pytest.fixture(scope="module")
def mnist_run(mnist, tmp_path_factory):
    """Folder in which train_model.py was run by default on the real MNIST, and what it printed."""
    folder = tmp_path_factory.mktemp("mnist")
    return folder, run_script(TRAIN, "--data", mnist, cwd=folder).stdout


def test_default_run_reaches_what_others_publish(mnist_run, mnist, tmp_path):
    folder, text = mnist_run
    assert "data                 MNIST\n" in text and "validation images    12,000\n" in text
    assert float(re.search(r"validation accuracy +([\d.]+)%", text)[1]) >= 98.82
    direct = run_main(PREDICT, "--data", mnist, cwd=folder).stdout
    assert "test images of MNIST\n" in direct and accuracy_in(direct) > 99
    images, labels, _ = train_model.load_digits(mnist, "test")
    for number, (image, label) in enumerate(zip(images, labels)):
        (tmp_path / str(label)).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(label) / f"{number}.png")
    read_back = run_main(PREDICT, tmp_path, cwd=folder).stdout
    assert abs(accuracy_in(read_back) - accuracy_in(direct)) <= 0.1


def test_digits_that_people_wrote(mnist_run, capsys):
    own_digits = (PROJECT.parent / "shared" / "own-digits").resolve()
    if not own_digits.is_dir():
        pytest.skip(f"needs digits that people wrote: {own_digits} is missing")
    labels = own_digits / "labels.csv"
    text = run_main(PREDICT, own_digits, "--labels", labels, cwd=mnist_run[0]).stdout
    answers = dict(re.findall(r"^.*/(.+)\t(\d)\t", text, re.MULTILINE))
    right = {}
    for row in csv.DictReader(labels.read_text(encoding="utf-8").splitlines()):
        right.setdefault(row["kind"], []).append(answers[row["file"]] == row["label"])
    shares = {kind: np.mean(results) for kind, results in right.items()}
    with capsys.disabled():
        print(f"\nread right: {accuracy_in(text)}%; by kind: {shares}")
    assert accuracy_in(text) >= 98.8 and min(shares.values()) >= 0.96


def test_photographs_are_read_as_mnist_is(mnist_run, mnist):
    model = predict_model.load_model(mnist_run[0] / train_model.MODEL_FILE)
    digits = train_model.load_digits(mnist, "train")[0][-12_000:]
    random, right = np.random.default_rng(0), []
    for kind in 2 * photographs.KINDS:
        digit = digits[random.integers(len(digits))]
        answer, _ = photographs.read(model, kind(random, digit))
        right.append(answer == predict_model.predict(model, digit[np.newaxis]).argmax())
    assert np.mean(right) >= 0.95


def test_network_of_drawn_digits_reads_mnist(mnist, tmp_path):
    run_script(TRAIN, "--data", "drawn", cwd=tmp_path)
    assert accuracy_in(run_main(PREDICT, "--data", mnist, cwd=tmp_path).stdout) >= 95
