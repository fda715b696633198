"""train_model.py: the network, the data, the training, the files it leaves."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, accuracy_in, files_in, run_main
from PIL import Image

import train_model
from train_model import PUBLISHED_RECIPES, InputError, Recipe, as_input, draw_digits, keras

# The shapes that the layers answer, and the parameters.
NETWORKS = {
    "5x5": "24 24 32, 12 12 32, 8 8 32, 4 4 32, 512, 128, 10: 93418",
    "3x3-dropout": "26 26 32, 24 24 64, 12 12 64, 12 12 64, 9216, 256, 256, 10: 2380938",
    "3x3": "26 26 64, 24 24 32, 12 12 32, 4608, 10: 65194",
    "3x3-pooled": "26 26 32, 13 13 32, 11 11 64, 5 5 64, 1600, 10: 34826",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_the_documented_ones(name):
    assert NETWORKS.keys() == train_model.ARCHITECTURES.keys() == PUBLISHED_RECIPES.keys()
    model = train_model.build_model(name)
    assert model.input_shape == (None, 28, 28, 1)
    shapes = ", ".join(" ".join(map(str, layer.output.shape[1:])) for layer in model.layers)
    assert f"{shapes}: {model.count_params()}" == NETWORKS[name]
    activations = [layer.activation.__name__ for layer in model.layers if layer.weights]
    assert activations == ["relu"] * (len(activations) - 1) + ["softmax"]
    rates = [layer.rate for layer in model.layers if "Dropout" in type(layer).__name__]
    assert rates == ([0.25, 0.5] if name == "3x3-dropout" else [])


PLAIN = Recipe(5, 32, "adam", None, False, "float32", 0.2, None, 0, False, 0, 0, False, False)
LARGE = replace(PLAIN, epochs=50, batch_size=128, optimizer="adadelta", patience=5)


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("", Recipe(5, None, "adam", None, True, "auto", 0.2, None, 0, True, 0.0004, 0.1)),
        ("--no-augment --epochs 9", Recipe(epochs=9, augment=False)),
        ("--epochs 1 --batch-size 1 --patience 1", Recipe(1, batch_size=1, patience=1)),
        ("--seed 4294967295 --precision bfloat16", Recipe(precision="bfloat16", seed=2**32 - 1)),
        ("--optimizer sgd --learning-rate 0.1", Recipe(optimizer="sgd", learning_rate=0.1)),
        ("--recipe published", PLAIN),
        ("--recipe published --architecture 3x3", replace(PLAIN, epochs=10)),
        ("--recipe published --architecture 3x3-pooled --epochs 2", replace(PLAIN, epochs=2)),
        ("--recipe published --architecture 3x3-dropout", replace(LARGE, validation_split=1 / 12)),
    ],
)
def test_explicit_options_win_over_the_recipe(monkeypatch, arguments, expected):
    monkeypatch.setattr(sys, "argv", [TRAIN, *arguments.split()])
    assert train_model.parse_arguments()[1] == expected


# ---------------------------------------------------------------- the data


def test_split_takes_the_last_images_for_validation():
    images, labels = np.arange(100), np.arange(100) % 10
    train_set, validation_set = train_model.split(images, labels, 0.2)
    assert np.array_equal(train_set, [images[:80], labels[:80]])
    assert np.array_equal(validation_set, [images[80:], labels[80:]])
    assert len(train_model.split(images[:10], labels[:10], 0.1)[1][0]) == 1
    for share in (0.0, 0.01, 0.99, 1.0):
        with pytest.raises(InputError, match="validation-split"):
            train_model.split(images[:10], labels[:10], share)


def test_network_input_is_scaled_to_one():
    result = as_input(np.array([[[0, 51], [102, 255]]], np.uint8))
    assert result.dtype == np.float32
    assert np.allclose(result, [[[[0.0], [0.2]], [[0.4], [1.0]]]])


MNIST = {"train": "365dab9bac26085dc69f1022fe166e2f", "test": "a9c5e64a683c5dd2f6a9bf7c61b53e6f"}


@pytest.mark.parametrize("subset, count", [("train", 1500), ("test", 300)])
def test_data_are_called_what_they_are(small_data, monkeypatch, subset, count):
    images, labels, name = train_model.load_digits(small_data, subset)
    assert images.shape == (count, 28, 28) and labels.shape == (count,)
    assert images.dtype == np.uint8 and labels.dtype == np.int64 and name == "small.npz"
    digest = SimpleNamespace(hexdigest=lambda: MNIST[subset])
    monkeypatch.setattr(hashlib, "md5", lambda *content: digest)
    assert train_model.load_digits(small_data, subset)[2] == "MNIST"
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: (count, seed))
    many, seed, name = train_model.load_digits("drawn", subset)
    assert many == {"train": 60_000, "test": 10_000}[subset] and name == "drawn digits, not MNIST"
    assert seed == (subset == "test")  # Not the same digits twice.


def test_drawn_digits_are_the_same_and_stand_as_in_mnist():
    images, labels = draw_digits(500, seed=60)
    again, same_labels = draw_digits(500, seed=60)
    assert np.array_equal(images, again) and np.array_equal(labels, same_labels)
    assert images.shape == (500, 28, 28) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert set(labels) == set(range(10)) and not np.array_equal(images, draw_digits(500, 61)[0])
    for axis in (1, 2):
        ink = images.sum(axis=3 - axis)
        centres = ink @ np.arange(28) / ink.sum(axis=1)
        assert abs(centres.mean() - 14) < 0.1 and np.percentile(abs(centres - 14), 95) < 0.51
    sides = [np.ptp(np.nonzero(picture), axis=1).max() + 1 for picture in images]
    assert np.mean(np.array(sides) == 20) > 0.9 and 18 <= min(sides) and max(sides) <= 20
    assert images.max(axis=(1, 2)).min() == 255
    # A seven has its bar above, a six its bowl below; a one is narrow.
    above = images[:, :14].sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert above[labels == 7].mean() > 0.5 > above[labels == 6].mean()
    width = (images.max(axis=1) > 0).sum(axis=1)
    assert width[labels == 1].mean() < width[labels == 0].mean() - 2


def test_batches_hold_every_image_once_an_epoch():
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 14, 14] = np.arange(50)
    batches = train_model.training_batches(images, np.arange(50) % 10, 10, 0, seed=3).take(10)
    pictures, labels = map(np.concatenate, zip(*batches.as_numpy_iterator()))
    values = np.rint(255 * pictures[:, 14, 14, 0])
    epochs = values.reshape(2, 50)
    assert np.array_equal(np.sort(epochs), [np.arange(50)] * 2)
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(labels, np.eye(10)[values.astype(int) % 10])


def test_distortion_keeps_the_digit_and_moves_it():
    digits = draw_digits(1000, seed=4)[0]
    batches = train_model.training_batches(digits[[0] * 4], np.zeros(4, int), 2, 1.0, seed=3)
    seen = np.concatenate([batch for batch, _ in batches.take(4).as_numpy_iterator()])
    assert len(np.unique(seen, axis=0)) == 8
    images = as_input(digits)
    first, again, other, mild = (
        np.asarray(train_model.distort(images, *how))
        for how in ((1.0, (1, 7)), (1.0, (1, 7)), (1.0, (2, 7)), (0.5, (1, 7)))
    )
    assert np.array_equal(first, again) and abs(first - other).mean() > 0.02
    assert abs(mild - images).mean() < 0.8 * abs(first - images).mean()
    assert first.min() >= 0 and first.max() <= 1
    change = np.log(first.sum(axis=(1, 2, 3)) / images.sum(axis=(1, 2, 3)))
    assert np.all(abs(change) < 0.5) and 0.1 < change.std() < 0.15
    for axis in (1, 2):  # No side is preferred: the middle stays the middle.
        inks = [pictures.sum(axis=(3, 3 - axis)) for pictures in (images, first)]
        centres = [ink @ np.arange(28) / ink.sum(axis=1) for ink in inks]
        shift = centres[1] - centres[0]
        assert abs(shift.mean()) < 0.1 and 0.75 < shift.std() < 1.05


# ---------------------------------------------------------------- training


def evaluate(model, images, labels):
    """Answer accuracy and cross-entropy."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(as_input(images), labels, batch_size=500, verbose=0)
    return accuracy, loss


