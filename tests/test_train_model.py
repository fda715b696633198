"""train_model.py: the network, the data, the training, the files it leaves."""

import functools
import json
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from conftest import PREDICT, TRAIN, accuracy_in, files_in, linux_only, result, run_main

import train_model
from train_model import HANDWRITING, InputError, as_input, keras, plt, tf

draw_digits = functools.lru_cache(train_model.draw_digits)

# ---------------------------------------------------------------- networks and options

CONV, POOL, FLATTEN, DENSE = "Conv2D", "MaxPooling2D", "Flatten", "Dense"


@pytest.mark.parametrize(
    "name, layers, dropouts, parameters",
    [
        ("5x5", [CONV, POOL, CONV, POOL, FLATTEN, DENSE, DENSE], [], 93_418),
        (
            "3x3-dropout",
            [CONV, CONV, POOL, "Dropout", FLATTEN, DENSE, "Dropout", DENSE],
            [0.25, 0.5],
            2_380_938,
        ),
        ("3x3", [CONV, CONV, POOL, FLATTEN, DENSE], [], 65_194),
        ("3x3-pooled", [CONV, POOL, CONV, POOL, FLATTEN, DENSE], [], 34_826),
    ],
)
def test_network_is_the_documented_one(name, layers, dropouts, parameters):
    model = train_model.build_model(name)
    assert model.input_shape == (None, 28, 28, 1) and model.count_params() == parameters
    assert [type(layer).__name__ for layer in model.layers] == layers
    assert [layer.rate for layer in model.layers if hasattr(layer, "rate")] == dropouts
    *hidden, last = [layer.activation.__name__ for layer in model.layers if layer.weights]
    assert set(hidden) == {"relu"} and last == "softmax"


def test_network_is_named_after_its_data():
    assert train_model.build_model(data="a, b.npz").name == "trained_on_a_b.npz"


OURS = {"epochs": 5, "batch_size": None, "optimizer": "muon", "learning_rate": None}
OURS |= {"augment": True, "one_cycle": True, "calibrated": True, "validation_split": 0.2}
OURS |= {"patience": None, "seed": 0}
PLAIN = OURS | {"batch_size": 32, "optimizer": "adam", "augment": False, "one_cycle": False}
PLAIN |= {"label_smoothing": 0, "calibrated": False}
LARGE = PLAIN | {"epochs": 50, "batch_size": 128, "optimizer": "adadelta", "patience": 5}
PUBLISHED = "--recipe", "published", "--architecture"


@pytest.mark.parametrize(
    "typed, expected",
    [
        ([], OURS),
        (["--recipe", "published"], PLAIN),
        ([*PUBLISHED, "3x3"], PLAIN | {"epochs": 10}),
        ([*PUBLISHED, "3x3-pooled"], PLAIN | {"epochs": 10}),
        ([*PUBLISHED, "3x3-dropout"], LARGE | {"validation_split": 1 / 12}),
        (["--epochs", "1000000", "--learning-rate=1e-12"], {"epochs": 10**6} | {"augment": True}),
        (["--no-augment", "--seed=4294967295"], {"augment": False, "seed": 2**32 - 1}),
        (["--recipe=published", "--augment"], PLAIN | {"augment": True}),
        ([*PUBLISHED, "3x3-dropout", "--epochs=7"], {"epochs": 7, "batch_size": 128}),
        ([*PUBLISHED, "3x3-dropout", "--validation-split=0.2"], {"validation_split": 0.2}),
        (["--optimizer=SGD", "--recipe=published", "--batch-size=1"], {"optimizer": "SGD"}),
        (["--output=a.h5", "--plots=b", "--data=c"], {"output": "a.h5", "plots": "b", "data": "c"}),
    ],
)
def test_typed_option_wins_over_the_recipe_and_that_over_the_default(monkeypatch, typed, expected):
    monkeypatch.setattr(sys, "argv", [TRAIN, *typed])
    arguments = vars(train_model.parse_arguments())
    assert {name: arguments[name] for name in expected} == expected


