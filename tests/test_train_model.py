"""train_model.py: the network, the data, the training, the files it leaves."""

import json
import sys
import warnings
import zipfile

import h5py
import numpy as np
import pytest
from conftest import TRAIN, files_in, linux_only, result, run_main
from test_images import DIGIT, OTHER

import predict_model
import train_model
from train_model import HANDWRITING, as_input, draw_digits, keras

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
    hidden = model.layers[:-1]
    assert [layer.rate for layer in hidden if hasattr(layer, "rate")] == dropouts
    activations = {layer.activation.__name__ for layer in hidden if hasattr(layer, "activation")}
    pools = {type(layer).__name__ for layer in hidden if hasattr(layer, "pool_size")}
    assert activations == {"relu"} and pools == {"MaxPooling2D"}


PLAIN = {"batch_size": 32, "optimizer": "adam", "learning_rate": None, "patience": None}
PLAIN |= {"augment": False, "one_cycle": False, "label_smoothing": 0}
LARGE = {"epochs": 50, "batch_size": 128, "optimizer": "adadelta", "patience": 5}


@pytest.mark.parametrize(
    "typed, expected",
    [
        ([], {"augment": True, "data": "auto"}),
        (["--recipe=published"], PLAIN),
        ([*PUBLISHED, "3x3"], PLAIN | {"epochs": 10}),
        ([*PUBLISHED, "3x3-pooled"], PLAIN | {"epochs": 10}),
        ([*PUBLISHED, "3x3-dropout"], PLAIN | LARGE | {"validation_split": 1 / 12}),
        ([*PUBLISHED, "3x3-dropout", "--epochs=7"], PLAIN | LARGE | {"epochs": 7}),
        (["--recipe=published", "--augment"], PLAIN | {"augment": True}),
    ],
)
def test_typed_option_wins_over_the_recipe_and_that_over_the_default(monkeypatch, typed, expected):
    monkeypatch.setattr(sys, "argv", [TRAIN, *typed])
    arguments = vars(train_model.parse_arguments())
    assert {name: arguments[name] for name in expected} == expected


@pytest.fixture
def begin(small_data, monkeypatch, tmp_path):
    """Return a function that runs train_model.py; it returns what would be trained."""

    def train(model, train_set, validation_set, **settings):
        given.update(weights=model.get_weights()[0], last_image=train_set[0][-1])
        given.update(images=train_set[0], others=validation_set[0], settings=settings)
        given.update(seed=settings["seed"])
        return {}, False

    def calibrate(model, images, labels):
        given.update(calibrated_on=images)
        raise KeyboardInterrupt

    def run(*typed):
        run_main(TRAIN, "--data", small_data, *typed, cwd=tmp_path, status=130)
        return given.copy()

    given, train.__kwdefaults__ = {}, train_model.train.__kwdefaults__
    monkeypatch.setattr(train_model, "train", train)
    monkeypatch.setattr(train_model, "calibrate", calibrate)
    return run


def test_options_reach_the_training(begin):
    options = {"epochs": 3, "batch_size": 7, "optimizer": "lion", "learning_rate": 0.5}
    options |= {"patience": 2, "seed": 9}
    typed = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    given = begin(*typed, "--no-augment", "--validation-split=0.1")
    assert given["settings"] == train_model.train.__kwdefaults__ | options | {"augment": False}
    assert (len(given["images"]), len(given["others"])) == (1350, 150)


def test_network_is_calibrated_on_the_validation_images(begin):
    given = begin()
    assert given["calibrated_on"] is given["others"]