def train_small(count=1000, more_callbacks=(), **changes):
    """Train on small data; answers the network, its history and its validation set."""
    recipe = Recipe(**{"batch_size": 32} | changes)
    train_set, validation_set = draw_digits(count, seed=1), draw_digits(200, seed=2)
    keras.utils.set_random_seed(recipe.seed)
    model = train_model.build_model()
    history, status = train_model.train(model, train_set, validation_set, recipe, more_callbacks)
    assert status == 0
    return model, history, validation_set


class Plan(keras.callbacks.Callback):
    """Stop a training at its begin; its model and params say what it was to be."""

    def on_train_begin(self, logs=None):
        raise KeyboardInterrupt


def plan(count=600, **changes):
    """Answer the Plan of a training on so many images."""
    callback = Plan()
    with pytest.raises(KeyboardInterrupt):
        train_small(count, [callback], **changes)
    return callback


def test_batches_are_small_in_short_runs():
    cases = {(1, None): 10, (2, None): 5, (3, None): 4, (9, None): 3, (9, 59): 11, (9, 999): 1}
    for (epochs, batch_size), steps in cases.items():
        assert plan(epochs=epochs, batch_size=batch_size).params["steps"] == steps
    for count, epochs, steps in ((640, 1, 10), (641, 1, 11), (512, 9, 2), (513, 9, 3)):
        assert plan(count, epochs=epochs, batch_size=None).params["steps"] == steps


