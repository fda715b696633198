"""train_model.py: the network, the data, the training, the files it leaves."""

import functools
import hashlib
import os
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, accuracy_in, files_in, run_main
from PIL import Image

import train_model
from train_model import HANDWRITING, InputError, Recipe, as_input, keras, tf

draw_digits = functools.lru_cache(train_model.draw_digits)

# The layers with the shapes that they answer, and the parameters.
NETWORKS = {
    "5x5": """Conv2D 24 24 32, MaxPooling2D 12 12 32, Conv2D 8 8 32, MaxPooling2D 4 4 32,
              Flatten 512, Dense 128, Dense 10: 93418""",
    "3x3-dropout": """Conv2D 26 26 32, Conv2D 24 24 64, MaxPooling2D 12 12 64, Dropout 12 12 64,
                      Flatten 9216, Dense 256, Dropout 256, Dense 10: 2380938""",
    "3x3": "Conv2D 26 26 64, Conv2D 24 24 32, MaxPooling2D 12 12 32, Flatten 4608, Dense 10: 65194",
    "3x3-pooled": """Conv2D 26 26 32, MaxPooling2D 13 13 32, Conv2D 11 11 64, MaxPooling2D 5 5 64,
                     Flatten 1600, Dense 10: 34826""",
}


def test_networks_are_the_documented_ones():
    assert NETWORKS.keys() == train_model.ARCHITECTURES.keys()
    for name, expected in NETWORKS.items():
        model = train_model.build_model(name, "a b.npz")
        assert model.input_shape == (None, 28, 28, 1) and model.name == "trained_on_a_b.npz"
        layers = [" ".join(map(str, (type(layer).__name__, *layer.output.shape[1:])))
                  for layer in model.layers]
        assert f"{', '.join(layers)}: {model.count_params()}" == " ".join(expected.split())
        *hidden, last = [layer.activation.__name__ for layer in model.layers if layer.weights]
        assert set(hidden) == {"relu"} and last == "softmax"
        rates = [layer.rate for layer in model.layers if "Dropout" in type(layer).__name__]
        assert rates == ([0.25, 0.5] if name == "3x3-dropout" else [])


PLAIN = Recipe(5, 32, "adam", None, False, "float32", 0.2, None, 0, ours=False)
LARGE = replace(PLAIN, epochs=50, batch_size=128, optimizer="adadelta", patience=5)


@pytest.mark.parametrize("arguments, expected", [
    ("", Recipe(5, None, "adam", None, True, "auto", 0.2, None, 0, True)),
    ("--no-augment --epochs 9", Recipe(epochs=9, augment=False)),
    ("--epochs 1 --batch-size 1 --patience 1", Recipe(1, batch_size=1, patience=1)),
    ("--epochs 1000000 --learning-rate 1e-12", Recipe(10**6, learning_rate=1e-12)),
    ("--seed 4294967295 --precision bfloat16", Recipe(precision="bfloat16", seed=2**32 - 1)),
    ("--optimizer sgd --learning-rate 0.1", Recipe(optimizer="sgd", learning_rate=0.1)),
    ("--recipe published", PLAIN),
    ("--recipe published --architecture 3x3", replace(PLAIN, epochs=10)),
    ("--recipe published --architecture 3x3-pooled --seed 1", replace(PLAIN, epochs=10, seed=1)),
    ("--recipe published --architecture 3x3-dropout", replace(LARGE, validation_split=1 / 12)),
])
def test_explicit_options_win_over_the_recipe(monkeypatch, arguments, expected):
    monkeypatch.setattr(sys, "argv", [TRAIN, *arguments.split()])
    assert train_model.parse_arguments()[1] == expected


# ---------------------------------------------------------------- the data


def test_split_takes_the_last_images_for_validation():
    images, labels = np.arange(100), np.arange(100) % 10
    train_set, validation_set = train_model.split(images, labels, 0.196)
    assert np.array_equal(train_set, [images[:80], labels[:80]])
    assert np.array_equal(validation_set, [images[80:], labels[80:]])
    for share, count in ((0.1, 1), (0.9, 9)):
        assert len(train_model.split(images[:10], labels[:10], share)[1][0]) == count
    for share in (0.0, 0.01, 0.99, 1.0):
        with pytest.raises(InputError, match="validation-split"):
            train_model.split(images[:10], labels[:10], share)


