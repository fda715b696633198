"""train_model.py: the network, the data, the files it leaves."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import make_digits, run_script
from PIL import Image

import train_model
from train_model import InputError

LAYERS = [
    ("Conv2D", (24, 24, 32)),
    ("MaxPooling2D", (12, 12, 32)),
    ("Conv2D", (8, 8, 32)),
    ("MaxPooling2D", (4, 4, 32)),
    ("Flatten", (512,)),
    ("Dense", (128,)),
    ("Dense", (10,)),
]


def test_network_is_the_documented_one():
    model = train_model.build_model()
    assert model.input_shape == (None, 28, 28, 1)
    assert [(type(layer).__name__, layer.output.shape[1:]) for layer in model.layers] == LAYERS
    assert model.count_params() == 93_418
    convolutions = [model.layers[0], model.layers[2]]
    assert [layer.kernel_size for layer in convolutions] == [(5, 5)] * 2
    assert [layer.padding for layer in convolutions] == ["valid"] * 2
    assert [layer.strides for layer in (model.layers[1], model.layers[3])] == [(2, 2)] * 2
    activations = [layer.activation.__name__ for layer in (*convolutions, *model.layers[5:])]
    assert activations == ["relu", "relu", "relu", "softmax"]


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
    lines = dict(
        line.strip().split("  ", 1) for line in text.splitlines() if line.startswith("  ")
    )
    lines = {name: value.strip() for name, value in lines.items()}
    assert lines["epochs"] == "5"
    assert lines["validation images"] == "300"
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
    images, labels = train_model.load_digits(small_data, "train")
    model = train_model.keras.saving.load_model(trained / "digit_classifier.keras")
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
    model = train_model.keras.saving.load_model(trained / "digit_classifier.keras")
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


def test_best_epoch_is_kept():
    train_set, validation_set = make_digits(400, seed=1), make_digits(200, seed=2)
    train_model.keras.utils.set_random_seed(1)
    model = train_model.build_model()
    # Five good epochs of 25 steps, then one at a rate that spoils the network.
    schedule = train_model.keras.optimizers.schedules.PiecewiseConstantDecay([125], [0.003, 0.5])
    optimizer = train_model.keras.optimizers.Adam(schedule)
    history = train_model.train(model, optimizer, train_set, validation_set, 6, 16, None)
    accuracies = history["val_accuracy"]
    assert accuracies[-1] < 0.5 < max(accuracies)
    assert train_model.evaluate(model, *validation_set)[0] == pytest.approx(max(accuracies))


def test_patience_stops_early():
    train_set, validation_set = make_digits(400, seed=1), make_digits(200, seed=2)
    train_model.keras.utils.set_random_seed(1)
    model = train_model.build_model()
    optimizer = train_model.keras.optimizers.Adam(0.01)
    history = train_model.train(model, optimizer, train_set, validation_set, 60, 32, 2)
    losses = history["val_loss"]
    assert len(losses) < 60
    assert min(losses) == losses[-3]


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
