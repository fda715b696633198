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
    with np.load(mnist) as arrays:
        for i, (image, label) in enumerate(zip(arrays["x_test"], arrays["y_test"])):
            (tmp_path / str(label)).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / str(label) / f"{i}.png")
    read_back = run_main(PREDICT, tmp_path, cwd=folder).stdout
    assert "of 10,000 images" in read_back
    assert abs(accuracy_in(read_back) - accuracy_in(direct)) <= 0.1


def test_digits_that_people_wrote(mnist_run, tmp_path, capsys):
    own_digits = (PROJECT.parent / "shared" / "own-digits").resolve()
    if not own_digits.is_dir():
        pytest.skip(f"needs digits that people wrote: {own_digits} is missing")
    labels, table = own_digits / "labels.csv", tmp_path / "read.csv"
    run = run_main(PREDICT, own_digits, "--labels", labels, "--csv", table, cwd=mnist_run[0])
    with open(table, encoding="utf-8") as file:
        answers = {row["path"].split("/")[-1]: row["digit"] for row in csv.DictReader(file)}
    right = {}
    with open(labels, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            right.setdefault(row["kind"], []).append(answers[row["file"]] == row["label"])
    shares = {kind: f"{np.mean(results):.2%}" for kind, results in right.items()}
    with capsys.disabled():
        print(f"\nread right: {accuracy_in(run.stdout)}%; by kind: {shares}")
    assert accuracy_in(run.stdout) >= 98.8
    assert all(np.mean(results) >= 0.96 for results in right.values())


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
    run = run_main(PREDICT, "--data", mnist, cwd=tmp_path)
    assert accuracy_in(run.stdout) >= 95
