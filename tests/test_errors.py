"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import zipfile

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, files_in, run_main, small_network
from PIL import Image

import predict_model
import train_model
from train_model import keras


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with good and bad files, which the tables below name."""
    folder = tmp_path_factory.mktemp("files")
    images, labels = train_model.synthetic_digits(100, seed=0)
    np.savez_compressed(folder / "good.npz", x_train=images, y_train=labels)
    np.savez(folder / "scalar.npz", x_train=5, y_train=5)
    np.save(folder / "array.npy", labels)
    (folder / "images.idx3-ubyte").write_bytes(b"\0\0\x08\x03" + images.tobytes())
    zipfile.ZipFile(folder / "empty.npz", "w").close()
    for ending in ("keras", "h5"):
        small_network().save(folder / f"good.{ending}")
    for ending in ("keras", "h5", "npz"):
        good = (folder / f"good.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(good[: len(good) // 2])
        (folder / f"text.{ending}").write_text("not what\n" + 2**14 * "it is called ")
    Image.fromarray(255 - images[0]).resize((90, 90)).save(folder / "good.png")
    (folder / "folder.keras").mkdir()
    (folder / "file").write_text("a file, not a folder")
    return folder


def refused(script, *arguments, folder, status=1):
    """Run a script that must refuse and change nothing; returns its only line."""
    before = files_in(folder)
    run = run_main(script, *arguments, cwd=folder, status=status)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{script}: error: ") and files_in(folder) == before
    return line


@pytest.mark.parametrize(
    "name",
    ["none.npz", "two  spaces/a  b.npz", "folder.keras", "cut.npz", "scalar.npz"]
    + ["text.npz", "empty.npz", "array.npy", "good.keras", "images.idx3-ubyte"],
)
def test_data_that_cannot_be_read_are_named_with_what_is_wanted(folder, name):
    line = refused(TRAIN, "--data", name, folder=folder)
    assert line.startswith(f"{TRAIN}: error: {name}: ") and "wanted" in line


NO_DIGITS = {
    "images from 0 to 1": lambda x, y: (x / 255, y),
    "below 0": lambda x, y: (x.astype(int) - 1, y),
    "above 255": lambda x, y: (x.astype(int) + 1, y),
    "(n, 24, 28)": lambda x, y: (x[:, 4:], y),
    "(n, 784)": lambda x, y: (x.reshape(-1, 784), y),
    "(n, 28, 28, 3)": lambda x, y: (np.stack([x] * 3, axis=3), y),
    "too few": lambda x, y: (x[:2], y[:2]),
    "fewer labels": lambda x, y: (x, y[1:]),
    "label 10": lambda x, y: (x, y + 1),
    "label 0.5": lambda x, y: (x, y / 2),
    "one-hot": lambda x, y: (x, np.eye(10, dtype=int)[y]),
    "objects": lambda x, y: (x, y.astype(object)),
}


@pytest.mark.parametrize("change", NO_DIGITS.values(), ids=NO_DIGITS)
def test_arrays_that_are_no_digits_are_refused_with_what_is_wanted(tmp_path, change):
    images, labels = change(*train_model.synthetic_digits(100, seed=0))
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels)
    assert "wanted" in refused(TRAIN, "--data", "a.npz", folder=tmp_path)


@pytest.mark.parametrize(
    "script, option, said",
    [
        (TRAIN, "--epochs=0", "1 or more"),
        (TRAIN, "--epochs=many", "invalid int"),
        (TRAIN, "--seed=-1", "from 0"),
        (TRAIN, "--output=network.txt", ".keras or .h5"),
        (TRAIN, "--architecture=7x7", "5x5"),
        (TRAIN, "stray", "stray"),
        (PREDICT, "--csv=a.csv", "images"),
        (PREDICT, "--csv=a.PNG good.png", "ends in .csv"),
        (PREDICT, "--data=a good.png", "not allowed with"),
        (PREDICT, "--data=a --draw", "not allowed with"),
    ],
)
def test_bad_option_is_named_with_a_hint_at_the_help(folder, script, option, said):
    line = refused(script, *option.split(), folder=folder, status=2)
    assert option.split("=")[0] in line and said in line and line.endswith("(see --help)")


def test_help_lists_the_options(tmp_path):
    assert "--epochs" in run_main(TRAIN, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "script, options, said",
    [
        (TRAIN, "--output folder.keras", "folder.keras: cannot be written"),
        (TRAIN, "--output file/a.keras", "file/a.keras: cannot be written"),
        (PREDICT, "--data good.npz", "good.npz: "),  # It has no test set.
        (PREDICT, "good.png --csv none/a.csv", "none/a.csv: "),
        (PREDICT, "good.png --csv file/a.csv", "file/a.csv: "),
        (PREDICT, "--model none.keras", "none.keras: there is no such file; train_model.py makes"),
        (PREDICT, "--model folder.keras", "folder.keras: "),
        (PREDICT, "--model cut.keras", "cut.keras: "),
        (PREDICT, "--model cut.h5", "cut.h5: "),
        (PREDICT, "--model text.keras", "text.keras: "),
        (PREDICT, "--model text.h5", "text.h5: "),
    ],
)
def test_what_cannot_work_is_said_before_the_work(folder, monkeypatch, script, options, said):
    monkeypatch.setattr(train_model, "build_model", None)
    monkeypatch.setattr(predict_model, "predict_digits", None)
    good = {TRAIN: ["--data", "good.npz"], PREDICT: ["--model", "good.keras"]}[script]
    line = refused(script, *good, *options.split(), folder=folder)
    assert line.startswith(f"{script}: error: {said}")


def test_network_that_both_scripts_mean_is_the_same(tmp_path):
    assert f"error: {train_model.MODEL_FILE}: " in refused(PREDICT, folder=tmp_path)


@pytest.mark.parametrize(
    "name, side, last, said",
    [
        ("logits.keras", 28, keras.layers.Dense(10), "softmax"),
        ("sigmoid.h5", 28, keras.layers.Dense(10, "sigmoid"), "softmax"),
        ("eleven.keras", 28, keras.layers.Dense(11, "softmax"), "28x28"),
        ("32x32.h5", 32, keras.layers.Dense(10, "softmax"), "28x28"),
        ("code.h5", 28, keras.layers.Lambda(lambda x: x), "ambda"),
    ],
)
def test_network_that_gives_no_probabilities_of_digits_is_refused(tmp_path, name, side, last, said):
    layers = [keras.Input((side, side, 1)), keras.layers.Flatten(), last]
    keras.Sequential(layers).save(tmp_path / name)
    assert said in refused(PREDICT, "--model", name, folder=tmp_path)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
def test_network_of_any_usual_shape_of_images_is_read(tmp_path, shape):
    network = small_network(shape)
    images, _ = train_model.synthetic_digits(20, seed=0)
    network.save(tmp_path / "a.h5")
    read = predict_model.load_model(tmp_path / "a.h5")
    expected = network.predict(images.reshape(-1, *shape) / 255, verbose=0)
    assert np.allclose(predict_model.predict(read, images), expected, atol=1e-5)