def test_network_input_is_scaled_to_one():
    result = as_input(np.array([[[0, 51, 255]]], np.uint8))
    assert result.dtype == np.float32 and np.allclose(result, [[[[0.0], [0.2], [1.0]]]])


MNIST = {"train": "365dab9bac26085dc69f1022fe166e2f", "test": "a9c5e64a683c5dd2f6a9bf7c61b53e6f"}


@pytest.mark.parametrize("subset, count", [("train", 1500), ("test", 300)])
def test_data_are_called_what_they_are(small_data, monkeypatch, subset, count):
    images, labels, name = train_model.load_digits(small_data, subset)
    assert images.shape == (count, 28, 28) and labels.shape == (count,)
    assert images.dtype == np.uint8 and labels.dtype == np.int64 and name == "small.npz"
    content = images.tobytes() + bytes(labels.tolist())
    digests = {content: SimpleNamespace(hexdigest=lambda: MNIST[subset])}
    monkeypatch.setattr(hashlib, "md5", digests.get)
    assert train_model.load_digits(small_data, subset)[2] == "MNIST"
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: (count, seed))
    many, seed, name = train_model.load_digits("drawn", subset)
    assert many == {"train": 60_000, "test": 10_000}[subset] and name == "drawn digits, not MNIST"
    assert seed == (subset == "test")  # Not the same digits twice.


def test_fit_fills_the_box_and_centres_the_mass():
    ink = np.full((60, 100), 12, np.uint8)  # So faint is no ink.
    ink[10:50, 70:80] = 200
    expected = np.zeros((28, 28), np.uint8)
    expected[4:24, 12:17] = 255
    assert np.array_equal(train_model.fit(ink), expected)
    ink[30, 85] = 13
    assert train_model.cut(ink).shape == (40, 16)