@pytest.mark.parametrize("epochs, strength", [(1, 1), (3, 1.1), (9, 1.2), (-1, 0)])
def test_distortions_are_mild_in_short_runs(monkeypatch, epochs, strength):
    seen, make = [], train_model.training_batches
    monkeypatch.setattr(
        train_model, "training_batches", lambda *given: seen.append(given[3:]) or make(*given)
    )
    plan(epochs=abs(epochs), augment=epochs > 0, seed=8)
    assert seen == [(pytest.approx(strength), 8)]


@pytest.mark.parametrize("epochs, steps, longer", [(10, 200, 1), (200, 4000, 4)])
def test_one_cycle_fits_the_length_of_the_run(epochs, steps, longer):
    optimizer = plan(epochs=epochs, batch_size=30).model.optimizer
    rates = np.array([optimizer._learning_rate(step) for step in range(0, steps + 1, 10)])
    top = 15 * steps // 1000
    assert rates.argmax() == top and rates[top] == pytest.approx(0.01 / longer**0.5)
    assert rates[0] == pytest.approx(rates[top] / 25) and rates[-1] == pytest.approx(0, abs=1e-7)
    assert np.all(np.diff(rates[: top + 1]) > 0) and np.all(np.diff(rates[top:]) < 0)
    assert optimizer.weight_decay == pytest.approx(0.4 / longer**0.5)
    assert optimizer.beta_2 == pytest.approx(1 - 0.05 / longer)


def test_rate_of_the_command_line_is_the_highest():
    schedule = plan(learning_rate=0.3, optimizer="sgd", epochs=2).model.optimizer._learning_rate
    assert max(float(schedule(step)) for step in range(40)) == pytest.approx(0.3, rel=0.02)
    optimizer = plan(learning_rate=0.3, one_cycle=False).model.optimizer
    assert float(optimizer.learning_rate) == pytest.approx(0.3) and not optimizer.weight_decay


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_falls_to_zero_whatever_the_smoothing(smoothing):
    loss = plan(label_smoothing=smoothing).model.loss
    label = np.eye(10, dtype=np.float32)[[3]]
    smoothed = label * (1 - smoothing) + smoothing / 10
    assert float(loss(label, smoothed)) == pytest.approx(0, abs=1e-5)
    other = np.full((1, 10), 0.05, np.float32) + 0.5 * label
    expected = np.sum(smoothed * np.log(np.maximum(smoothed, 1e-30) / other))
    assert float(loss(label, other)) == pytest.approx(expected, abs=1e-5)


def test_orthogonal_steps_are_as_long_and_change_all_directions_alike():
    keras.utils.set_random_seed(0)
    before = train_model.build_model().get_weights()
    settings = {"epochs": 1, "batch_size": 300, "augment": False, "one_cycle": False}
    ours, plain = (
        train_small(300, orthogonal=how, **settings)[0].get_weights() for how in (True, False)
    )
    for start, *ends in zip(before, ours, plain):
        steps = [end - start for end in ends]
        if start.ndim == 1 or start.shape[-1] == 10:
            assert np.allclose(*steps, atol=1e-6)
            continue
        assert np.linalg.norm(steps[0]) == pytest.approx(np.linalg.norm(steps[1]), rel=0.01)
        sizes = [np.linalg.svd(step.reshape(-1, start.shape[-1]))[1] for step in steps]
        evenness = [np.median(size) / size[0] for size in sizes]
        assert evenness[0] > 2 * evenness[1]