def test_options_reach_the_training(small_data, monkeypatch, tmp_path):
    def train(model, train_set, validation_set, **settings):
        given.update(settings, images=len(train_set[0]), others=len(validation_set[0]))
        raise KeyboardInterrupt

    given, train.__kwdefaults__ = {}, train_model.train.__kwdefaults__
    monkeypatch.setattr(train_model, "train", train)
    options = {"epochs": 3, "batch_size": 7, "optimizer": "lion", "learning_rate": 0.5}
    options |= {"patience": 2, "seed": 9}
    typed = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    typed += ["--no-augment", "--validation-split=0.1"]
    run_main(TRAIN, "--data", small_data, *typed, cwd=tmp_path, status=130)
    assert given == train.__kwdefaults__ | options | {"augment": False} | {
        "images": 1350,
        "others": 150,
    }


# ---------------------------------------------------------------- the data


@pytest.mark.parametrize("share, count", [(0.196, 80), (0.006, 99), (0.994, 1)])
def test_split_takes_the_last_images_for_validation(share, count):
    images, labels = np.arange(100), np.zeros(100, int)
    parts = train_model.split(images, labels, share)
    expected = images[:count], labels[:count], images[count:], labels[count:]
    assert all(map(np.array_equal, (*parts[0], *parts[1]), expected))


@pytest.mark.parametrize("share", [0.0, 0.004, 0.996, 1.0])
def test_split_that_leaves_nothing_is_refused(share):
    with pytest.raises(InputError, match="--validation-split .* of 100 images"):
        train_model.split(np.arange(100), np.arange(100), share)


@pytest.mark.parametrize(
    "labels, warned",
    [
        (np.repeat(np.arange(10), 10), "no training image shows a 8"),
        (np.repeat(np.arange(10)[::-1], 10), "no training image shows a 0"),
        (np.arange(100) % 10, ""),
        (np.minimum(np.arange(100), 5), ""),  # Validation lacks digits, training has all.
    ],
)
def test_data_sorted_by_label_are_warned_of(capsys, labels, warned):
    train_model.split(np.arange(100), labels, 0.2)
    error = capsys.readouterr().err
    assert (
        (": warning: " in error and "shuffle" in error and warned in error)
        if warned
        else (not error)
    )


@pytest.mark.parametrize("subset, count", [("train", 1500), ("test", 300)])
def test_data_of_a_file_are_called_by_its_name(small_data, subset, count):
    images, labels, name = train_model.load_digits(str(small_data), subset)
    assert images.shape == (count, 28, 28) and labels.shape == (count,)
    assert images.dtype == np.uint8 and labels.dtype == np.int64 and name == small_data.name


@pytest.mark.parametrize("subset, count", [("train", 60_000), ("test", 10_000)])
def test_drawn_data_are_as_many_as_mnists_and_are_called_drawn(monkeypatch, subset, count):
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: (count, seed))
    number, seed, name = train_model.load_digits("drawn", subset)
    assert (number, name) == (count, "drawn digits, not MNIST")
    other = {"train": "test", "test": "train"}[subset]
    assert train_model.load_digits("drawn", other)[1] != seed


UNAMBIGUOUS = {
    "(n, 28, 28, 1)": lambda images, labels: (images[..., None], labels),
    "(n, 784)": lambda images, labels: (images.reshape(-1, 784), labels),
    "int64": lambda images, labels: (images.astype(np.int64), labels),
    "big-endian": lambda images, labels: (images.astype(">u2"), labels),
    "(n, 1) labels": lambda images, labels: (images, labels[:, None]),
    "int8 labels": lambda images, labels: (images, labels.astype(np.int8)),
    "float labels": lambda images, labels: (images, labels.astype(float)),
    "one-hot": lambda images, labels: (images, np.eye(10)[labels]),
    "boolean one-hot": lambda images, labels: (images, np.eye(10, dtype=bool)[labels]),
}


