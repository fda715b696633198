"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import zipfile

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, files_in, run_main, small_network
from PIL import Image

import predict_model
import train_model
from train_model import keras

ARRAYS = {
    "good": lambda x, y: (x, y),
    "scalar": lambda x, y: (5, 5),
    "images from 0 to 1": lambda x, y: (x / 255, y),
    "below 0": lambda x, y: (x.astype(int) - 1, y),
    "above 255": lambda x, y: (x.astype(int) + 1, y),
    "(n, 24, 28)": lambda x, y: (x[:, 4:], y),
    "(n, 784)": lambda x, y: (x.reshape(-1, 784), y),
    "(n, 28, 28, 3)": lambda x, y: (np.stack([x] * 3, axis=3), y),
    "no images": lambda x, y: (x[:0], y[:0]),
    "fewer labels": lambda x, y: (x, y[1:]),
    "label 10": lambda x, y: (x, y + 1),
    "label 0.5": lambda x, y: (x, y / 2),
    "one-hot": lambda x, y: (x, np.eye(10, dtype=int)[y]),
    "objects": lambda x, y: (x, y.astype(object)),
}
NETWORKS = {
    "good.keras": small_network(),
    "good.h5": small_network(),
    "logits.keras": small_network(last=keras.layers.Dense(10)),
    "sigmoid.h5": small_network(last=keras.layers.Dense(10, "sigmoid")),
    "eleven.keras": small_network(last=keras.layers.Dense(11, "softmax")),
    "32x32.h5": small_network((32, 32, 1)),
    "code.h5": small_network(last=keras.layers.Lambda(lambda x: x)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with good and bad files, which the tables name."""
    folder = tmp_path_factory.mktemp("files")
    images, labels = train_model.synthetic_digits(100, seed=0)
    for name, change in ARRAYS.items():
        given, digits = change(images, labels)
        np.savez_compressed(folder / f"{name}.npz", x_train=given, y_train=digits)
    np.save(folder / "array.npy", labels)
    (folder / "images.idx3-ubyte").write_bytes(b"\0\0\x08\x03" + images.tobytes())
    zipfile.ZipFile(folder / "empty.npz", "w").close()
    for name, network in NETWORKS.items():
        network.save(folder / name)
    for ending, other in (("keras", "h5"), ("h5", "keras"), ("npz", "zip")):
        good = (folder / f"good.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(good[: len(good) // 2])
        (folder / f"text.{ending}").write_text("not what\n" + 2**14 * "it is called ")
        (folder / f"renamed.{other}").write_bytes(good)
    small_network().export(folder / "exported", verbose=False)
    Image.fromarray(255 - images[0]).resize((90, 90)).save(folder / "good.png")
    (folder / "folder.keras").mkdir()
    (folder / "file").write_text("a file, not a folder")
    return folder


def refused(script, *arguments, folder, status=1):
    """Run a script that must refuse and change nothing; returns what its only line says."""
    before = files_in(folder)
    run = run_main(script, *arguments, cwd=folder, status=status)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{script}: error: ") and len(line) < 600 and files_in(folder) == before
    return line.removeprefix(f"{script}: error: ")


@pytest.mark.parametrize(
    "name",
    ["none.npz", "two  spaces/a  b.npz", "folder.keras", "cut.npz", "text.npz", "empty.npz"]
    + ["array.npy", "good.keras", "images.idx3-ubyte", *(f"{it}.npz" for it in [*ARRAYS][1:])],
)
def test_data_that_are_no_digits_are_named_with_what_is_wanted(folder, name):
    line = refused(TRAIN, "--data", name, folder=folder)
    assert name in line and "wanted" in line


@pytest.mark.parametrize(
    "script, option",
    [
        (TRAIN, "--epochs=0"),
        (TRAIN, "--epochs=many"),
        (TRAIN, "--seed=-1"),
        (TRAIN, "--output=network.txt"),
        (TRAIN, "--architecture=7x7"),
        (TRAIN, "stray"),
        (PREDICT, "--csv=a.csv"),
        (PREDICT, "--csv=a.PNG good.png"),
        (PREDICT, "--data=a good.png"),
        (PREDICT, "--draw --data=a"),
    ],
)
def test_bad_option_is_named_with_a_hint_at_the_help(folder, script, option):
    line = refused(script, *option.split(), folder=folder, status=2)
    assert option.split("=")[0].split()[0] in line and line.endswith("(see --help)")


def test_help_lists_the_options(tmp_path):
    assert "--epochs" in run_main(TRAIN, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "script, options, said",
    [
        (TRAIN, "--output folder.keras", "folder.keras: cannot be written"),
        (TRAIN, "--output file/a.keras", "file/a.keras: cannot be written"),
        (PREDICT, "--data good.npz", "good.npz: "),  # It has no test set.
        (PREDICT, "good.png --csv file/a.csv", "file/a.csv: "),
    ],
)
def test_what_cannot_work_is_said_before_the_work(folder, monkeypatch, script, options, said):
    monkeypatch.setattr(train_model, "build_model", None)
    monkeypatch.setattr(predict_model, "predict_digits", None)
    good = {TRAIN: ["--data", "good.npz"], PREDICT: ["--model", "good.keras"]}[script]
    assert refused(script, *good, *options.split(), folder=folder).startswith(said)


@pytest.mark.parametrize(
    "name",
    ["folder.keras", "cut.keras", "cut.h5", "text.keras", "text.h5", "renamed.keras", "renamed.h5"]
    + ["renamed.zip", "exported", *[*NETWORKS][2:]],
)
def test_file_that_is_no_network_for_digits_is_named_with_what_is_wanted(folder, name):
    line = refused(PREDICT, "--model", name, folder=folder)
    assert line.startswith(f"{name}: Keras") and "softmax" in line and "rename it" in line


def test_network_that_both_scripts_mean_is_the_same(tmp_path):
    line = refused(PREDICT, folder=tmp_path)
    assert line == f"{train_model.MODEL_FILE}: there is no such file; train_model.py makes it"


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
def test_network_of_any_usual_shape_of_images_is_read(tmp_path, shape):
    network = small_network(shape)
    images, _ = train_model.synthetic_digits(20, seed=0)
    network.save(tmp_path / "a.h5")
    read = predict_model.load_model(tmp_path / "a.h5")
    expected = network.predict(images.reshape(-1, *shape) / 255, verbose=0)
    assert np.allclose(predict_model.predict(read, images), expected, atol=1e-5)