def test_best_epoch_is_kept():
    # The last epoch's rate spoils the network.
    spoil = keras.callbacks.LearningRateScheduler(lambda epoch: 0.002 if epoch < 4 else 0.5)
    changes = {"epochs": 5, "one_cycle": False, "augment": False, "orthogonal": False}
    model, history, validation_set = train_small(more_callbacks=[spoil], **changes)
    accuracies = history["val_accuracy"]
    assert accuracies[-1] < 0.5 < max(accuracies)
    assert evaluate(model, *validation_set)[0] == pytest.approx(max(accuracies), abs=0.02)


def test_patience_stops_early():
    changes = {"epochs": 60, "patience": 2, "learning_rate": 0.01, "one_cycle": False}
    losses = train_small(500, augment=False, **changes)[1]["val_loss"]
    assert len(losses) < 60 and min(losses) == losses[-3]


def test_same_seed_same_weights(small_data, tmp_path):
    weights = []
    for seed in (5, 5, 6):
        arguments = ["--data", small_data, "--epochs", 1, "--batch-size", 600, "--seed", seed]
        run_main(TRAIN, *arguments, cwd=tmp_path)
        saved = keras.saving.load_model(tmp_path / "digit_classifier.keras")
        weights.append(np.concatenate([array.ravel() for array in saved.get_weights()]))
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_bfloat16_trains_a_float32_network():
    at_start = plan(precision="bfloat16").model
    assert {layer.compute_dtype for layer in at_start.layers[:-1]} == {"bfloat16"}
    model, history, _ = train_small(epochs=3, precision="bfloat16")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert history["val_accuracy"][-1] > 0.5


@pytest.mark.parametrize(
    "description, expected",
    [
        ("flags : fpu sse2 avx512f avx512_bf16 avx512_vbmi", "bfloat16"),
        ("flags : fpu sse2 amx_bf16", "bfloat16"),
        ("flags : fpu sse2 avx2 avx512f avx512_vnni", "float32"),
        ("Features : fp asimd bf16 svebf16 i8mm", "float32"),  # Arm
        (None, "float32"),  # macOS and Windows have no such file
        ({"compute_capability": (8, 0)}, "bfloat16"),
        ({"compute_capability": (7, 5)}, "float32"),
        ({"device_name": "METAL"}, "float32"),
    ],
)
def test_precision_fits_the_machine(tmp_path, monkeypatch, description, expected):
    config, path, gpu = train_model.tf.config, tmp_path / "cpuinfo", isinstance(description, dict)
    if isinstance(description, str):
        path.write_text(description)
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: description)
    monkeypatch.setattr(config, "list_physical_devices", lambda kind: ["a GPU"] if gpu else [])
    assert train_model.fastest_precision(path) == expected


@pytest.mark.parametrize("sharper", [0.3, 3])
def test_calibration_lowers_the_loss_and_changes_no_decision(model, small_data, sharper):
    images, labels, _ = train_model.load_digits(small_data, "test")
    model.layers[-1].set_weights([sharper * array for array in model.layers[-1].get_weights()])
    results, decisions = [], []
    for _ in range(3):
        decisions.append(model.predict(as_input(images), verbose=0).argmax(axis=1))
        results.append(evaluate(model, images, labels))
        train_model.calibrate(model, images, labels)
    (accuracy, loss), (same_accuracy, lower), (_, no_lower) = results
    assert lower < loss - 0.01 and no_lower == pytest.approx(lower, abs=1e-3)
    assert accuracy == same_accuracy and np.array_equal(*decisions[:2])


# ---------------------------------------------------------------- the files


