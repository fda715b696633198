"""train_model.py: the network, the data, the files it leaves."""

import argparse
import subprocess
import sys

import numpy as np
import pytest
from conftest import accuracy_in, run_script
from PIL import Image

import train_model
from train_model import InputError, draw_digits, keras

ARCHITECTURES = {
    "5x5": (
        93_418,
        [
            ("Conv2D", (24, 24, 32)),
            ("MaxPooling2D", (12, 12, 32)),
            ("Conv2D", (8, 8, 32)),
            ("MaxPooling2D", (4, 4, 32)),
            ("Flatten", (512,)),
            ("Dense", (128,)),
            ("Dense", (10,)),
        ],
    ),
    "3x3-dropout": (
        2_380_938,
        [
            ("Conv2D", (26, 26, 32)),
            ("Conv2D", (24, 24, 64)),
            ("MaxPooling2D", (12, 12, 64)),
            ("Dropout", (12, 12, 64)),
            ("Flatten", (9216,)),
            ("Dense", (256,)),
            ("Dropout", (256,)),
            ("Dense", (10,)),
        ],
    ),
    "3x3": (
        65_194,
        [
            ("Conv2D", (26, 26, 64)),
            ("Conv2D", (24, 24, 32)),
            ("MaxPooling2D", (12, 12, 32)),
            ("Flatten", (4608,)),
            ("Dense", (10,)),
        ],
    ),
    "3x3-pooled": (
        34_826,
        [
            ("Conv2D", (26, 26, 32)),
            ("MaxPooling2D", (13, 13, 32)),
            ("Conv2D", (11, 11, 64)),
            ("MaxPooling2D", (5, 5, 64)),
            ("Flatten", (1600,)),
            ("Dense", (10,)),
        ],
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_networks_are_the_documented_ones(name):
    parameters, layers = ARCHITECTURES[name]
    model = train_model.build_model(name)
    assert model.input_shape == (None, 28, 28, 1)
    assert [(type(layer).__name__, layer.output.shape[1:]) for layer in model.layers] == layers
    assert model.count_params() == parameters
    for layer in model.layers:
        if type(layer).__name__ == "MaxPooling2D":
            assert layer.strides == layer.pool_size == (2, 2)
        if type(layer).__name__ == "Conv2D":
            size = 5 if name == "5x5" else 3
            assert layer.kernel_size == (size, size) and layer.padding == "valid"
    activations = [layer.activation.__name__ for layer in model.layers if layer.weights]
    assert activations == ["relu"] * (len(activations) - 1) + ["softmax"]


def test_every_network_has_a_published_recipe():
    assert ARCHITECTURES.keys() == train_model.ARCHITECTURES.keys()
    assert ARCHITECTURES.keys() == train_model.PUBLISHED_RECIPES.keys()


def test_split_takes_the_last_images_for_validation():
    images, labels = np.arange(60_000), np.arange(60_000) % 10
    train_set, validation_set = train_model.split(images, labels, 0.2)
    assert np.array_equal(train_set[0], np.arange(48_000))
    assert np.array_equal(validation_set[0], np.arange(48_000, 60_000))
    assert np.array_equal(validation_set[1], labels[48_000:])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.99, 1.0])
def test_split_leaves_neither_set_empty(share):
    with pytest.raises(InputError, match="validation-split"):
        train_model.split(np.arange(10), np.arange(10), share)


def test_network_input_is_scaled_to_one():
    images = np.array([[[0, 51], [102, 255]]], np.uint8)
    expected = np.array([[[[0.0], [0.2]], [[0.4], [1.0]]]], np.float32)
    result = train_model.as_input(images)
    assert result.dtype == np.float32
    assert np.allclose(result, expected)


def test_training_reports_and_saves(trained):
    text = (trained / "out.txt").read_text()
    assert text.index("93,418") < text.index("Training statistics")
    lines = dict(line.strip().split("  ", 1) for line in text.splitlines() if line.startswith("  "))
    lines = {name: value.strip() for name, value in lines.items()}
    assert lines["epochs"] == "5"
    assert lines["validation images"] == "500"
    assert lines["network saved as"] == "digit_classifier.keras"
    for name in ("training accuracy", "validation accuracy"):
        assert float(lines[name].split("%")[0]) > 90
    assert (trained / "digit_classifier.keras").stat().st_size < 500_000
    with Image.open(trained / "plots" / "training_curves.png") as picture:
        assert picture.format == "PNG" and picture.width > 800
    progress = (trained / "err.txt").read_text()
    assert "Epoch 5/5" in progress
    assert len(progress.splitlines()) == 10  # nothing from TensorFlow, which has much to say