def test_drawn_digits_are_the_same_and_stand_as_in_mnist(monkeypatch):
    images, labels = draw_digits(1000, 60)
    again, same_labels = train_model.draw_digits(1000, seed=60)
    assert np.array_equal(images, again) and np.array_equal(labels, same_labels)
    assert images.shape == (1000, 28, 28) and images.dtype == np.uint8 and labels.dtype == np.int64
    assert not np.array_equal(images, draw_digits(1000, 61)[0])
    for axis in (1, 2):
        ink = images.sum(axis=3 - axis)
        centres = ink @ np.arange(28) / ink.sum(axis=1)
        assert abs(centres.mean() - 14) < 0.1 and np.percentile(abs(centres - 14), 95) < 0.51
    sides = [np.ptp(np.nonzero(picture), axis=1).max() + 1 for picture in images]
    assert np.mean(np.array(sides) == 20) > 0.9 and 18 <= min(sides) and max(sides) <= 20
    assert images.max(axis=(1, 2)).min() == 255
    # A seven has its bar above, a six its bowl below.
    above = images[:, :14].sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert above[labels == 7].mean() > 0.5 > above[labels == 6].mean()
    x, y = np.arange(28) - 14, np.arange(28)[:, None] - 14
    zeros, ones = images[labels == 0] / 1.0, images[labels == 1] / 1.0
    widths = np.log([np.divide(*np.ptp(np.nonzero(zero), axis=1)) for zero in zeros])
    slants = -(ones * x * y).sum(axis=(1, 2)) / (ones * y * y).sum(axis=(1, 2))
    found = [(some.mean(), some.std()) for some in (images.mean(axis=(1, 2)), widths, slants)]
    assert np.allclose(found, [(40.06, 14.82), (0.248, 0.253), (0.119, 0.268)], rtol=0.01)
    drawn = []
    monkeypatch.setattr(train_model, "draw_strokes", lambda variant, _: drawn.append(variant) or 0)
    labels = train_model.draw_digits(500, 0)[1]
    assert set(drawn) == set(HANDWRITING) and len(HANDWRITING) == 40
    assert [HANDWRITING.index(variant) * 10 // 40 for variant in drawn] == labels.tolist()


def test_batches_hold_every_image_once_an_epoch():
    images, orders = np.zeros((50, 28, 28), np.uint8), []
    images[:, 14, 14] = np.arange(50)
    for seed in (3, 3, 4):
        batches = train_model.training_batches(images, np.arange(50) % 10, 10, 0, seed).take(10)
        pictures, labels = map(np.concatenate, zip(*batches.as_numpy_iterator()))
        orders.append(np.rint(255 * pictures[:, 14, 14, 0]).reshape(2, 50))
    assert np.array_equal(np.sort(orders[2]), [np.arange(50)] * 2)
    assert np.array_equal(*orders[:2])
    assert not np.array_equal(*orders[1:]) and not np.array_equal(*orders[2])
    assert np.array_equal(labels, np.eye(10)[orders[2].astype(int).ravel() % 10])
    digits = np.repeat(draw_digits(1000, 60)[0][:1], 4, axis=0)
    seen = [batch for seed in (3, 4) for batch, _ in train_model.training_batches(
        digits, np.zeros(4, int), 2, 1.0, seed).take(4).as_numpy_iterator()]
    assert len(np.unique(np.concatenate(seen), axis=0)) == 16  # Each time in another way.


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_distortions_are_the_documented_ones(strength):
    # Images as bright as they are far right, or far down, say where each pixel came from.
    right, down = np.meshgrid(np.arange(28), np.arange(28))
    seed, images = (1, 7), [np.float32([side] * 2000)[..., None] for side in (right, down)]
    x, y = (np.asarray(train_model.distort(image, strength, seed))[..., 0] for image in images)
    a, b, c, d = (np.diff(side, axis=axis)[:, 9:18, 9:18].mean(axis=(1, 2))
                  for side in (x, y) for axis in (2, 1))
    changes = {
        "size": (a + d - 2) / 0.2, "stretch": (a - d) / 0.14, "angle": c / 0.17,
        "slant": (b + c) / 0.15, "right": (x[:, 13:15, 13:15].mean(axis=(1, 2)) - 13.5) / 1.5,
        "down": (y[:, 13:15, 13:15].mean(axis=(1, 2)) - 13.5) / 1.5}
    for name, change in changes.items():
        assert np.allclose([change.min(), change.max()], [-strength, strength], atol=0.01), name
        assert abs(change.mean()) < 0.05 and abs(change.std() - strength / 3**0.5) < 0.02, name
    assert abs(np.corrcoef([*changes.values()]) - np.eye(6)).max() < 0.1
    assert x[:, 0].min() == 0  # What comes from outside is ground.
    again, other = (train_model.distort(images[0], strength, seed) for seed in (seed, (2, 7)))
    assert np.array_equal(x, again[..., 0]) and not np.array_equal(x, other[..., 0])


# ---------------------------------------------------------------- training


def evaluate(model, images, labels):
    """Answer accuracy and cross-entropy."""
    probabilities = np.asarray(model(as_input(images)))
    right = probabilities[np.arange(len(labels)), labels]
    return np.mean(probabilities.argmax(axis=1) == labels), -np.log(right).mean()


def train_small(count, more_callbacks=(), **changes):
    """Train on drawn digits; answers the network and train's history and status."""
    keras.utils.set_random_seed(0)
    model = train_model.build_model()
    sets = draw_digits(count, 1), draw_digits(200, 2)
    return model, *train_model.train(model, *sets, Recipe(**changes), more_callbacks)


class Script(keras.callbacks.Callback):
    """In each epoch let the network give one answer, or end as the exception says."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = answers

    def on_epoch_begin(self, epoch, logs=None):
        if not isinstance(self.answers[epoch], list):
            raise self.answers[epoch]
        weights = [0 * array for array in self.model.get_weights()]
        self.model.set_weights([*weights[:-1], np.log(self.answers[epoch])])


def plan(count=600, **changes):
    """Begin a training on so many images; answers a callback with its model and params."""
    callback = Script(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_small(count, [callback], **changes)
    return callback


def test_batches_are_small_and_distortions_mild_in_short_runs(monkeypatch):
    seen, make = [], train_model.training_batches
    monkeypatch.setattr(
        train_model, "training_batches", lambda *given: seen.append(given[2:]) or make(*given))
    cases = [(600, 1, None, 10), (600, 2, None, 5), (600, 3, None, 4), (600, 9, None, 3),
             (641, 1, None, 11), (513, 9, None, 3), (512, 9, None, 2), (600, 9, 59, 11),
             (600, 2, 999, 1)]
    for count, epochs, batch_size, steps in cases:
        params = plan(count, epochs=epochs, batch_size=batch_size, seed=8).params
        assert params["steps"] == steps and params["epochs"] == epochs
        strength = {1: 1, 2: 1.05, 3: 1.1, 9: 1.2}[epochs]
        expected = min(count, batch_size or min(64 * epochs, 256)), pytest.approx(strength), 8
        assert seen.pop() == expected
    plan(augment=False)
    assert not seen.pop()[1]


def test_ours_is_another_way_than_plain_keras():
    ours, plain = plan(epochs=9).model, plan(epochs=9, batch_size=200, ours=False).model
    assert type(ours.optimizer).__name__ == "Orthogonalized"
    assert ours.optimizer._learning_rate.get_config()["decay_steps"] == 27 - 5
    assert type(plain.optimizer) is keras.optimizers.Adam
    default = keras.optimizers.Adam(name=plain.optimizer.name)
    assert plain.optimizer.get_config() == default.get_config()
    for name in Recipe.__dataclass_fields__["optimizer"].metadata["choices"]:
        assert train_model.make_optimizer(Recipe(optimizer=name), 9).weight_decay > 0
    rate = train_model.make_optimizer(Recipe(learning_rate=0.3, ours=False), 9).learning_rate
    assert float(rate) == pytest.approx(0.3)
    for model, smoothing in ((ours, 0.1), (plain, 0.0)):
        assert not model.jit_compile and model.steps_per_execution == 3
        label = np.eye(10, dtype=np.float32)[[3]]
        smoothed = label * (1 - smoothing) + smoothing / 10
        assert float(model.loss(label, smoothed)) == pytest.approx(0, abs=1e-5)
        other = np.full((1, 10), 0.05, np.float32) + 0.5 * label
        expected = np.sum(smoothed * np.log(np.maximum(smoothed, 1e-30) / other))
        assert float(model.loss(label, other)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("steps, longer", [(200, 1), (4000, 4)])
def test_one_cycle_fits_the_length_of_the_run(steps, longer):
    optimizer = train_model.make_optimizer(Recipe(), steps)
    rates = np.array([optimizer._learning_rate(step) for step in range(0, steps + 1, steps // 20)])
    assert rates.argmax() == 3 and rates[3] == pytest.approx(0.01 / longer**0.5)
    assert rates[0] == pytest.approx(rates[3] / 25) and rates[-1] == pytest.approx(0, abs=1e-7)
    assert np.allclose(np.diff(rates[:4]), rates[3] * 0.96 / 3)
    assert np.allclose(rates[3:], rates[3] * (1 + np.cos(np.linspace(0, np.pi, 18))) / 2)
    assert optimizer.weight_decay == pytest.approx(0.4 / longer**0.5)
    assert optimizer.beta_2 == pytest.approx(1 - 0.05 / longer)
    sgd = train_model.make_optimizer(Recipe(optimizer="sgd", learning_rate=0.3), steps)
    assert float(sgd._learning_rate(0.15 * steps)) == pytest.approx(0.3)
    assert sgd.weight_decay == pytest.approx(0.04 / longer**0.5)


def test_orthogonal_steps_are_as_long_and_change_all_directions_alike():
    random = np.random.default_rng(0)
    for shape in ((3, 3, 8, 16), (40, 12), (12,), (40, 10)):
        gradient = random.normal(0, 1, shape).astype(np.float32) ** 3
        variable = keras.Variable(np.ones(shape))
        optimizer = train_model.orthogonalized(keras.optimizers.SGD)(0.5)
        optimizer.apply([gradient], [variable])
        if len(shape) > 1 and shape[-1] != 10:
            u, sizes, v = np.linalg.svd(gradient.reshape(-1, shape[-1]), full_matrices=False)
            even = sizes / np.linalg.norm(sizes)
            for _ in range(3):
                even = 3.4445 * even - 4.775 * even**3 + 2.0315 * even**5
            even *= np.linalg.norm(sizes) / np.linalg.norm(even)
            assert np.ptp(even) < np.ptp(sizes) / 2
            gradient = (u * even @ v).reshape(shape)
        assert np.allclose(variable, 1 - 0.5 * gradient, atol=1e-3)
        before = variable.numpy()
        optimizer.apply([0 * gradient], [variable])
        assert np.array_equal(variable, before)


def answering(**chances):
    return [chances.get(f"d{digit}", 0.001) for digit in range(10)]


# Of ten validation labels seven are seven and three are three. Of these answers one has
# the highest accuracy, one the lowest loss, and one neither.
SEVEN, THREE, ONE = answering(d7=0.991), answering(d3=0.55, d7=0.442), answering(d1=0.991)


@pytest.mark.parametrize("answers, patience, epochs, status", [
    ([THREE, SEVEN, ONE, ONE], None, 4, 0),
    ([SEVEN, ONE, ONE, ONE, ONE], None, 5, 0),
    ([THREE, SEVEN, ONE, ONE, ONE], 2, 3, 0),
    ([THREE, SEVEN, ONE, KeyboardInterrupt()], None, 3, 130),
    ([THREE, SEVEN, ONE, SystemExit(143)], None, 3, 143),
])
def test_best_epoch_is_kept(answers, patience, epochs, status):
    images, labels = np.zeros((10, 28, 28), np.uint8), np.array([7] * 7 + [3] * 3)
    model, recipe = train_model.build_model(), replace(PLAIN, learning_rate=1e-12)
    recipe = replace(recipe, optimizer="sgd", epochs=len(answers), patience=patience)
    sets = (images, 0 * labels), (images, labels)
    history, ended = train_model.train(model, *sets, recipe, [Script(*answers)])
    assert ended == status and np.allclose(model(as_input(images[:1])), [SEVEN], atol=1e-5)
    assert len(history["val_accuracy"]) == epochs and max(history["val_accuracy"]) > 0.69


def test_same_seed_same_weights(small_data, monkeypatch, tmp_path):
    weights, calls, seeded = [], [], keras.utils.set_random_seed
    monkeypatch.setattr(
        keras.utils, "set_random_seed", lambda seed: calls.append(seed) or seeded(seed))
    monkeypatch.setattr(train_model.plt, "show", lambda: calls.append("shown"))
    for _ in range(2):
        arguments = ["--data", small_data, "--epochs", 1, "--batch-size", 600, "--seed", 5]
        run_main(TRAIN, *arguments, cwd=tmp_path)
        saved = keras.saving.load_model(tmp_path / "digit_classifier.keras")
        weights.append(np.concatenate([array.ravel() for array in saved.get_weights()]))
    assert np.array_equal(*weights) and calls == [5, "shown"] * 2


def test_bfloat16_trains_a_float32_network():
    at_start = plan(precision="bfloat16").model
    assert [layer.compute_dtype for layer in at_start.layers] == ["bfloat16"] * 6 + ["float32"]
    model, history, _ = train_small(600, epochs=4, precision="bfloat16")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert max(history["val_accuracy"]) > 0.5


@pytest.mark.parametrize("flags, gpus, expected", [
    ("avx512f avx512_bf16 avx512_vbmi", [], "bfloat16"), ("sse2 amx_bf16", [], "bfloat16"),
    ("sse2 avx512f avx512_vnni", [], "float32"), ("asimd bf16 svebf16", [], "float32"),
    ("", [], "float32"), ("sse2 amx_bf16", ["a GPU"], "float32")])
def test_precision_fits_the_machine(tmp_path, monkeypatch, flags, gpus, expected):
    path = tmp_path / "cpuinfo"
    if flags:  # macOS and Windows have no such file.
        path.write_text(f"flags : fpu {flags}")
    monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": gpus}.get)
    assert train_model.fastest_precision(path) == expected
    monkeypatch.undo()
    monkeypatch.setattr(train_model, "fastest_precision", lambda: expected)
    assert plan().model.layers[0].compute_dtype == expected


@pytest.mark.parametrize("sharper", [0.23, 4.3])
def test_calibration_lowers_the_loss_and_changes_no_decision(model, small_data, sharper):
    images, labels, _ = train_model.load_digits(small_data, "test")
    train_model.calibrate(model, images, labels)
    best = evaluate(model, images, labels)
    model.layers[-1].set_weights([sharper * array for array in model.layers[-1].get_weights()])
    assert evaluate(model, images, labels)[1] > best[1] + 0.01
    train_model.calibrate(model, images, labels)
    assert evaluate(model, images, labels) == pytest.approx(best, abs=1e-3)


# ---------------------------------------------------------------- the files


def test_training_reports_what_the_saved_network_does(trained, model, small_data):
    path, run = trained
    assert run.stdout.index("93,418") < run.stdout.index("Training statistics")
    lines = [line.strip().split("  ", 1) for line in run.stdout.splitlines() if line[:2] == "  "]
    lines = {name: value.strip() for name, value in lines}
    assert lines["data"] == "small.npz" and lines["epochs"] == "5"
    assert lines["validation images"] == "300" and lines["network saved as"] == r"n\xe9t.keras"
    assert 0.1 < float(lines["time"].removesuffix(" s")) < 100 and "Epoch 5/5" in run.stderr
    assert len(run.stderr.splitlines()) == 10  # nothing from TensorFlow, which has much to say
    assert files_in(path.parent).keys() == {path.name, "plots", "plots/training_curves.png"}
    assert model.name == "trained_on_small.npz"
    parts = train_model.split(*train_model.load_digits(small_data, "train")[:2], 0.2)
    for name, part in zip(("training", "validation"), parts):
        accuracy, loss = evaluate(model, *part)
        assert accuracy > 0.8 and lines[f"{name} accuracy"] == f"{accuracy:.2%} (loss {loss:.4f})"
    train_model.calibrate(model, *parts[1])
    assert evaluate(model, *parts[1])[1] == pytest.approx(loss, abs=1e-4)


def test_saved_network_loads_in_plain_keras(trained, model, small_data, tmp_path):
    train_model.save_model(model, tmp_path / "copy.h5")
    data = np.load(small_data)
    for path in (trained[0], tmp_path / "copy.h5"):
        assert path.stat().st_size < 500_000
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loaded = keras.models.load_model(path)
        images = data["x_test"][..., None] / 255.0
        loss, accuracy = loaded.evaluate(images, data["y_test"], verbose=0)
        assert loss < 0.6 and accuracy > 0.8
        assert {str(weight.dtype) for weight in loaded.weights} == {"float32"}


def test_another_network_trains_saves_loads_and_predicts(small_data, monkeypatch, tmp_path):
    monkeypatch.setattr(train_model, "calibrate", None)  # It is part of our recipe only.
    options = """--recipe published --epochs 1 --optimizer adam --plots b/c --output folder/a.h5
        --architecture 3x3-dropout --data""".split() + [small_data]
    run = run_main(TRAIN, *options, cwd=tmp_path)
    assert "epochs               1\n" in run.stdout and "legacy" not in run.stderr
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"folder/a.h5", "b/c/training_curves.png"}
    run = run_main(PREDICT, "--data", small_data, "--model", "folder/a.h5", cwd=tmp_path)
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
        assert all(axis.get_legend() and axis.get_xlabel() == "epoch" for axis in figure.axes)
    train_model.save_plot(figure, tmp_path / "a.png", "A title")
    assert figure.canvas.manager.get_window_title() == "A title"
    assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))


def test_files_are_replaced_whole(tmp_path):
    path, link = tmp_path / "folder" / "file.txt", tmp_path / "link"
    link.symlink_to(path)
    with train_model.replaced_whole(path) as partial:
        partial.write_text("old")
    with pytest.raises(OSError), train_model.replaced_whole(link) as partial:
        partial.write_text("ne")
        raise OSError("disk full")
    assert files_in(path.parent) == {"file.txt": b"old"}
    with train_model.replaced_whole(link) as partial:
        partial.write_text("new")
        assert path.read_text() == "old" and str(os.getpid()) in partial.name
    assert link.is_symlink() and files_in(path.parent) == {"file.txt": b"new"}


def test_folders_closed_to_writing_are_known_beforehand(tmp_path, monkeypatch):
    train_model.check_writable(tmp_path / "a.keras", tmp_path / "b" / "c" / "a.png")
    monkeypatch.setattr(os, "access", lambda folder, right: right != os.W_OK)
    with pytest.raises(InputError, match="a.keras: cannot be written"):
        train_model.check_writable(tmp_path / "b" / "a.keras")