def test_training_reports_what_the_saved_network_does(trained, model, small_data):
    path, run = trained
    assert run.stdout.index("93,418") < run.stdout.index("Training statistics")
    lines = [line.strip().split("  ", 1) for line in run.stdout.splitlines() if line[:2] == "  "]
    lines = {name: value.strip() for name, value in lines}
    assert lines["data"] == "small.npz" and lines["epochs"] == "5"
    assert lines["validation images"] == "300" and lines["network saved as"] == r"n\xe9t.keras"
    assert "Epoch 5/5" in run.stderr
    assert len(run.stderr.splitlines()) == 10  # nothing from TensorFlow, which has much to say
    assert files_in(path.parent).keys() == {path.name, "plots", "plots/training_curves.png"}
    assert model.name == "trained_on_small.npz"
    parts = train_model.split(*train_model.load_digits(small_data, "train")[:2], 0.2)
    for name, part in zip(("training", "validation"), parts):
        accuracy, loss = evaluate(model, *part)
        assert accuracy > 0.8 and lines[f"{name} accuracy"] == f"{accuracy:.2%} (loss {loss:.4f})"
    train_model.calibrate(model, *parts[1])
    assert evaluate(model, *parts[1])[1] == pytest.approx(loss, abs=1e-3)


PLAIN_KERAS = """
import sys, warnings
warnings.simplefilter("error")
import keras, numpy as np
data = np.load(sys.argv[1])
for path in sys.argv[2:]:
    model = keras.models.load_model(path)
    loss, accuracy = model.evaluate(data["x_test"][..., None] / 255.0, data["y_test"], verbose=0)
    assert accuracy > 0.8 and {str(weight.dtype) for weight in model.weights} == {"float32"}
"""


def test_saved_network_loads_in_plain_keras(trained, model, small_data, tmp_path):
    train_model.save_model(model, tmp_path / "copy.h5")
    paths = [trained[0], tmp_path / "copy.h5"]
    assert max(path.stat().st_size for path in paths) < 500_000
    command = [sys.executable, "-c", PLAIN_KERAS, small_data, *paths]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_another_network_trains_saves_loads_and_predicts(small_data, tmp_path):
    options = ["--recipe", "published", "--epochs", 2, "--optimizer", "adam", "--plots", "b/c"]
    options += ["--architecture", "3x3-dropout", "--output", "a folder/a.h5", "--data", small_data]
    run = run_main(TRAIN, *options, cwd=tmp_path)
    assert "epochs               2\n" in run.stdout and "legacy" not in run.stderr
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"a folder/a.h5", "b/c/training_curves.png"}
    run = run_main(PREDICT, "--data", small_data, "--model", "a folder/a.h5", cwd=tmp_path)
    assert accuracy_in(run.stdout) > 50


def test_curves(trained, tmp_path):
    with Image.open(trained[0].parent / "plots" / "training_curves.png") as picture:
        assert picture.format == "PNG" and picture.width == 1500
    history = dict(accuracy=[0.5, 0.7], val_accuracy=[0.6, 0.8], loss=[3, 2], val_loss=[2, 1])
    for augment, label in ((True, "training, on distorted images"), (False, "training")):
        figure = train_model.plot_history(history, "small.npz", augment)
        assert "small.npz" in figure.get_suptitle()
        lines = {(axis.get_ylabel(), line.get_label()): line.get_xydata().tolist()
                 for axis in figure.axes for line in axis.lines}
        assert lines == {
            ("accuracy", label): [[1, 0.5], [2, 0.7]], ("loss", label): [[1, 3], [2, 2]],
            ("accuracy", "validation"): [[1, 0.6], [2, 0.8]],
            ("loss", "validation"): [[1, 2], [2, 1]]}
    train_model.save_plot(figure, tmp_path / "a.png", "A title")
    assert figure.canvas.manager.get_window_title() == "A title"
    assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))


def test_files_are_replaced_whole(tmp_path):
    path, link = tmp_path / "folder" / "file.txt", tmp_path / "link"
    link.symlink_to(path)
    for text in ("older", "old"):
        with train_model.replaced_whole(path) as partial:
            partial.write_text(text)
    with pytest.raises(OSError, match="disk full"):
        with train_model.replaced_whole(link) as partial:
            partial.write_text("ne")
            raise OSError("disk full")
    assert files_in(path.parent) == {"file.txt": b"old"}
    with train_model.replaced_whole(link) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert link.is_symlink() and files_in(path.parent) == {"file.txt": b"new"}