def test_reported_accuracy_is_that_of_the_saved_network(trained, small_data):
    images, labels, _ = train_model.load_digits(small_data, "train")
    model = keras.saving.load_model(trained / "digit_classifier.keras")
    _, (images, labels) = train_model.split(images, labels, 0.2)
    accuracy, loss = train_model.evaluate(model, images, labels)
    expected = f"validation accuracy  {accuracy:.2%} (loss {loss:.4f})"
    assert expected in (trained / "out.txt").read_text()


PLAIN_KERAS = """
import warnings
warnings.simplefilter("error")
import keras, numpy as np
model = keras.models.load_model(FILE)
data = np.load(DATA)
loss, accuracy = model.evaluate(data["x_test"][..., None] / 255.0, data["y_test"], verbose=0)
print(accuracy, {str(weight.dtype) for weight in model.weights})
"""


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_saved_network_loads_in_plain_keras(trained, small_data, tmp_path, suffix):
    model = keras.saving.load_model(trained / "digit_classifier.keras")
    path = tmp_path / f"copy{suffix}"
    train_model.save_model(model, path)
    assert path.stat().st_size < 500_000
    code = PLAIN_KERAS.replace("FILE", repr(str(path))).replace("DATA", repr(str(small_data)))
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    accuracy, dtypes = run.stdout.split(maxsplit=1)
    assert float(accuracy) > 0.9
    assert dtypes.strip() == "{'float32'}"


def recipe(**changes):
    """Our recipe with some changes, as train takes it."""
    return argparse.Namespace(**train_model.OUR_RECIPE | {"batch_size": 32} | changes)


def train_small(seed=0, more_callbacks=(), **changes):
    """Train on small data; answers the network, its history and its validation set."""
    train_set, validation_set = draw_digits(1000, seed=1), draw_digits(200, seed=2)
    keras.utils.set_random_seed(seed)
    model = train_model.build_model()
    history, status = train_model.train(
        model, train_set, validation_set, recipe(**changes), seed, more_callbacks
    )
    assert status == 0
    return model, history, validation_set


def test_best_epoch_is_kept():
    # The last epoch's rate spoils the network.
    spoil = keras.callbacks.LearningRateScheduler(lambda epoch: 0.002 if epoch < 9 else 0.5)
    model, history, validation_set = train_small(
        more_callbacks=[spoil], epochs=10, one_cycle=False, augment=False
    )
    accuracies = history["val_accuracy"]
    assert accuracies[-1] < 0.5 < max(accuracies)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    assert train_model.evaluate(model, *validation_set)[0] == pytest.approx(
        max(accuracies), abs=0.02
    )


def test_patience_stops_early():
    _, history, _ = train_small(
        epochs=60, patience=2, learning_rate=0.005, one_cycle=False, augment=False
    )
    losses = history["val_loss"]
    assert len(losses) < 60
    assert min(losses) == losses[-3]


def test_same_seed_same_weights():
    first, second, other = (train_small(seed, epochs=2)[0].get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def test_batches_hold_every_image_once_an_epoch():
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 14, 14] = np.arange(50)
    labels = np.arange(50) % 10
    batches = train_model.training_batches(images, labels, 10, augment=False, seed=3).take(10)
    pixels = [np.rint(255 * batch[:, 14, 14, 0]) for batch, _ in batches.as_numpy_iterator()]
    epochs = np.reshape(pixels, (2, 50))
    assert np.array_equal(np.sort(epochs), [np.arange(50)] * 2)
    assert not np.array_equal(epochs[0], epochs[1])
    for batch, one_hot in batches.as_numpy_iterator():
        assert np.array_equal(one_hot.argmax(axis=1), np.rint(255 * batch[:, 14, 14, 0]) % 10)


