"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import os

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, files_in, run_main
from PIL import Image

import predict_model
import train_model
from train_model import keras


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Folder with the files that the tables below name."""
    folder = tmp_path_factory.mktemp("bad")
    images, labels = train_model.draw_digits(100, seed=0)
    bomb = np.zeros(2**28 - 127, np.uint8)  # With its header a byte too large.
    for name, changes in {
        "good": {}, "bomb": {"x_other": bomb}, "largest": {"x_other": bomb[1:]},
        "shape": {"x_train": images[:, 4:]}, "depth": {"x_train": images[:, None]},
        "type": {"x_train": images / 255}, "pickled": {"y_train": labels.astype(object)},
        "nothing": {"x_train": images[:0], "y_train": labels[:0]},
        "lengths": {"y_train": labels[1:]}, "columns": {"y_train": labels[:, None]},
        "fractions": {"y_train": labels / 10},
        "labels": {"y_train": labels + 1, "x_test": images, "y_test": labels - 1},
    }.items():
        arrays = {"x_train": images, "y_train": labels} | changes
        np.savez_compressed(folder / f"{name}.npz", **arrays)
    np.save(folder / "array.npy", labels)
    image, layers = keras.Input((28, 28, 1)), keras.layers
    for name, network in {
        "good": [image, layers.Flatten(), layers.Dense(10)], "outputs": [image, layers.Flatten()],
        "shape": [keras.Input((4,)), layers.Dense(10)], "unbuilt": [],
        "code": [image, layers.Flatten(), layers.Lambda(lambda x: x), layers.Dense(10)],
    }.items():
        for suffix in ("keras", "h5"):
            keras.Sequential(network).save(folder / f"{name}.{suffix}")
    for suffix in ("keras", "h5", "npz"):
        good = (folder / f"good.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(good[: len(good) // 2])
        (folder / f"text.{suffix}").write_text("not what\n" + 2**14 * "it is called ")
    (folder / "folder.keras").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "file").write_text("a file, not a folder")
    (folder / "label.csv").write_text("file,label\npipe.png,10\n")
    return folder


# Script, status, arguments: what the error names. Those without data or network get the good one.
BAD = """
train 1 --data a\tb.npz: a b.npz: not a data set of digits: No such file
train 1 --data bomb.npz: bomb.npz: not a data set of digits: its arrays are too large
train 1 --data=: No such file
train 1 --output folder.keras: folder.keras: cannot be written; name another
train 1 --output file/a.keras: file/a.keras: cannot be written
train 1 --plots file: file/training_curves.png: cannot be written
train 1 --data largest.npz --validation-split 0: --validation-split 0 of 100 images
train 1 --validation-split 1: --validation-split 1 of 100 images
train 1 --learning-rate 1e12 --epochs 1: --learning-rate
predict 1 --data good.npz: good.npz: not a data set of digits: 'x_test
predict 1 --data labels.npz: labels.npz: not a data set of digits: y_test
predict 1 --model folder.keras: folder.keras: there is no such file; train_model.py
predict 1 : : no such file, nor a folder with images
predict 1 folder.keras: folder.keras: no such file, nor a folder with images
predict 1 pipe.png: pipe.png: no such file
predict 1 file --labels none.csv: none.csv: No such file or directory
predict 1 file --labels text.npz: text.npz: not CSV with the columns file and label
predict 1 file --labels good.keras: good.keras: not CSV
predict 1 file --labels label.csv: label.csv: line 2
predict 1 file --csv folder.keras: folder.keras: cannot be written
predict 1 file --plots file: file/own_digits.png: cannot be written
predict 2 --data good.npz file: --data
predict 2 --csv a.csv: --csv
predict 2 --labels a.csv: --labels
train 2 --epochs 0: argument --epochs: 0 is not from 1 to 1000000 (see
train 2 --epochs many: argument --epochs: invalid number value: 'many'
"""
NO_DATA = """cut.npz text.npz labels.npz shape.npz depth.npz type.npz lengths.npz columns.npz
fractions.npz nothing.npz pickled.npz array.npy"""
NO_MODELS = "unbuilt.keras shape.keras outputs.keras code.keras code.h5 cut.keras cut.h5"
NO_OPTIONS = """--learning-rate=1e13 --learning-rate=-0.1 --learning-rate=1e-13 --learning-rate=nan
--epochs=1000001 --epochs=1.5 --batch-size=-1 --batch-size=0 --patience=0 --optimizer=gradient
--validation-split=1.1 --validation-split=-0.1 --seed=-1 --seed=4294967296 --output=network.txt
--output=keras --precision=float16 --architecture=7x7 --recipe=mine --nonsense stray"""
LINES = [
    *BAD.strip().splitlines(),
    *(f"train 1 --data {name}: {name}: not a data set" for name in NO_DATA.split()),
    *(f"predict 1 --model {name}: {name}: " for name in NO_MODELS.split()),
    *(f"train 2 {option}: {option.split('=')[0]}" for option in NO_OPTIONS.split()),
]


def test_bad_input_is_one_line(bad_files):
    before = files_in(bad_files)
    for line in LINES:
        command, named = line.split(": ", 1)
        script, status, *arguments = command.split(" ")
        needed = ("--data", "good.npz") if script == "train" else ("--model", "good.keras")
        if needed[0] not in command:
            arguments += needed
        run = run_main(f"{script}_model.py", *arguments, cwd=bad_files, status=int(status))
        errors = run.stderr.splitlines()
        assert errors[-1].startswith(f"{script}_model.py: error: ") and named in errors[-1], line
        assert len(errors) == 1 or "Invalid loss" in errors[0] and len(errors) == 3, line
        assert files_in(bad_files) == before, line


def test_help(tmp_path):
    for script, option in ((TRAIN, "--no-augment"), (PREDICT, "--csv")):
        assert option in run_main(script, "--help", cwd=tmp_path).stdout


def test_randomly_damaged_files_are_refused_or_read(bad_files, tmp_path):
    random = np.random.default_rng(0)
    image = Image.fromarray(train_model.draw_digits(1, seed=0)[0][0])
    readers = {".npz": lambda path: train_model.load_digits(path, "train"),
               ".keras": predict_model.load_model, ".h5": predict_model.load_model}
    for suffix in (".png", ".jpg", ".gif", ".tif", ".bmp"):
        image.resize((90, 90)).save(bad_files / f"good{suffix}")
        readers[suffix] = lambda path: predict_model.read_digit(predict_model.open_image(path))
    for suffix, reader in readers.items():
        good = (bad_files / f"good{suffix}").read_bytes()
        path, refused = tmp_path / f"damaged{suffix}", 0
        for _ in range(30):
            start, size = random.integers(len(good)), random.choice([1, 200, len(good)])
            noise = random.bytes(random.integers(20))
            path.write_bytes(good[:start] + noise + good[start + size :])
            try:
                reader(path)
            except train_model.InputError as error:
                refused += 1
                assert "\n" not in str(error)
        assert refused, suffix
