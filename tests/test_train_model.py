"""train_model.py: the network, the data, the training, the files it leaves."""

import json
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from conftest import BAR, FIVE, FOUR, TRAIN, draw, files_in, result, run_main, small_network

import train_model
from train_model import CLASSES, HANDWRITING, RECIPE, as_input, keras, synthetic_digits

PUBLISHED = "--recipe=published", "--architecture"


@pytest.mark.parametrize(
    "name, parameters, dropouts",
    [
        ("5x5", 93_418, []),
        ("3x3-dropout", 2_380_938, [0.25, 0.5]),
        ("3x3", 65_194, []),
        ("3x3-pooled", 34_826, []),
    ],
)
def test_network_is_the_documented_one(name, parameters, dropouts):
    model = train_model.build_model(name)
    assert model.count_params() == parameters
    hidden = [layer.get_config() for layer in model.layers[:-1]]
    assert [layer["rate"] for layer in hidden if "rate" in layer] == dropouts
    assert {layer["activation"] for layer in hidden if "activation" in layer} == {"relu"}


PLAIN = {"batch_size": 32, "optimizer": "adam", "augment": False, "label_smoothing": 0}
LARGE = {"epochs": 50, "batch_size": 128, "optimizer": "adadelta", "patience": 5}
LARGE["validation_split"] = 1 / 12


@pytest.mark.parametrize(
    "typed, expected",
    [
        ([], {}),
        (["--seed=0", "--epochs=7"], {"epochs": 7}),
        (["--recipe=published"], PLAIN),
        ([*PUBLISHED, "3x3"], PLAIN | {"epochs": 10}),
        ([*PUBLISHED, "3x3-pooled"], PLAIN | {"epochs": 10}),
        ([*PUBLISHED, "3x3-dropout"], PLAIN | LARGE),
        ([*PUBLISHED, "3x3-dropout", "--epochs=7"], PLAIN | LARGE | {"epochs": 7}),
    ],
)
def test_typed_option_wins_over_the_recipe(monkeypatch, typed, expected):
    monkeypatch.setattr(sys, "argv", [TRAIN, *typed])
    _, recipe = train_model.parse_arguments()
    assert recipe == RECIPE | expected


def test_options_reach_the_training_and_validation_images_the_calibration(
    small_data, monkeypatch, tmp_path
):
    def calibrate(model, images, labels):
        calls.append(images)
        raise KeyboardInterrupt

    calls = []
    monkeypatch.setattr(train_model, "train", lambda *given: calls.extend(given))
    monkeypatch.setattr(train_model, "calibrate", calibrate)
    run_main(TRAIN, "--data", small_data, "--epochs=3", "--seed=9", cwd=tmp_path, status=130)
    _, (images, _), (others, _), recipe, calibrated_on = calls
    assert recipe == RECIPE | {"epochs": 3, "seed": 9} and calibrated_on is others
    assert (len(images), len(others)) == (1350, 300)


@pytest.mark.parametrize("share, count", [(0.196, 80), (0.006, 99), (0.994, 1)])
def test_split_takes_the_last_images_for_validation(share, count):
    pairs = np.stack([np.arange(100), np.arange(100) % 9])
    train_set, validation_set = train_model.split(*pairs, share)
    assert np.array_equal(train_set, pairs[:, :count])
    assert np.array_equal(validation_set, pairs[:, count:])


@pytest.mark.parametrize(
    "shape, kind", [((28, 28), np.uint8), ((28, 28, 1), ">u2"), ((28, 28), np.int64)]
)
def test_integers_in_the_layout_of_keras_are_taken(tmp_path, shape, kind):
    images, labels = synthetic_digits(50, 3)
    given = images.reshape(-1, *shape).astype(kind)
    np.savez(tmp_path / "a.npz", x_train=given, y_train=labels.astype(kind))
    read, digits, name = train_model.load_digits(tmp_path / "a.npz", "train")
    assert np.array_equal(read, images) and read.dtype == np.uint8
    assert np.array_equal(digits, labels) and digits.dtype.isnative and name == "a.npz"


def test_synthetic_digits_come_in_all_ways_of_writing_with_their_labels(monkeypatch):
    written, blank = [], np.zeros((28, 28))
    monkeypatch.setattr(train_model, "write_digit", lambda way, _: written.append(way) or blank)
    _, labels = synthetic_digits(2000, 0)
    expected = {(way, int(way[0])) for way in HANDWRITING.split("\n")[1:-1]}
    assert set(zip(written, labels.tolist(), strict=True)) == expected


@pytest.mark.parametrize("digit, strokes", [(4, FOUR), (5, FIVE + BAR)])
def test_synthetic_digits_stand_upright_and_are_not_mirrored(digit, strokes):
    images, labels = synthetic_digits(500, 60)
    mean = images[labels == digit].mean(axis=0)
    picture = train_model.as_mnist(255 - np.asarray(draw(strokes)))
    views = [picture, picture[:, ::-1], picture[::-1], picture[::-1, ::-1], picture.T]
    alike = [np.corrcoef(mean.ravel(), view.ravel())[0, 1] for view in views]
    assert np.argmax(alike) == 0