@pytest.mark.parametrize("change", UNAMBIGUOUS.values(), ids=UNAMBIGUOUS)
def test_unambiguous_data_are_taken(tmp_path, change):
    images, labels = draw_digits(50, 3)
    given, true = change(images, labels)
    np.savez(tmp_path / "a.npz", x_train=given, y_train=true)
    read, digits, _ = train_model.load_digits(tmp_path / "a.npz", "train")
    assert np.array_equal(read, images) and read.dtype == np.uint8
    assert np.array_equal(digits, labels) and digits.dtype == np.int64


# ---------------------------------------------------------------- drawn digits


@pytest.mark.parametrize("shape", [(60, 20), (20, 60), (5, 3), (200, 190)])
def test_a_fitted_digit_fills_the_box_and_has_its_mass_in_the_middle(shape):
    ink = np.full(shape, 200, np.uint8)
    ink[: shape[0] // 2] //= 2  # heavier below
    picture = train_model.centred(ink)
    rows, columns = (np.flatnonzero(picture.sum(axis=axis)) for axis in (1, 0))
    assert picture.shape == (28, 28) and picture.max() == 255
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    for axis in (0, 1):
        weights = picture.sum(axis=1 - axis)
        assert np.average(np.arange(28), weights=weights) == pytest.approx(14, abs=0.6)


def test_drawn_digits_come_in_all_ways_of_writing_with_their_labels(monkeypatch):
    drawn = []
    monkeypatch.setattr(train_model, "draw_strokes", lambda way, _: drawn.append(way) or 0)
    _, labels = train_model.draw_digits(2000, 0)
    expected = {(way, label) for label, ways in HANDWRITING.items() for way in ways}
    assert set(zip(drawn, labels.tolist(), strict=True)) == expected


def test_drawn_digits_depend_on_the_seed_alone():
    (first, labels), (again, same) = draw_digits(20, 5), train_model.draw_digits(20, 5)
    other, _ = draw_digits(20, 6)
    assert np.array_equal(first, again) and np.array_equal(labels, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "digit, above, below", [(2, "right", "left"), (3, "right", "right"), (5, "left", "right")]
)
def test_drawn_digits_stand_upright_and_are_not_mirrored(digit, above, below):
    images, labels = draw_digits(1000, 60)
    picture = images[labels == digit].mean(axis=0)
    middles = [np.average(np.arange(28), weights=picture[row]) for row in (10, 16)]
    assert ["left" if middle < 14 else "right" for middle in middles] == [above, below]


# ---------------------------------------------------------------- batches and distortions


def ordered_batches(seed):
    """Return the images' numbers in two epochs, and check that images and labels fit them."""
    images = np.zeros((50, 28, 28), np.uint8)
    images[:, 14, 14] = np.arange(50)
    batches = train_model.training_batches(images, np.arange(50) % 10, 10, False, seed).take(10)
    pictures, labels = map(np.concatenate, zip(*batches.as_numpy_iterator(), strict=True))
    order = np.rint(255 * pictures[:, 14, 14, 0]).astype(int)
    assert np.array_equal(pictures, as_input(images[order]))
    assert np.array_equal(labels, np.eye(10)[order % 10])
    return order.reshape(2, 50)


def test_batches_hold_each_image_once_an_epoch_in_another_order():
    first, second = ordered_batches(seed=3)
    assert np.array_equal(np.sort([first, second]), [np.arange(50)] * 2)
    assert not np.array_equal(first, second)


def test_order_of_the_images_depends_on_the_seed():
    assert np.array_equal(ordered_batches(3), ordered_batches(3))
    assert not np.array_equal(ordered_batches(3), ordered_batches(4))


def distorted_batches(seed):
    digits = np.repeat(draw_digits(20, 60)[0][:1], 4, axis=0)
    batches = train_model.training_batches(digits, np.zeros(4, int), 2, True, seed)
    return np.concatenate([images for images, _ in batches.take(4).as_numpy_iterator()])


def test_images_are_distorted_each_time_in_another_way_that_the_seed_tells():
    assert len(np.unique([*distorted_batches(3), *distorted_batches(4)], axis=0)) == 16
    assert np.array_equal(distorted_batches(3), distorted_batches(3))


@pytest.fixture(scope="module")
def distortions():
    """What distort did to 2000 images, by kind: degrees, shares and pixels."""
    # Images as bright as they are far right, or far down, say where each pixel came from.
    sides = [np.float32([side] * 2000) for side in np.meshgrid(np.arange(28), np.arange(28))]
    x, y = (np.asarray(train_model.distort(side[..., None], (1, 7)))[..., 0] for side in sides)
    a, b, c, d = (np.diff(side, axis=axis)[:, 13, 13] for side in (x, y) for axis in (2, 1))
    right, down = (side[:, 13:15, 13:15].mean(axis=(1, 2)) - 13.5 for side in (x, y))
    return {
        "turned": np.degrees(np.arcsin(c)),
        "slanted": np.degrees(np.arctan(b + c)),
        "scaled": (a + d) / 2 - 1,
        "stretched": (a - d) / 2,
        "right": right,
        "down": down,
    }


@pytest.mark.parametrize(
    "kind, most",
    [("turned", 10), ("slanted", 9), ("scaled", 0.1), ("stretched", 0.07)]
    + [("right", 1.5), ("down", 1.5)],
)
def test_distortions_are_as_large_as_documented(distortions, kind, most):
    changes = distortions[kind]
    assert changes.min() == pytest.approx(-most, rel=0.1)
    assert changes.max() == pytest.approx(most, rel=0.1)
    assert abs(np.mean(changes)) < 0.1 * most


def test_distortions_of_all_kinds_are_independent(distortions):
    assert abs(np.corrcoef([*distortions.values()]) - np.eye(6)).max() < 0.1


def test_what_comes_from_outside_an_image_is_ground():
    images = np.ones((500, 28, 28, 1), np.float32)
    edges = np.asarray(train_model.distort(images, (1, 7)))[:, [0, 27]]
    assert edges.min() == 0 and edges.max() == pytest.approx(1)


# ---------------------------------------------------------------- training


def answering(model, *answers):
    """Make a callback: in each epoch the network gives one answer, or an exception ends it."""

    def begin(epoch, logs):
        if isinstance(answers[epoch], BaseException):
            raise answers[epoch]
        model.layers[-1].set_weights([np.zeros((128, 10)), np.log(answers[epoch])])

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def begin_training(count=600, **settings):
    """Begin a training on so many images; returns the network and what callbacks know."""
    model, sets = train_model.build_model(), (draw_digits(count, 1), draw_digits(50, 2))
    callback = answering(model, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_model.train(model, *sets, [callback], **settings)
    return model, callback.params


@pytest.mark.parametrize(
    "count, epochs, given, batch_size, steps",
    [
        (641, 1, None, 64, 11),
        (600, 2, None, 128, 5),
        (600, 3, None, 192, 4),
        (512, 9, None, 256, 2),
        (600, 9, 59, 59, 11),
        (600, 1, 999, 600, 1),
    ],
)
def test_batches_are_small_in_short_runs(monkeypatch, count, epochs, given, batch_size, steps):
    seen, make = [], train_model.training_batches
    monkeypatch.setattr(
        train_model, "training_batches", lambda *given: seen.append(given) or make(*given)
    )
    params = begin_training(count, epochs=epochs, batch_size=given, augment=False, seed=8)[1]
    assert (params["steps"], params["epochs"]) == (steps, epochs)
    assert seen[0][2:] == (batch_size, False, 8)


@pytest.mark.parametrize("smoothing, lowest", [(0.0, 0.0), (0.1, 0.5003)])
def test_labels_are_smoothed_as_asked(smoothing, lowest):
    loss = begin_training(label_smoothing=smoothing)[0].loss
    label = np.eye(10, dtype=np.float32)[[3]]
    best = (1 - smoothing) * label + smoothing / 10
    assert float(loss(label, best)) == pytest.approx(lowest, abs=1e-4)


def rates_of(name, rate, steps):
    """Return the learning rates at each twentieth of a training."""
    optimizer = train_model.make_optimizer(name, rate, steps)
    return np.array([float(optimizer._learning_rate(step)) for step in np.linspace(0, steps, 21)])


@pytest.mark.parametrize("name", ["muon", "adam", "sgd"])
def test_one_cycle_rises_to_the_given_rate_and_falls_to_nothing(name):
    rates = rates_of(name, 0.3, 200)
    top = rates.argmax()
    assert rates[top] == pytest.approx(0.3) and top == 0.15 * 20
    assert np.all(np.diff(rates[: top + 1]) > 0) and np.all(np.diff(rates[top:]) < 0)
    assert rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name, own", [("muon", 0.001), ("adam", 0.001), ("sgd", 0.01)])
def test_one_cycle_goes_to_ten_times_the_optimizers_own_rate(name, own):
    assert max(rates_of(name, None, 200)) == pytest.approx(10 * own)


@pytest.mark.parametrize("name", ["adam", "sgd", "adadelta", "muon"])
def test_without_one_cycle_the_optimizer_is_plain_keras(name):
    ours, plain = train_model.make_optimizer(name), keras.optimizers.get(name)
    assert type(ours) is type(plain)
    assert ours.get_config() == plain.get_config() | {"name": ours.name}
    assert float(train_model.make_optimizer(name, 0.3).learning_rate) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "name",
    ["sgd", "rmsprop", "adam", "adamw", "adadelta", "adagrad", "adamax", "nadam", "ftrl", "lion"]
    + ["adafactor", "muon"],
)
@pytest.mark.parametrize("steps", [None, 9])
def test_any_optimizer_of_keras_can_be_made(name, steps):
    assert type(train_model.make_optimizer(name, None, steps)).__name__.lower() == name


def test_muon_leaves_the_output_layer_and_convolutions_to_adam():
    model = begin_training()[0]
    optimizer = model.optimizer
    by_muon = [v.path for v in model.trainable_variables if not optimizer._should_use_adamw(v)]
    assert [path.split("/")[-2:] for path in by_muon] == [[model.layers[-2].name, "kernel"]]


SEVEN, ONE = [0.001] * 7 + [0.991, 0.001, 0.001], [0.001, 0.991] + [0.001] * 8
THREE = [0.001, 0.001, 0.001, 0.55, 0.001, 0.001, 0.001, 0.442, 0.001, 0.001]


@pytest.mark.parametrize(
    "fourth, patience, epochs, interrupted",
    [(ONE, None, 5, False), (ONE, 2, 3, False), (KeyboardInterrupt(), None, 3, True)],
)
def test_best_epoch_is_kept(fourth, patience, epochs, interrupted):
    # Of ten images, seven are sevens. "Three" has the lower loss, "seven" is right more often.
    images, labels = np.zeros((10, 28, 28), np.uint8), np.array([7] * 7 + [3] * 3)
    model, sets = train_model.build_model(), ((images[:9], np.ones(9, int)), (images, labels))
    history, ended = train_model.train(
        *(model, *sets, [answering(model, THREE, SEVEN, ONE, fourth, ONE)]),
        **{"optimizer": "sgd", "learning_rate": 1e-12, "one_cycle": False},
        patience=patience,
    )
    assert ended == interrupted and len(history["val_accuracy"]) == epochs
    assert np.allclose(model(as_input(images[:1])), [SEVEN], atol=1e-3)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_same_seed_same_weights(small_data, tmp_path):
    options = "--epochs", 1, "--batch-size", 600, "--seed", 5, "--no-augment"
    run_main(TRAIN, "--data", small_data, *options, cwd=tmp_path)
    saved = keras.saving.load_model(tmp_path / "digit_classifier.keras")
    keras.utils.set_random_seed(5)
    model = train_model.build_model()
    sets = train_model.split(*train_model.load_digits(small_data, "train")[:2], 0.2)
    train_model.train(model, *sets, epochs=1, batch_size=600, augment=False, seed=5)
    assert all(map(np.array_equal, saved.get_weights()[:-2], model.get_weights()[:-2]))


@pytest.mark.parametrize(
    "flags, gpus, policy",
    [
        ("avx512f avx512_bf16 avx512_vbmi", [], "mixed_bfloat16"),
        ("amx_bf16", [], "mixed_bfloat16"),
        ("avx512_vnni bf16 svebf16", [], "float32"),
        ("amx_bf16", ["a GPU"], "float32"),
        (None, [], "float32"),  # as on macOS and Windows
    ],
)
def test_precision_fits_the_machine(tmp_path, monkeypatch, flags, gpus, policy):
    if flags:
        (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}")
    monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": gpus}.get)
    assert train_model.fastest_policy(tmp_path / "cpuinfo") == policy


def test_hidden_layers_train_in_the_fastest_precision(monkeypatch):
    monkeypatch.setattr(train_model, "fastest_policy", lambda: "mixed_bfloat16")
    layers = begin_training()[0].layers
    assert [layer.compute_dtype for layer in layers] == ["bfloat16"] * 6 + ["float32"]


@pytest.mark.parametrize("factor", [0.23, 0.8, 1.25, 4.3])
def test_calibration_lowers_the_loss_to_the_lowest_and_changes_no_decision(
    trained, small_data, factor
):
    images, labels = (array[-300:] for array in train_model.load_digits(small_data, "train")[:2])
    model, inputs = keras.saving.load_model(trained[0]), as_input(images)
    output = model.layers[-1]
    lowest, before = model.evaluate(inputs, labels, verbose=0)[0], model.predict(inputs, verbose=0)
    output.set_weights([factor * array for array in output.get_weights()])
    assert model.evaluate(inputs, labels, verbose=0)[0] > lowest
    train_model.calibrate(model, images, labels)
    after = model.predict(inputs, verbose=0)
    assert model.evaluate(inputs, labels, verbose=0)[0] == pytest.approx(lowest, rel=0.01)
    assert np.array_equal(after.argmax(axis=1), before.argmax(axis=1))


# ---------------------------------------------------------------- what a run leaves


def test_training_prints_the_network_and_what_became_of_it(trained):
    path, run = trained
    assert "93,418" in run.stdout and result(run.stdout, "epochs") == "5"
    trained_on = result(run.stdout, "trained on")
    assert trained_on.startswith("1,200 of small ") and trained_on.endswith(" and 200 drawn")
    assert result(run.stdout, "validation images") == "300"
    assert result(run.stdout, "network saved as") == r"n\xe9t.keras"
    assert 0.1 < float(result(run.stdout, "time").removesuffix(" s")) < 200
    assert keras.__version__ in result(run.stdout, "software")
    assert files_in(path.parent).keys() == {path.name, "plots", "plots/training_curves.png"}


def test_training_leaves_nothing_but_progress_on_standard_error(trained):
    errors = trained[1].stderr.splitlines()
    assert len(errors) == 11 and all("Epoch" in line for line in errors[1::2])


@pytest.fixture(scope="module", params=["keras", "h5"])
def saved(request, trained, tmp_path_factory):
    """Path of the trained network, in each format."""
    if request.param == "keras":
        return trained[0]
    path = tmp_path_factory.mktemp("saved") / "copy.h5"
    train_model.save_model(keras.saving.load_model(trained[0]), path)
    return path


@pytest.mark.parametrize("part, number", [("training", 0), ("validation", 1)])
def test_statistics_are_what_the_saved_network_does(trained, small_data, saved, part, number):
    sets = train_model.split(*train_model.load_digits(small_data, "train")[:2], 0.2)
    images, labels = sets[number]
    if part == "training":
        drawn, digits = train_model.draw_digits(200, (2, 0))
        images, labels = np.concatenate([images, drawn]), np.concatenate([labels, digits])
    model = keras.saving.load_model(saved)
    loss, accuracy = model.evaluate(images[..., np.newaxis] / 255, labels, verbose=0)
    printed = result(trained[1].stdout, f"{part} accuracy")
    assert printed == f"{accuracy:.2%} (loss {loss:.4f})" and accuracy > 0.8 and loss < 0.7


def config_of(path):
    """Return the configuration that a file of a network holds."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return json.loads(file.attrs["model_config"])
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


def settings_in(config, path=""):
    """Yield the name and value of each setting of a configuration, at any depth."""
    for name, value in config.items() if isinstance(config, dict) else enumerate(config):
        yield f"{path}/{name}", value
        if isinstance(value, (dict, list)):
            yield from settings_in(value, f"{path}/{name}")


def test_saved_network_holds_no_unset_setting_which_older_keras_may_not_know(saved):
    for layer in config_of(saved)["config"]["layers"]:
        settings = dict(settings_in(layer["config"]))
        unset = [name for name, value in settings.items() if value is None]
        assert [name for name in unset if "batch_shape" not in name] == [], layer["class_name"]


def test_saved_network_is_float32_with_channels_last(saved):
    settings = [*settings_in(config_of(saved))]
    types = {str(value) for _, value in settings if "float" in str(value)[:16]}
    assert types == {"float32", "{'name': 'float32'}"}
    assert "channels_first" not in str(settings)


def test_saved_network_loads_without_warnings_and_holds_no_optimizer_state(saved):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = keras.saving.load_model(saved)
    assert model.name == "trained_on_small_.npz" and saved.stat().st_size < 500_000


def test_another_network_trains_saves_loads_and_predicts(small_data, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(train_model, "calibrate", None)  # It is part of our recipe only.
    options = [*PUBLISHED, "3x3-dropout", "--epochs", 1, "--optimizer", "adam"]
    options += ["--plots", "b/c", "--output", "folder/a.h5"]
    run = run_main(TRAIN, "--data", small_data, *options, cwd=tmp_path)
    assert "2,380,938" in run.stdout and result(run.stdout, "epochs") == "1"
    assert plt.gca().get_legend_handles_labels()[1] == ["training", "validation"]
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"folder/a.h5", "b/c/training_curves.png"}
    assert not [record for record in caplog.records if record.name == "absl"]  # Keras's
    run = run_main(PREDICT, "--data", small_data, "--model", "folder/a.h5", cwd=tmp_path)
    assert accuracy_in(run.stdout) > 50


@linux_only  # Elsewhere not everybody may make links.
def test_saving_to_a_link_replaces_what_it_points_to(tmp_path):
    link, path = tmp_path / "link.keras", tmp_path / "folder" / "a.keras"
    link.symlink_to(path)
    train_model.save_model(train_model.build_model(), link)
    assert link.is_symlink() and files_in(path.parent).keys() == {"a.keras"}


@pytest.mark.parametrize(
    "augment, smoothing, label, heading",
    [
        (True, 0.1, "training, on distorted images", "loss on smoothed labels"),
        (False, 0.0, "training", "loss"),
    ],
)
def test_curves_show_both_sets_over_the_epochs(augment, smoothing, label, heading):
    history = {"accuracy": [0.5, 0.7], "val_accuracy": [0.6, 0.8]}
    history |= {"loss": [3, 2], "val_loss": [2, 1]}
    figure = train_model.plot_history(history, "a$_$.npz", augment, smoothing)
    lines = {
        (axis.get_ylabel(), line.get_label()): line.get_xydata().ravel().tolist()
        for axis in figure.axes
        for line in axis.lines
    }
    assert "a$_$.npz" in figure.get_suptitle()
    assert lines == {
        ("accuracy", label): [1, 0.5, 2, 0.7],
        ("accuracy", "validation"): [1, 0.6, 2, 0.8],
        (heading, label): [1, 3, 2, 2],
        (heading, "validation"): [1, 2, 2, 1],
    }
    assert all(axis.get_legend() and axis.get_xlabel() == "epoch" for axis in figure.axes)
    assert not any(tick % 1 for axis in figure.axes for tick in axis.get_xticks())


def test_plot_is_saved_and_its_window_has_a_title(tmp_path, capsys):
    figure, _ = train_model.new_plot("A plot", 10, 4)
    train_model.save_plot(figure, tmp_path / "folder" / "a.png", "A title")
    assert figure.canvas.manager.get_window_title() == "A title"
    assert plt.imread(tmp_path / "folder" / "a.png").shape[:2] == (600, 1500)
    assert "a.png" in result(capsys.readouterr().out, "plot saved as")
