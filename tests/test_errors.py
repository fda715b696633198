"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import os
import zipfile

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, files_in, run_main
from PIL import Image

import predict_model
import train_model
from train_model import keras


class Bomb:
    """Its pickle leaves a file behind when it is loaded."""

    def __reduce__(self):
        return exec, ("open('exploded', 'w')",)


def save_arrays(path, **changes):
    """Write an `.npz` file that is right but for the changes; None leaves an array out."""
    images, labels = np.random.default_rng(0).bytes(100 * 28 * 28), np.arange(100) % 10
    images = np.frombuffer(images, np.uint8).reshape(100, 28, 28)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Folder with the files that the table below names."""
    folder = tmp_path_factory.mktemp("bad")
    for name, changes in {
        "good": {}, "shape": {"x_train": np.zeros((100, 32, 32), np.uint8)},
        "type": {"x_train": np.zeros((100, 28, 28))}, "lengths": {"y_train": np.arange(99) % 10},
        "fractions": {"y_train": np.arange(100) / 100},
        "nothing": {"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, int)},
        "pickled": {"y_train": np.array([Bomb()] * 100)}, "missing": {"x_train": None},
        "labels": {"y_train": np.full(100, 10), "y_test": np.full(100, -1)},
    }.items():
        save_arrays(folder / f"{name}.npz", **changes)
    (folder / "empty.npz").touch()
    np.save(folder / "array.npy", np.zeros(5))
    for name, count, size in (("bomb", 2**28 // 784, 2**28), ("header", 10**18, 0)):
        shape = {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28)}
        with zipfile.ZipFile(folder / f"{name}.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("x_train.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, shape)
                file.write(bytes(size))
    image, flat = keras.Input((28, 28, 1)), keras.layers.Flatten()
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)]).save(folder / "shape.keras")
    keras.Sequential([image, flat]).save(folder / "outputs.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # Keras calls the function once to find its shape.
        explode = keras.layers.Lambda(lambda x: open("exploded", "w") and x)
        model = keras.Sequential([image, flat, explode, keras.layers.Dense(10)])
        for suffix in ("keras", "h5"):
            model.save(f"lambda.{suffix}")
            train_model.build_model().save(f"good.{suffix}")
    (folder / "exploded").unlink()
    for suffix in ("keras", "h5", "npz"):
        good = (folder / f"good.{suffix}").read_bytes()
        (folder / f"cut.{suffix}").write_bytes(good[: len(good) // 2])
        (folder / f"text.{suffix}").write_text("not what\nit is called\n")
    (folder / "folder.keras").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "file").write_text("a file, not a folder")
    (folder / "label.csv").write_text("file,label\npipe.png,10\n")
    (folder / "digit_classifier.keras").write_text("an earlier network")
    return folder


# The script, the status, the arguments, and after a colon what the error names. The good
# data or network goes with those that have none of their own.
BAD = """
train 1 --data none.npz: none.npz: not a data set of digits: No such file
train 1 --data missing.npz: missing.npz: not a data set of digits: 'x_train
train 1 --data bomb.npz: bomb.npz: not a data set of digits: its arrays are too large
train 1 --data .: .: not a data set
train 1 --data=: No such file
train 1 --output folder.keras: folder.keras: cannot be written; name another
train 1 --output file/a.keras: file/a.keras: cannot be written
train 1 --plots file: file/training_curves.png: cannot be written
train 1 --validation-split 0.9999: --validation-split
train 1 --learning-rate 1e12 --epochs 1: --learning-rate
predict 1 --data text.npz: text.npz
predict 1 --data empty.npz: empty.npz
predict 1 --data labels.npz: labels.npz
predict 1 --data good.npz --plots file: file
predict 1 none.png: none.png: no such file, nor a folder with images
predict 1 text.npz: text.npz: not an image that can be read (
predict 1 : : no such file, nor a folder with images
predict 1 pipe.png: pipe.png: no such file
predict 1 folder.keras: no such file, nor a folder with images
predict 1 file --labels text.npz: text.npz: not CSV with the columns file and label
predict 1 file --labels good.keras: good.keras: not CSV
predict 1 file --labels label.csv: label.csv: line 2
predict 1 file --csv folder.keras: folder.keras
predict 2 --data good.npz file: --data
predict 2 --csv a.csv: --csv
predict 2 --labels a.csv: --labels
train 2 --epochs 0: argument --epochs: 0 is not from 1 to 1000000 (see
train 2 --epochs many: argument --epochs: invalid number value: 'many'
"""
NO_DATA = """cut.npz labels.npz shape.npz type.npz lengths.npz fractions.npz nothing.npz
pickled.npz header.npz array.npy"""
NO_MODELS = """none.keras shape.keras cut.keras text.keras folder.keras outputs.keras lambda.keras
lambda.h5 cut.h5"""
NO_OPTIONS = """--output network.txt,--epochs 1000001,--epochs 1.5,--batch-size -1,--nonsense
,--batch-size 0,--learning-rate nan,--learning-rate inf,--learning-rate -0.1,--learning-rate 0
,--validation-split 2,--validation-split -0.1,--seed -1,--seed 4294967296,--precision float16
,--patience 0,--architecture 7x7,--recipe mine,stray,--epochs 1000000000000000000000000000000
,--optimizer gradient,--output keras"""
LINES = [
    *BAD.strip().splitlines(),
    *(f"train 1 --data {name}: {name}: not a data set" for name in NO_DATA.split()),
    *(f"predict 1 --model {name}: {name}: " for name in NO_MODELS.split()),
    *(f"train 2 {text}: {text.split()[0]}" for text in NO_OPTIONS.replace("\n", "").split(",")),
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
    for script in (TRAIN, PREDICT):
        run = run_main(script, "--help", cwd=tmp_path)
        assert not run.stderr and "--plots" in run.stdout
        assert ("--csv" in run.stdout) == (script == PREDICT) != ("--no-augment" in run.stdout)


def test_randomly_damaged_files_are_refused_or_read(bad_files, tmp_path):
    random = np.random.default_rng(0)
    image = Image.fromarray(train_model.draw_digits(1, seed=0)[0][0]).resize((90, 90))
    readers = {
        ".npz": lambda path: train_model.load_digits(path, "train"),
        ".keras": predict_model.load_model, ".h5": predict_model.load_model}
    pictures = dict.fromkeys(
        (".png", ".jpg", ".gif", ".tif", ".bmp"),
        lambda path: predict_model.read_digit(predict_model.open_image(path)))
    for suffix in pictures:
        image.save(tmp_path / f"good{suffix}")
    for suffix, reader in (readers | pictures).items():
        folder = tmp_path if suffix in pictures else bad_files
        good = (folder / f"good{suffix}").read_bytes()
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
