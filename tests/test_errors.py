"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import re

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
    "from 0 to 1": lambda x, y: (x / 255, y),
    "above 255": lambda x, y: (x.astype(int) + 1, y),
    "(n, 28, 28, 3)": lambda x, y: (np.stack([x] * 3, axis=3), y),
    "no images": lambda x, y: (x[:0], y[:0]),
    "fewer labels": lambda x, y: (x, y[1:]),
    "label 10": lambda x, y: (x, y + 1),
    "one-hot": lambda x, y: (x, np.eye(10, dtype=int)[y]),
}
NETWORKS = {
    "good.keras": small_network(),
    "good.h5": small_network(),
    "logits.keras": small_network(last=keras.layers.Dense(10)),
    "eleven.keras": small_network(last=keras.layers.Dense(11, "softmax")),
    "32x32.h5": small_network((32, 32, 1)),
    "code.h5": small_network(last=keras.layers.Lambda(lambda x: x)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with good and bad files, which the tables name."""
    folder = tmp_path_factory.mktemp("files")
    digits = train_model.synthetic_digits(100, seed=0)
    for name, change in ARRAYS.items():
        np.savez(folder / f"{name}.npz", **dict(zip(("x_train", "y_train"), change(*digits))))
    np.save(folder / "array.npy", digits[1])
    for name, network in NETWORKS.items():
        network.save(folder / name)
    for ending, other in (("keras", "h5"), ("h5", "keras"), ("npz", "zip")):
        good = (folder / f"good.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(good[: len(good) // 2])
        (folder / f"text.{ending}").write_text("not what\n" + 2**14 * "it is called ")
        (folder / f"renamed.{other}").write_bytes(good)
    small_network().export(folder / "exported", verbose=False)
    Image.fromarray(255 - digits[0][0]).save(folder / "good.png")
    (folder / "folder.keras").mkdir()
    return folder


def refused(script, *arguments, folder, status=1):
    """Run a script that must refuse and change nothing; returns what its only line says."""
    before = files_in(folder)
    run = run_main(script, *arguments, cwd=folder, status=status)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{script}: error: ") and len(line) < 600 and files_in(folder) == before
    return line.removeprefix(f"{script}: error: ")


DATA = "none.npz", "two  spaces/a  b.npz", "folder.keras", "cut.npz", "text.npz", "array.npy"
NO_NETWORKS = "folder.keras cut.keras cut.h5 text.keras renamed.keras renamed.h5 renamed.zip"


@pytest.mark.parametrize("name", [*DATA, "good.keras", *(f"{it}.npz" for it in [*ARRAYS][1:])])
def test_data_that_are_no_digits_are_named_with_what_is_wanted(folder, name):
    line = refused(TRAIN, "--data", name, folder=folder)
    assert name in line and "wanted" in line


@pytest.mark.parametrize("name", [*NO_NETWORKS.split(), "exported", *[*NETWORKS][2:]])
def test_file_that_is_no_network_for_digits_is_named_with_what_is_wanted(folder, name):
    line = refused(PREDICT, "--model", name, folder=folder)
    assert line.startswith(f"{name}: Keras") and "softmax" in line and "rename it" in line


OPTIONS = {
    TRAIN: ["--epochs=0", "--epochs=many", "--seed=-1", "--output=a.txt", "--architecture=7x7"],
    PREDICT: ["--csv=a.csv", "--csv=a.PNG good.png", "--data=a good.png", "--draw --data=a"],
}


@pytest.mark.parametrize("script, typed", [(it, typed) for it in OPTIONS for typed in OPTIONS[it]])
def test_bad_option_is_named_with_a_hint_at_the_help(folder, script, typed):
    line = refused(script, *typed.split(), folder=folder, status=2)
    assert re.split("[ =]", typed)[0] in line and line.endswith("(see --help)")
    assert "--data" in run_main(script, "--help", cwd=folder).stdout


@pytest.mark.parametrize("share", [0, 1])
def test_recipe_without_a_validation_set_is_refused(folder, monkeypatch, share):
    monkeypatch.setitem(train_model.RECIPE, "validation_split", share)
    assert "validation_split" in refused(TRAIN, folder=folder, status=2)


@pytest.mark.parametrize(
    "script, options, said",
    [
        (TRAIN, "--data good.npz --output folder.keras", "folder.keras: cannot be written"),
        (TRAIN, "--data good.npz --output good.png/a.h5", "good.png/a.h5: cannot be written"),
        (PREDICT, "", f"{train_model.MODEL_FILE}: there is no such file; train_model.py makes it"),
        (PREDICT, "--data good.npz --model good.keras", "good.npz: "),  # It has no test set.
        (PREDICT, "good.png --csv good.png/a.csv --model good.keras", "good.png/a.csv: "),
    ],
)
def test_what_cannot_work_is_said_before_the_work(folder, monkeypatch, script, options, said):
    monkeypatch.setattr(train_model, "build_model", None)
    monkeypatch.setattr(predict_model, "find_digits", None)
    assert said in refused(script, *options.split(), folder=folder)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
def test_network_of_any_usual_shape_of_images_is_read(tmp_path, shape):
    network = small_network(shape)
    images, _ = train_model.synthetic_digits(20, seed=0)
    network.save(tmp_path / "a.h5")
    read = predict_model.load_model(tmp_path / "a.h5")
    expected = network.predict(images.reshape(-1, *shape) / 255, verbose=0)
    assert np.allclose(predict_model.predict(read, images), expected, atol=1e-5)