def test_distortion_keeps_the_digit_and_moves_it():
    images = train_model.as_input(draw_digits(500, seed=4)[0])
    first, again, other = (np.asarray(train_model.distort(images, (seed, 7))) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.02
    assert first.min() >= 0 and first.max() <= 1
    ink, ink_before = first.sum(axis=(1, 2, 3)), images.sum(axis=(1, 2, 3))
    assert np.all((ink / ink_before > 0.5) & (ink / ink_before < 1.6))
    columns = np.arange(28)[:, np.newaxis]
    shift = (first * columns).sum(axis=(1, 2, 3)) / ink
    shift -= (images * columns).sum(axis=(1, 2, 3)) / ink_before
    assert abs(shift.mean()) < 0.3  # no side is preferred: the middle stays the middle
    assert 0.8 < shift.std() < 1.8


def test_calibration_lowers_the_loss_and_changes_no_decision():
    model, _, (images, labels) = train_small(epochs=6, augment=False)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    decisions = model.predict(train_model.as_input(images), verbose=0).argmax(axis=1)
    accuracy, loss = train_model.evaluate(model, images, labels)
    train_model.calibrate(model, images, labels)
    calibrated_accuracy, calibrated_loss = train_model.evaluate(model, images, labels)
    assert calibrated_loss < loss - 0.01
    assert calibrated_accuracy == accuracy
    changed = model.predict(train_model.as_input(images), verbose=0).argmax(axis=1)
    assert np.array_equal(changed, decisions)


@pytest.mark.parametrize(
    "description, expected",
    [
        ("flags : fpu sse2 avx512f avx512_bf16 amx_bf16 amx_tile", "bfloat16"),
        ("flags : fpu sse2 avx512f avx512_bf16 avx512_vbmi", "bfloat16"),
        ("flags : fpu sse2 avx2 avx512f avx512_vnni", "float32"),
        ("Features : fp asimd bf16 svebf16 i8mm", "float32"),  # Arm
        (None, "float32"),  # macOS and Windows have no such file
    ],
)
def test_precision_fits_the_processor(tmp_path, monkeypatch, description, expected):
    monkeypatch.setattr(train_model.tf.config, "list_physical_devices", lambda kind: [])
    path = tmp_path / "cpuinfo"
    if description is not None:
        path.write_text(description)
    assert train_model.fastest_precision(path) == expected


@pytest.mark.parametrize(
    "details, expected",
    [
        ({"compute_capability": (8, 6)}, "bfloat16"),
        ({"compute_capability": (7, 5)}, "float32"),
        ({"device_name": "METAL"}, "float32"),
    ],
)
def test_precision_fits_the_gpu(monkeypatch, details, expected):
    config = train_model.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(config.experimental, "get_device_details", lambda device: details)
    assert train_model.fastest_precision() == expected


def test_bfloat16_trains_a_float32_network():
    model, history, _ = train_small(epochs=4, precision="bfloat16")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert history["val_accuracy"][-1] > 0.5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_trains_saves_loads_and_predicts(small_data, tmp_path, name):
    run = run_script(
        *("train_model.py", "--data", small_data, "--architecture", name, "--recipe", "published"),
        *("--epochs", 2, "--output", "a.keras", "--optimizer", "adam"),
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert "epochs               2\n" in run.stdout
    run = run_script("predict_model.py", "--data", small_data, "--model", "a.keras", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert accuracy_in(run.stdout) > 50


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([], {"epochs": 5, "augment": True, "one_cycle": True, "optimizer": "adam"}),
        (["--no-augment", "--epochs", "9"], {"epochs": 9, "augment": False, "one_cycle": True}),
        (
            ["--recipe", "published"],
            {"epochs": 5, "augment": False, "one_cycle": False, "precision": "float32"},
        ),
        (
            ["--recipe", "published", "--architecture", "3x3-dropout", "--patience", "2"],
            {"epochs": 50, "optimizer": "adadelta", "batch_size": 128, "patience": 2},
        ),
    ],
)
def test_explicit_options_win_over_the_recipe(monkeypatch, arguments, expected):
    monkeypatch.setattr(sys, "argv", ["train_model.py", *arguments])
    assert vars(train_model.parse_arguments()).items() >= expected.items()


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"):
        with train_model.replaced_whole(path) as partial:
            partial.write_text("ne")
            raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_one_epoch_and_hdf5(small_data, tmp_path):
    run = run_script(
        *("train_model.py", "--data", small_data, "--epochs", 1, "--output", "mnist.h5"),
        *("--optimizer", "SGD", "--learning-rate", 0.05, "--plots", "a folder/b"),
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a folder", "mnist.h5"]
    assert (tmp_path / "a folder" / "b" / "training_curves.png").is_file()
    assert "legacy" not in run.stderr