@pytest.mark.parametrize("part", ["weights", "last_image", "seed"])  # The last image is drawn.
def test_seed_decides_what_is_random(begin, part):
    first, again, other = (begin("--seed", seed)[part] for seed in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


ORDERED = np.arange(100)


@pytest.mark.parametrize("share, count", [(0.196, 80), (0.006, 99), (0.994, 1)])
def test_split_takes_the_last_images_for_validation(share, count):
    train_set, validation_set = train_model.split(ORDERED, ORDERED % 9, share)
    assert np.array_equal(train_set, (ORDERED[:count], ORDERED[:count] % 9))
    assert np.array_equal(validation_set, (ORDERED[count:], ORDERED[count:] % 9))


@pytest.mark.parametrize(
    "labels, warned", [(ORDERED // 10, True), (ORDERED % 10, False), (np.sign(ORDERED), False)]
)
def test_data_sorted_by_label_are_warned_of(capsys, labels, warned):
    train_model.split(ORDERED, labels, 0.2)
    assert ("warning: " in capsys.readouterr().err) == warned


UNAMBIGUOUS = {
    "(n, 28, 28, 1)": lambda images, labels: (images[..., None], labels),
    "(n, 784)": lambda images, labels: (images.reshape(-1, 784), labels),
    "big-endian": lambda images, labels: (images.astype(">u2"), labels),
    "(n, 1) labels": lambda images, labels: (images, labels[:, None]),
    "float labels": lambda images, labels: (images, labels.astype(float)),
    "one-hot": lambda images, labels: (images, np.eye(10)[labels]),
}


@pytest.mark.parametrize("change", UNAMBIGUOUS.values(), ids=UNAMBIGUOUS)
def test_unambiguous_data_are_taken(tmp_path, change):
    images, labels = draw_digits(50, 3)
    given, true = change(images, labels)
    np.savez(tmp_path / "a.npz", x_train=given, y_train=true)
    read, digits, _ = train_model.load_digits(tmp_path / "a.npz", "train")
    assert np.array_equal(read, images) and read.dtype == np.uint8
    assert np.array_equal(digits, labels) and digits.dtype == np.int64


def test_drawn_digits_come_in_all_ways_of_writing_with_their_labels(monkeypatch):
    drawn, blank = [], np.zeros((28, 28))
    monkeypatch.setattr(train_model, "draw_strokes", lambda way, _: drawn.append(way) or blank)
    _, labels = draw_digits(2000, 0)
    ways = [line.split(": ") for line in HANDWRITING.strip().splitlines()]
    expected = {(way, int(name[0])) for name, way in ways}
    assert set(zip(drawn, labels.tolist(), strict=True)) == expected


def test_no_drawn_digits_can_be_joined_to_others():
    images, labels = draw_digits(0, 0)
    assert images.shape == (0, 28, 28) and labels.shape == (0,)


@pytest.mark.parametrize("digit, picture", [(4, DIGIT), (5, OTHER)])
def test_drawn_digits_stand_upright_and_are_not_mirrored(digit, picture):
    images, labels = draw_digits(500, 60)
    drawn = images[labels == digit].mean(axis=0)
    views = [picture, picture[:, ::-1], picture[::-1], picture[::-1, ::-1], picture.T]
    alike = [np.corrcoef(drawn.ravel(), view.ravel())[0, 1] for view in views]
    assert np.argmax(alike) == 0


def two_epochs(seed, augment=False):
    """Return the images and labels of two epochs of fifty digits, and the digits."""
    digits, labels = draw_digits(50, 3)
    batches = train_model.training_batches(digits, labels, 10, augment, seed).take(10)
    images, hot = map(np.concatenate, zip(*batches.as_numpy_iterator(), strict=True))
    return images, hot, digits, labels


def test_batches_hold_each_image_with_its_label_once_an_epoch_in_another_order():
    images, hot, digits, labels = two_epochs(seed=3)
    order = [np.flatnonzero((as_input(digits) == image).all(axis=(1, 2, 3)))[0] for image in images]
    assert sorted(order[:50]) == sorted(order[50:]) == [*range(50)]
    assert order[:50] != order[50:] and np.array_equal(hot, np.eye(10)[labels[order]])


def test_each_image_is_distorted_in_its_own_way_in_each_epoch():
    assert len(np.unique(two_epochs(3, augment=True)[0], axis=0)) == 100


def test_distorted_digits_stay_legible(network):
    images, labels = draw_digits(300, 2)
    distorted = 255 * np.asarray(train_model.distort(as_input(images), (1, 7)))[..., 0]
    right = [
        np.mean(predict_model.predict(network, pictures).argmax(axis=1) == labels)
        for pictures in (images, distorted)
    ]
    assert right[1] > right[0] - 0.05


@pytest.mark.parametrize("name", ["adam", "adadelta", "muon"])
def test_without_one_cycle_the_optimizer_is_plain_keras(name):
    ours, plain = train_model.make_optimizer(name), keras.optimizers.get(name)
    assert ours.get_config() == plain.get_config() | {"name": ours.name}
    assert float(train_model.make_optimizer(name, 0.3).learning_rate) == pytest.approx(0.3)


@pytest.mark.parametrize("typed, highest", [(None, 0.01), (0.5, 0.5)])
def test_one_cycle_rises_for_15_percent_of_the_steps_and_falls_to_zero(typed, highest):
    optimizer, rates = train_model.make_optimizer("adam", typed, 100), []
    for step in range(101):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    assert np.argmax(rates) == 15 and max(rates) == pytest.approx(highest)
    assert [rates[0], rates[100]] == pytest.approx([0, 0], abs=1e-6) and rates[60] > 0


def small_model():
    layers = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    return keras.Sequential(layers)


@pytest.mark.parametrize("epochs, batch_size, steps", [(2, 80, 4), (1, None, 5), (5, None, 2)])
def test_epoch_takes_each_image_once_and_one_cycle_all_epochs(epochs, batch_size, steps):
    """By default a batch has 64 images for each epoch, and at most 256."""
    model, digits = small_model(), draw_digits(300, 3)
    settings = {"epochs": epochs, "batch_size": batch_size, "optimizer": "sgd", "augment": False}
    train_model.train(model, digits, digits, **settings)
    optimizer = model.optimizer
    assert int(optimizer.iterations) == epochs * steps
    assert float(optimizer.learning_rate) == pytest.approx(0, abs=1e-6)
    optimizer.iterations.assign(epochs * steps - 1)
    assert float(optimizer.learning_rate) > 1e-3


SEVEN, ONE = [0.001] * 7 + [0.991, 0.001, 0.001], [0.001, 0.991] + [0.001] * 8
THREE = [0.001, 0.001, 0.001, 0.55, 0.001, 0.001, 0.001, 0.442, 0.001, 0.001]


@pytest.mark.parametrize(
    "fourth, patience, epochs, interrupted",
    [(ONE, None, 5, False), (ONE, 2, 3, False), (KeyboardInterrupt(), None, 3, True)],
)
def test_best_epoch_is_kept_in_float32(monkeypatch, fourth, patience, epochs, interrupted):
    def answer(epoch, logs):
        if isinstance(answers[epoch], BaseException):
            raise answers[epoch]
        model.layers[-1].set_weights([np.zeros((784, 10)), np.log(answers[epoch])])

    # Of ten images, seven are sevens. "Three" has the lower loss, "seven" is right more often.
    answers = [THREE, SEVEN, ONE, fourth, ONE]
    images, labels = np.zeros((10, 28, 28), np.uint8), np.array([7] * 7 + [3] * 3)
    model, sets = small_model(), ((images[:9], np.ones(9, int)), (images, labels))
    settings = {"optimizer": "sgd", "learning_rate": 1e-12, "one_cycle": False, "augment": False}
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=answer)
    monkeypatch.setattr(train_model, "fastest_policy", lambda: "mixed_bfloat16")
    history, ended = train_model.train(model, *sets, [callback], patience=patience, **settings)
    assert ended == interrupted and len(history["val_accuracy"]) == epochs
    assert np.allclose(model(as_input(images[:1])), [SEVEN], atol=1e-3)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_training_depends_on_its_seed_alone():
    digits, weights = draw_digits(50, 3), []
    for seed in (5, 5, 6):
        keras.utils.set_random_seed(0)
        model = small_model()
        train_model.train(model, digits, digits, epochs=1, batch_size=25, seed=seed)
        weights.append(model.get_weights()[0])
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize("smoothing, loss", [(0.0, -np.log(0.55)), (1.0, -np.log(THREE).mean())])
def test_loss_is_that_of_smoothed_labels(smoothing, loss):
    model, threes = small_model(), (np.zeros((9, 28, 28), np.uint8), np.full(9, 3))
    model.set_weights([np.zeros((784, 10)), np.log(THREE)])
    settings = {"epochs": 1, "learning_rate": 1e-12, "label_smoothing": smoothing}
    history, _ = train_model.train(model, threes, threes, **settings)
    assert history["val_loss"] == pytest.approx([loss], rel=1e-3)


@pytest.mark.parametrize("factor", [0.23, 4.3])
def test_calibration_finds_the_lowest_loss_and_changes_no_decision(trained, small_data, factor):
    images, labels = (array[-300:] for array in train_model.load_digits(small_data, "train")[:2])
    model = keras.saving.load_model(trained[0])

    def loss_and_decisions():
        probabilities = np.asarray(model(as_input(images)))
        return -np.log(probabilities[range(300), labels]).mean(), probabilities.argmax(axis=1)

    lowest, before = loss_and_decisions()
    output = model.layers[-1]
    output.set_weights([factor * array for array in output.get_weights()])
    train_model.calibrate(model, images, labels)
    loss, after = loss_and_decisions()
    assert loss == pytest.approx(lowest, rel=0.01) and np.array_equal(after, before)


def test_training_prints_what_became_of_it_and_only_progress_on_standard_error(trained):
    path, run = trained
    assert "93,418" in run.stdout and result(run.stdout, "epochs") == "5"
    assert result(run.stdout, "trained on").endswith(" and 150 drawn")
    assert result(run.stdout, "network saved as") == r"n\xe9t.keras"
    assert files_in(path.parent).keys() == {path.name, "plots", "plots/training_curves.png"}
    progress = run.stderr.splitlines()
    assert len(progress) == 11 and all("Epoch" in line for line in progress[1::2])


def test_statistics_are_what_the_saved_network_does(trained, small_data):
    model = keras.saving.load_model(trained[0])
    images, labels, _ = train_model.load_digits(small_data, "train")
    train_set, validation_set = train_model.split(images, labels, 0.2)
    train_set, _ = train_model.with_drawn(train_set, 0)
    for part, (pictures, digits) in (("training", train_set), ("validation", validation_set)):
        loss, accuracy = model.evaluate(pictures[..., np.newaxis] / 255, digits, verbose=0)
        printed = result(trained[1].stdout, f"{part} accuracy")
        assert printed == f"{accuracy:.2%} (loss {loss:.4f})" and accuracy > 0.8 and loss < 0.7


@pytest.fixture(scope="module", params=["keras", "h5"])
def saved(request, trained, tmp_path_factory):
    """Path of the trained network, and of one with other layers in the other format."""
    if request.param == "keras":
        return trained[0]
    path = tmp_path_factory.mktemp("saved") / "a.h5"
    train_model.save_model(train_model.build_model("3x3-dropout", "small \udcff.npz"), path)
    return path


def test_saved_network_is_plain_keras_without_settings_that_an_older_one_may_not_know(saved):
    if saved.suffix == ".h5":
        with h5py.File(saved) as file:
            text = file.attrs["model_config"]
    else:
        with zipfile.ZipFile(saved) as archive:
            text = archive.read("config.json").decode()
    for layer in json.loads(text)["config"]["layers"]:
        settings = layer["config"]
        settings.pop("batch_shape", None)
        assert "null" not in json.dumps(settings), layer["class_name"]
    assert "float64" not in text and "bfloat16" not in text and "channels_first" not in text
    with warnings.catch_warnings(action="error"):
        model = keras.saving.load_model(saved)
    # So small a file holds no state of an optimizer.
    assert model.name == "trained_on_small_npz"
    assert saved.stat().st_size < 6 * model.count_params()


def test_another_network_is_trained_as_published(small_data, monkeypatch, tmp_path, caplog):
    shown = []
    monkeypatch.setattr(train_model, "calibrate", None)  # It is part of our recipe only.
    monkeypatch.setattr(train_model.plt, "show", lambda: shown.append("curves"))
    options = [*PUBLISHED, "3x3-pooled", "--epochs", 2, "--plots", "b/c", "--output", "folder/a.h5"]
    run = run_main(TRAIN, "--data", small_data, *options, cwd=tmp_path)
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"folder/a.h5", "b/c/training_curves.png"} and shown == ["curves"]
    assert not [record for record in caplog.records if record.name == "absl"]  # Keras's
    assert float(result(run.stdout, "validation accuracy").partition("%")[0]) > 50


@linux_only  # Elsewhere not everybody may make links.
def test_saving_to_a_link_replaces_what_it_points_to(tmp_path):
    link, path = tmp_path / "link.keras", tmp_path / "folder" / "a.keras"
    link.symlink_to(path)
    train_model.save_model(train_model.build_model(), link)
    assert link.is_symlink() and files_in(path.parent).keys() == {"a.keras"}


def test_curves_show_both_sets_over_the_epochs():
    history = {"accuracy": [0.5, 0.7], "val_accuracy": [0.6, 0.8]}
    history |= {"loss": [3, 2], "val_loss": [2, 1]}
    figure = train_model.plot_history(history, "a$_$.npz", True, 0.1)
    assert "a$_$.npz" in figure.get_suptitle()
    for axis, name in zip(figure.axes, ("accuracy", "loss"), strict=True):
        training, validation = axis.lines
        assert name in axis.get_ylabel() and "distorted" in training.get_label()
        assert training.get_xydata().tolist() == [*map(list, enumerate(history[name], 1))]
        assert [*validation.get_ydata()] == history[f"val_{name}"]