@pytest.mark.parametrize("size", [(28, 28), (90, 300), (480, 60)])
@pytest.mark.parametrize("width", [1, 9])
def test_ink_of_any_size_fills_the_box_of_mnist_with_a_visible_stroke(size, width):
    ink = np.zeros(size, np.uint8)
    ink[4:24, 12 : 12 + width] = 200
    image = train_model.as_mnist(ink)
    down, across = np.nonzero(image > 60)
    assert image.shape == (28, 28) and image.max() == 255
    assert np.ptp(down) == 19 and 2 <= np.ptp(across) + 1 <= 10 and abs(down.mean() - 13.5) <= 1
    assert abs(across.mean() - 13.5) <= 1


@pytest.mark.parametrize("augment", [False, True])
def test_epoch_holds_each_image_with_its_smoothed_label_once_as_the_seed_says(augment):
    def two_epochs(seed):
        settings = {"batch_size": 20, "augment": augment, "label_smoothing": 0.2, "seed": seed}
        batches = train_model.training_batches(digits, labels, RECIPE | settings)
        pairs = [*batches.as_numpy_iterator(), *batches.as_numpy_iterator()]
        return map(np.concatenate, zip(*pairs, strict=True))

    digits, labels = synthetic_digits(50, 3)
    (images, wanted), (again, _), (others, _) = map(two_epochs, (3, 3, 4))
    assert np.array_equal(images, again) and not np.array_equal(images, others)
    assert len(np.unique(images, axis=0)) == (100 if augment else 50)
    if not augment:
        order = [np.argmin(np.ptp(as_input(digits) - it, axis=(1, 2, 3))) for it in images]
        assert sorted(order[:50]) == sorted(order[50:]) == [*range(50)] and order[:50] != order[50:]
        assert np.allclose(wanted, 0.8 * np.eye(CLASSES)[labels[order]] + 0.02)


@pytest.mark.parametrize("epochs, batch_size, steps", [(2, 80, 4), (1, None, 5), (5, None, 2)])
def test_one_cycle_rises_and_falls_over_all_steps(epochs, batch_size, steps):
    """By default a batch has 64 images for each epoch, and at most 256."""
    model, digits, rates = small_network(), synthetic_digits(300, 3), []
    settings = {"epochs": epochs, "batch_size": batch_size}
    train_model.train(model, digits, digits, RECIPE | settings)
    assert int(model.optimizer.iterations) == epochs * steps
    for step in range(epochs * steps + 1):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    assert [rates[0], rates[-1]] == pytest.approx([0, 0], abs=1e-6)
    assert np.argmax(rates) in (1, 2) and max(rates) == pytest.approx(0.01)


@pytest.mark.parametrize("onednn, policy", [("1", "mixed_bfloat16"), ("0", "float32")])
def test_bfloat16_is_used_only_where_it_is_fast(monkeypatch, tmp_path, onednn, policy):
    (tmp_path / "cpuinfo").write_text("flags: fpu amx_bf16")
    monkeypatch.setattr(train_model, "Path", lambda _: tmp_path / "cpuinfo")
    monkeypatch.setattr(train_model.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    assert train_model.fastest_policy() == policy


SEVEN, ONE = [0.001] * 7 + [0.991, 0.001, 0.001], [0.001, 0.991] + [0.001] * 8
THREE = [0.001, 0.001, 0.001, 0.55, 0.001, 0.001, 0.001, 0.442, 0.001, 0.001]
STILL = {"class_name": "SGD", "config": {"learning_rate": 1e-12}}
STILL = RECIPE | {"optimizer": STILL, "augment": False}


@pytest.mark.parametrize("patience, epochs", [(None, 5), (2, 3)])
def test_best_epoch_is_kept_in_float32(monkeypatch, patience, epochs):
    def answer(epoch, logs):
        model.layers[-1].set_weights([np.zeros((784, 10)), np.log(answers[epoch])])

    # Of ten images, seven are sevens. "Seven" is right more often, "three" has the lower loss.
    answers = [THREE, SEVEN, ONE, ONE, ONE]
    images, labels = np.zeros((10, 28, 28), np.uint8), np.array([7] * 7 + [3] * 3)
    model, sets = small_network(), ((images[:9], np.ones(9, int)), (images, labels))
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=answer)
    monkeypatch.setattr(train_model, "fastest_policy", lambda: "mixed_bfloat16")
    history = train_model.train(model, *sets, STILL | {"patience": patience}, [callback])
    assert len(history["val_accuracy"]) == epochs
    assert np.allclose(model(as_input(images[:1])), [THREE], atol=1e-3)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_training_depends_on_its_seed_alone():
    digits, weights = synthetic_digits(50, 3), []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(0)
        model = small_network()
        settings = RECIPE | {"epochs": 1, "batch_size": 25, "seed": seed}
        train_model.train(model, digits, digits, settings)
        weights.append(model.get_weights()[0])
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_validation_loss_is_that_of_the_true_labels_and_training_smooths_them():
    model, threes = small_network(), (np.zeros((9, 28, 28), np.uint8), np.full(9, 3))
    model.set_weights([np.zeros((784, 10)), np.log(THREE)])
    settings = STILL | {"epochs": 1, "label_smoothing": 1.0}
    history = train_model.train(model, threes, threes, settings)
    assert history["val_loss"] == pytest.approx([-np.log(0.55)], rel=1e-3)
    assert history["loss"] == pytest.approx([-np.log(THREE).mean()], rel=1e-3)


