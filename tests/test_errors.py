"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import json
import os
import zipfile

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, files_in, linux_only, run_main
from PIL import Image

import predict_model
import train_model
from train_model import InputError, keras


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder with good and bad files, which the tables below name."""
    folder = tmp_path_factory.mktemp("files")
    images, labels = train_model.draw_digits(100, seed=0)
    np.savez_compressed(folder / "good.npz", x_train=images, y_train=labels)
    np.savez_compressed(folder / "bomb.npz", x_train=images, y_train=np.zeros(2**29, np.uint8))
    np.savez(folder / "scalar.npz", x_train=5, y_train=5)
    np.save(folder / "array.npy", labels)
    np.savetxt(folder / "table.csv", images.reshape(100, -1), "%d", ",")
    (folder / "images.idx3-ubyte").write_bytes(b"\0\0\x08\x03" + images.tobytes())
    with zipfile.ZipFile(folder / "empty.npz", "w"):
        pass
    network = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    for ending in ("keras", "h5"):
        keras.Sequential(network).save(folder / f"good.{ending}")
    for ending in ("keras", "h5", "npz"):
        good = (folder / f"good.{ending}").read_bytes()
        (folder / f"cut.{ending}").write_bytes(good[: len(good) // 2])
        (folder / f"text.{ending}").write_text("not what\n" + 2**14 * "it is called ")
    (folder / "folder.keras").mkdir()
    (folder / "file").write_text("a file, not a folder")
    Image.fromarray(255 - images[0]).resize((90, 90)).save(folder / "digit.png")
    return folder


def refused(script, *arguments, folder, status=1):
    """Run a script that must refuse and change nothing; returns its only line."""
    before = files_in(folder)
    run = run_main(script, *arguments, cwd=folder, status=status)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{script}: error: ") and "Traceback" not in line
    assert files_in(folder) == before
    return line


@pytest.mark.parametrize(
    "name, said",
    [
        ("none.npz", "No such file"),
        ("two  spaces/a  b.npz", "No such file"),
        ("folder.keras", ""),
        ("bomb.npz", "its arrays are too large"),
        ("cut.npz", ""),
        ("scalar.npz", ""),
    ]
    + [(name, "") for name in ("text.npz", "empty.npz", "array.npy", "table.csv", "good.keras")]
    + [("images.idx3-ubyte", "")],
)
def test_data_that_cannot_be_read_are_named_with_what_is_wanted(folder, name, said):
    line = refused(TRAIN, "--data", name, folder=folder)
    assert line.startswith(f"{TRAIN}: error: {name}: ") and "allow_pickle" not in line
    assert said in line and "wanted" in line


NO_DIGITS = {
    "images from 0 to 1": lambda images, labels: (images / 255, labels),
    "float images": lambda images, labels: (images.astype(float), labels),
    "below 0": lambda images, labels: (images.astype(int) - 1, labels),
    "above 255": lambda images, labels: (images.astype(int) + 1, labels),
    "boolean": lambda images, labels: (images > 127, labels),
    "(n, 24, 28)": lambda images, labels: (images[:, 4:], labels),
    "(n, 28, 28, 3)": lambda images, labels: (np.stack([images] * 3, axis=-1), labels),
    "no images": lambda images, labels: (images[:0], labels[:0]),
    "fewer labels": lambda images, labels: (images, labels[1:]),
    "label 10": lambda images, labels: (images, labels + 1),
    "label -1": lambda images, labels: (images, labels - 1),
    "half labels": lambda images, labels: (images, labels + 0.5),
    "no numbers": lambda images, labels: (images, np.full(100, np.nan)),
    "half hot": lambda images, labels: (images, np.eye(10)[labels] / 2),
    "all hot": lambda images, labels: (images, np.ones((100, 10))),
    "objects": lambda images, labels: (images, labels.astype(object)),
    "words": lambda images, labels: (images, np.array(["cat"] * 100)),
}


@pytest.mark.parametrize("change", NO_DIGITS.values(), ids=NO_DIGITS)
def test_arrays_that_are_no_digits_are_refused_with_what_is_wanted(tmp_path, change):
    images, labels = change(*train_model.draw_digits(100, seed=0))
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels)
    with pytest.raises(InputError, match="a.npz: .*wanted") as refusal:
        train_model.load_digits(tmp_path / "a.npz", "train")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--output", "folder.keras"], "folder.keras: cannot be written"),
        (["--output", "file/a.keras"], "file/a.keras: cannot be written"),
        (["--plots", "file"], "file/training_curves.png: cannot be written"),
        (["--validation-split", 1], "--validation-split 1 of 100 images"),
        (["--validation-split", 0], "--validation-split 0 of 100 images"),
    ],
)
def test_what_cannot_work_is_said_before_the_training(folder, monkeypatch, arguments, said):
    monkeypatch.setattr(train_model, "build_model", None)
    assert said in refused(TRAIN, *arguments, "--data", "good.npz", folder=folder)


def test_folder_closed_to_writing_is_said_before_the_training(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(train_model.tempfile, "TemporaryFile", refuse)
    with pytest.raises(InputError, match="a.keras: cannot be written"):
        train_model.check_writable(tmp_path / "b" / "a.keras")


def test_training_that_diverges_saves_nothing(folder):
    before = files_in(folder)
    options = "--data", "good.npz", "--epochs", 1, "--learning-rate", "1e12"
    run = run_main(TRAIN, *options, cwd=folder, status=1)
    assert "--learning-rate" in run.stderr.splitlines()[-1] and files_in(folder) == before


@pytest.mark.parametrize(
    "option",
    ["--epochs=0", "--epochs=1000001", "--epochs=1.5", "--epochs=many", "--batch-size=0"]
    + ["--learning-rate=nan", "--learning-rate=1e13", "--learning-rate=-0.1", "--patience=0"]
    + ["--optimizer=gradient", "--optimizer=loss_scale_optimizer", "--optimizer="]
    + ["--validation-split=1.1", "--validation-split=-0.1", "--seed=-1", "--seed=4294967296"]
    + ["--output=network.txt", "--output=keras", "--architecture=7x7", "--recipe=mine"]
    + ["--nonsense", "stray"],
)
def test_bad_option_is_named_with_a_hint_at_the_help(folder, option):
    line = refused(TRAIN, option, folder=folder, status=2)
    assert option.split("=")[0] in line and line.endswith("(see --help)")


@pytest.mark.parametrize(
    "option, said",
    [
        ("--epochs=0", "0 is not from 1 to 1000000"),
        ("--epochs=many", "invalid int value: 'many'"),
        ("--learning-rate=fast", "invalid float value: 'fast'"),
        ("--optimizer=gradient", "Keras has no optimizer 'gradient'"),
    ],
)
def test_bad_value_of_an_option_is_told_with_what_is_wrong(folder, option, said):
    assert said in refused(TRAIN, option, folder=folder, status=2)


@pytest.mark.parametrize(
    "arguments", [["--data", "good.npz", "digit.png"], ["--csv", "a.csv"]], ids=["--data", "--csv"]
)
def test_options_of_prediction_that_do_not_go_together_are_refused(folder, arguments):
    assert arguments[0] in refused(PREDICT, *arguments, folder=folder, status=2)


@pytest.mark.parametrize("script, option", [(TRAIN, "--no-augment"), (PREDICT, "--csv")])
def test_help_lists_the_options(tmp_path, script, option):
    assert option in run_main(script, "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--data", "good.npz"], "good.npz: 'x_test"),
        (["digit.png", "--csv", "folder.keras"], "folder.keras: "),
        (["digit.png", "--csv", "none/a.csv"], "none/a.csv: No such file"),
        (["digit.png", "--plots", "file"], "file/own_digits.png: cannot be written"),
    ],
)
def test_prediction_names_what_it_cannot_read_or_write(folder, arguments, said):
    line = refused(PREDICT, "--model", "good.keras", *arguments, folder=folder)
    assert line.startswith(f"{PREDICT}: error: {said}")


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize(
    "name", ["none.keras", "folder.keras", "cut.keras", "cut.h5", "text.keras", "text.h5"]
)
def test_file_that_holds_no_network_is_named(folder, name):
    assert f"error: {name}: " in refused(PREDICT, "--model", name, folder=folder)


IMAGE, FLATTEN, SOFTMAX = keras.Input((28, 28, 1)), keras.layers.Flatten, "softmax"


def sum_of_1():
    """Make a layer that leaves nothing of its input, but a first output of 2 and a last of -1."""
    weights = [np.zeros((10, 10)), np.eye(10)[0] * 2 - np.eye(10)[9]]
    layer = keras.layers.Dense(10)
    layer.build((None, 10))
    layer.set_weights(weights)
    return layer


OTHER_NETWORKS = {
    "logits": ("softmax", lambda dense: [IMAGE, FLATTEN(), dense(10)]),
    "log-probabilities": ("softmax", lambda dense: [IMAGE, FLATTEN(), dense(10, "log_softmax")]),
    "sigmoid": ("softmax", lambda dense: [IMAGE, FLATTEN(), dense(10, "sigmoid")]),
    "negative, of sum 1": ("softmax", lambda dense: [IMAGE, FLATTEN(), dense(10), sum_of_1()]),
    "11 outputs": ("28x28", lambda dense: [IMAGE, FLATTEN(), dense(11, SOFTMAX)]),
    "an output a pixel": ("28x28", lambda dense: [IMAGE, dense(10, SOFTMAX)]),
    "32x32": ("28x28", lambda dense: [keras.Input((32, 32, 1)), FLATTEN(), dense(10, SOFTMAX)]),
    "colour": ("28x28", lambda dense: [keras.Input((28, 28, 3)), FLATTEN(), dense(10, SOFTMAX)]),
    "unbuilt": ("", lambda dense: []),
    "code": ("ambda", lambda dense: [IMAGE, FLATTEN(), keras.layers.Lambda(lambda x: x)]),
}


@pytest.mark.parametrize("said, layers", OTHER_NETWORKS.values(), ids=OTHER_NETWORKS)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_network_that_gives_no_probabilities_of_digits_is_refused(tmp_path, ending, said, layers):
    path = tmp_path / f"a.{ending}"
    keras.Sequential(layers(keras.layers.Dense)).save(path)
    with pytest.raises(InputError, match=f"a.{ending}: .*{said}") as refusal:
        predict_model.load_model(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (784,)])
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_network_of_any_usual_shape_of_images_is_read(tmp_path, shape, ending):
    layers = [keras.Input(shape), FLATTEN(), keras.layers.Dense(10, SOFTMAX)]
    network, (images, _) = keras.Sequential(layers), train_model.draw_digits(20, seed=0)
    network.save(tmp_path / f"a.{ending}")
    read = predict_model.load_model(tmp_path / f"a.{ending}")
    expected = network.predict(images.reshape(-1, *shape) / 255, verbose=0)
    assert np.allclose(predict_model.predict(read, images), expected, atol=1e-5)


def test_network_of_another_keras_is_refused_with_its_reason_and_both_versions(folder, tmp_path):
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(folder / "good.keras") as good, zipfile.ZipFile(path, "w") as changed:
        for name in good.namelist():
            content = good.read(name)
            if name == "metadata.json":
                content = json.dumps({"keras_version": "9.8.7"})
            elif name == "config.json":
                content = content.replace(b'"units"', b'"novelty": 1, "units"')
            changed.writestr(name, content)
    line = refused(PREDICT, "--model", path, folder=folder)
    assert "novelty" in line and "9.8.7" in line and f"Keras {keras.__version__}" in line


# ---------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    "ending", ["npz", "keras", "h5", "png", "jpg", "gif", "tif", "bmp", "webp"]
)
def test_randomly_damaged_file_is_refused_or_read(folder, tmp_path, ending):
    random, path = np.random.default_rng(0), tmp_path / f"damaged.{ending}"
    if ending in ("npz", "keras", "h5"):
        good = (folder / f"good.{ending}").read_bytes()
    else:
        Image.open(folder / "digit.png").save(path)
        good = path.read_bytes()
    network = predict_model.load_model(folder / "good.keras")
    refusals = []
    for _ in range(30):
        start, size = random.integers(len(good)), random.choice([1, 200, len(good)])
        noise = random.bytes(random.integers(20))
        path.write_bytes(good[:start] + noise + good[start + size :])
        try:
            if ending == "npz":
                train_model.load_digits(path, "train")
            elif ending in ("keras", "h5"):
                predict_model.load_model(path)
            else:
                predict_model.predict_digit(network, path)
        except InputError as refusal:
            refusals.append(str(refusal))
    assert refusals and not any("\n" in refusal for refusal in refusals)


@linux_only
def test_pipe_in_the_place_of_a_network_is_no_wait(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe.keras")
    assert "pipe.keras: " in refused(PREDICT, "--model", tmp_path / "pipe.keras", folder=folder)
