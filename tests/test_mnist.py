"""The default run on the real MNIST, and other people's digits; skipped where there are none."""

import csv
import re

import numpy as np
from conftest import accuracy_in, run_script
from PIL import Image


def test_default_run_reaches_what_others_publish(mnist_run):
    _, text = mnist_run
    assert "validation images    12,000" in text
    assert float(re.search(r"validation accuracy +([\d.]+)%", text)[1]) >= 98.82


def test_test_set_scores_the_same_from_png_files(mnist_run, mnist, tmp_path):
    folder, _ = mnist_run
    direct = run_script("predict_model.py", "--data", mnist, cwd=folder)
    assert direct.returncode == 0, direct.stderr
    with np.load(mnist) as arrays:
        for i, (image, label) in enumerate(zip(arrays["x_test"], arrays["y_test"])):
            (tmp_path / str(label)).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / str(label) / f"{i}.png")
    read_back = run_script("predict_model.py", tmp_path, cwd=folder)
    assert read_back.returncode == 0, read_back.stderr
    assert "of 10,000 images" in read_back.stdout
    assert abs(accuracy_in(read_back.stdout) - accuracy_in(direct.stdout)) <= 0.1
    assert accuracy_in(direct.stdout) > 99


def test_digits_that_people_wrote(mnist_run, own_digits, tmp_path, capsys):
    folder, _ = mnist_run
    labels, table = own_digits / "labels.csv", tmp_path / "read.csv"
    run = run_script("predict_model.py", own_digits, "--labels", labels, "--csv", table, cwd=folder)
    assert run.returncode == 0, run.stderr
    with open(table, encoding="utf-8") as file:
        answers = {row["path"].split("/")[-1]: row["digit"] for row in csv.DictReader(file)}
    right = {}
    with open(labels, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            right.setdefault(row["kind"], []).append(answers[row["file"]] == row["label"])
    with capsys.disabled():
        print()
        for kind, results in right.items():
            print(f"{kind:<15} {np.mean(results):7.2%} of {len(results)}")
        print(f"{'all':<15} {accuracy_in(run.stdout):6.2f}% of {sum(map(len, right.values()))}")
    assert accuracy_in(run.stdout) >= 98.8
    assert all(np.mean(results) >= 0.96 for results in right.values())