@pytest.mark.parametrize("factor", [0.23, 4.3])
def test_calibration_finds_the_lowest_loss_and_changes_no_decision(trained, small_data, factor):
    images, labels = (array[-300:] for array in train_model.load_digits(small_data, "train")[:2])
    model = keras.saving.load_model(trained[0])

    before, output = train_model.predict(model, images), model.layers[-1]
    output.set_weights([factor * array for array in output.get_weights()])
    train_model.calibrate(model, images, labels)
    after = train_model.predict(model, images)
    lowest, loss = (-np.log(them[range(300), labels]).mean() for them in (before, after))
    assert loss == pytest.approx(lowest, rel=0.01)
    assert np.array_equal(after.argmax(axis=1), before.argmax(axis=1))


def test_training_prints_what_the_saved_network_does(trained, small_data):
    path, run = trained
    assert "93,418" in run.stdout
    assert files_in(path.parent).keys() == {path.name, "plots", "plots/training_curves.png"}
    progress = run.stderr.splitlines()
    assert len(progress) == 11 and progress[0] == "making 150 synthetic digits ..."
    assert all("Epoch" in line for line in progress[1::2])
    model = keras.saving.load_model(path)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels, _ = train_model.load_digits(small_data, "train")
    train_set, validation_set = train_model.split(images, labels, 0.2)
    for part, (pictures, digits) in (("training", train_set), ("validation", validation_set)):
        loss, accuracy = model.evaluate(as_input(pictures), digits, verbose=0)
        printed = result(run.stdout, f"{part} accuracy")
        assert printed == f"{accuracy:.2%} of {len(digits):,} (loss {loss:.4f})" and accuracy > 0.8


@pytest.mark.parametrize("architecture, ending", [("5x5", "keras"), ("3x3-dropout", "h5")])
def test_saved_network_is_plain_keras_that_can_be_trained_further(tmp_path, architecture, ending):
    path, model = tmp_path / f"a.{ending}", train_model.build_model(architecture, "a \udcff.npz")
    model.layers[0].trainable = False
    model.compile(train_model.our_optimizer(9), "mse")
    before = model.get_config()
    train_model.save_model(model, path)
    assert model.get_config() == before and type(model.optimizer) is keras.optimizers.Muon
    if ending == "h5":
        with h5py.File(path) as file:
            text = file.attrs["model_config"]
    else:
        with zipfile.ZipFile(path) as archive:
            text = archive.read("config.json").decode()
    # Settings that an older Keras may not know are left out.
    for layer in json.loads(text)["config"]["layers"]:
        layer["config"].pop("batch_shape", None)
        assert "null" not in json.dumps(layer["config"]), layer["class_name"]
    with warnings.catch_warnings(action="error"):
        read = keras.saving.load_model(path)
    assert read.name == "trained_on_a_npz" and not read.layers[0].trainable
    assert path.stat().st_size < 6 * read.count_params()  # It holds no state of an optimizer.
    pixels, labels = synthetic_digits(20, 1)
    assert np.allclose(read(as_input(pixels)), model(as_input(pixels)), atol=1e-6)
    read.compile("adam", "sparse_categorical_crossentropy")
    read.fit(as_input(pixels), labels, verbose=0)
    assert not np.allclose(read.get_weights()[-1], model.get_weights()[-1])


def test_another_network_is_trained_as_published(small_data, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(train_model.plt, "show", lambda: shown.append("curves"))
    options = [*PUBLISHED, "3x3-pooled", "--epochs", 2, "--plots", "b/c", "--output", "folder/a.h5"]
    run = run_main(TRAIN, "--data", small_data, *options, cwd=tmp_path)
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"folder/a.h5", "b/c/training_curves.png"} and shown == ["curves"]
    assert float(result(run.stdout, "validation accuracy").partition("%")[0]) > 50


def test_curves_show_both_sets_over_the_epochs():
    history = {"accuracy": [0.5, 0.7], "val_accuracy": [0.6, 0.8]}
    history |= {"loss": [3, 2], "val_loss": [2, 1]}
    figure = train_model.plot_history(history, "a$_$.npz")
    for axis, name in zip(figure.axes, ("accuracy", "loss"), strict=True):
        training, validation = axis.lines
        assert name in axis.get_ylabel() and "training" in training.get_label()
        assert training.get_xydata().tolist() == [*map(list, enumerate(history[name], 1))]
        assert [*validation.get_ydata()] == history[f"val_{name}"]
