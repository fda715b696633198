"""train_model.py: the network, the data, the training, the files it leaves."""

import json
import warnings
import zipfile

import numpy as np
import pytest
from conftest import FOUR, TRAIN, draw, files_in, result, run_main, small_network

import train_model
from train_model import CLASSES, RECIPE, as_input, keras, plt, synthetic_digits


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
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == dropouts


PLAIN = {"batch_size": 32, "optimizer": "adam", "augment": False, "label_smoothing": 0}
LARGE = {"epochs": 50, "batch_size": 128, "optimizer": "adadelta", "patience": 5}
HISTORY = {"accuracy": [0.5, 0.7], "val_accuracy": [0.6, 0.8], "loss": [3, 2], "val_loss": [2, 1]}


@pytest.mark.parametrize(
    "typed, recipe",
    [
        ("", {}),
        ("--epochs=3 --seed=9", {"epochs": 3, "seed": 9}),
        ("--recipe=published", PLAIN),
        ("--recipe=published --architecture=3x3 --epochs=3", PLAIN | {"epochs": 3}),
        ("--recipe=published --architecture=3x3-pooled", PLAIN | {"epochs": 10}),
        (
            "--recipe=published --architecture=3x3-dropout --seed=9",
            PLAIN | LARGE | {"validation_split": 1 / 12, "seed": 9},
        ),
    ],
)
def test_run_does_what_recipe_and_options_say(small_data, monkeypatch, tmp_path, typed, recipe):
    def calibrate(model, images, labels):
        calibrated_on.append(len(images))

    shown, given, calibrated_on, recipe = [], [], [], RECIPE | recipe
    monkeypatch.setattr(train_model, "train", lambda *those: given.extend(those) or HISTORY)
    monkeypatch.setattr(train_model, "calibrate", calibrate)
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    options = "--data", small_data, "--plots", "b/c", "--output", "folder/a.h5", *typed.split()
    run_main(TRAIN, *options, cwd=tmp_path)
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"folder/a.h5", "b/c/training_curves.png"}
    _, (images, _), (others, _), settings = given
    validated = round(1500 * recipe["validation_split"])
    synthetic = round((1500 - validated) / 8) if recipe["augment"] else 0
    assert settings == recipe
    assert (len(images), len(others)) == (1500 - validated + synthetic, validated)
    assert calibrated_on == [validated]
    for axis, name in zip(plt.figure(*shown).axes, ("accuracy", "loss"), strict=True):
        training, validation = axis.lines
        assert name in axis.get_ylabel() and [*training.get_xdata()] == [1, 2]
        assert [*training.get_ydata()] == HISTORY[name]
        assert [*validation.get_ydata()] == HISTORY[f"val_{name}"]


def test_synthetic_digits_stand_upright_and_are_not_mirrored():
    images, labels = synthetic_digits(500, 60)
    mean = images[labels == 4].mean(axis=0)
    picture = train_model.as_mnist(255 - np.asarray(draw(FOUR)))
    views = [picture, picture[:, ::-1], picture[::-1], picture[::-1, ::-1], picture.T]
    alike = [np.corrcoef(mean.ravel(), view.ravel())[0, 1] for view in views]
    assert np.argmax(alike) == 0


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
        order = [np.argmin(abs(digits - 255 * it[..., 0]).max(axis=(1, 2))) for it in images]
        assert sorted(order[:50]) == sorted(order[50:]) == [*range(50)]
        assert order[:50] != order[50:]
        assert np.allclose(wanted, 0.8 * np.eye(CLASSES)[labels[order]] + 0.02)


def test_best_epoch_by_the_true_labels_is_kept_in_float32_and_patience_ends(monkeypatch):
    def answer(epoch, logs):
        shares = np.full(10, 0.01)
        shares[[3, 7]] = 0.92 - sevens[epoch], sevens[epoch]
        model.layers[-1].set_weights([np.zeros((784, 10)), np.log(shares)])

    # Of ten images to validate on, seven are sevens.
    sevens = [0.4, 0.6, 0.1, 0.1, 0.1]
    images, labels = np.zeros((10, 28, 28), np.uint8), np.array([7] * 7 + [3] * 3)
    model, sets = small_network(), ((images[:9], np.ones(9, int)), (images, labels))
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=answer)
    monkeypatch.setattr(train_model, "fastest_policy", lambda: "mixed_bfloat16")
    settings = {"optimizer": keras.optimizers.SGD(0.0), "augment": False, "patience": 2}
    history = train_model.train(model, *sets, RECIPE | settings, [callback])
    losses = [-0.7 * np.log(seven) - 0.3 * np.log(0.92 - seven) for seven in sevens]
    assert history["val_loss"] == pytest.approx(losses[:4], rel=0.02)
    assert float(model(as_input(images[:1]))[0, 7]) == pytest.approx(0.6, abs=0.01)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_training_depends_on_its_seed_alone_and_its_rate_rises_and_falls():
    digits, weights, rates = synthetic_digits(300, 3), [], []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(0)
        model = small_network()
        train_model.train(model, digits, digits, RECIPE | {"epochs": 1, "seed": seed})
        weights.append(model.get_weights()[0])
    assert np.array_equal(weights[0], weights[1]) and not np.array_equal(weights[0], weights[2])
    assert int(model.optimizer.iterations) == 5  # A batch has 64 images for each epoch.
    for step in range(6):
        model.optimizer.iterations.assign(step)
        rates.append(float(model.optimizer.learning_rate))
    assert rates == pytest.approx([0, 0.01, 0.0085, 0.005, 0.0015, 0], abs=1e-4)


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
    assert run.stderr.count("Epoch") == run.stderr.count("val_loss") == 5
    model = keras.saving.load_model(path)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, labels, _ = train_model.load_digits(small_data, "train")
    loss, accuracy = model.evaluate(as_input(images[-300:]), labels[-300:], verbose=0)
    printed = result(run.stdout, "validation accuracy")
    assert printed == f"{accuracy:.2%} of 300 (loss {loss:.4f})" and accuracy > 0.8
    assert "training accuracy" in run.stdout


@pytest.mark.parametrize("architecture, ending", [("3x3-dropout", "keras"), ("5x5", "h5")])
def test_saved_network_is_plain_keras_that_can_be_trained_further(tmp_path, architecture, ending):
    path, model = tmp_path / f"a.{ending}", train_model.build_model(architecture, "a \udcff.npz")
    model.compile("adam", "mse")
    train_model.save_model(model, path)
    assert model.compiled
    if ending == "keras":
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["config"]
        # Settings that an older Keras may not know are left out.
        assert not any(None in layer["config"].values() for layer in config["layers"])
    with warnings.catch_warnings(action="error"):
        read = keras.saving.load_model(path)
    assert read.name == "trained_on_a_npz"
    assert path.stat().st_size < 6 * read.count_params()  # It holds no state of an optimizer.
    pixels, labels = synthetic_digits(20, 1)
    assert np.allclose(read(as_input(pixels)), model(as_input(pixels)), atol=1e-6)
    read.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    read.fit(as_input(pixels), labels, verbose=0)
    assert not np.allclose(read.get_weights()[-1], model.get_weights()[-1])
