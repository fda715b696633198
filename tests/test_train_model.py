"""train_model.py: the network, the data, the training, the files it leaves."""

import functools
import hashlib
import os
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import PREDICT, TRAIN, accuracy_in, files_in, run_main

import train_model
from train_model import HANDWRITING, InputError, Recipe, as_input, keras, tf

draw_digits = functools.lru_cache(train_model.draw_digits)

# The layers with their dropout rates, and the parameters, which tell the layers' sizes.
NETWORKS = {
    "5x5": "Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense Dense: 93418",
    "3x3-dropout": "Conv2D Conv2D MaxPooling2D Dropout0.25 Flatten Dense Dropout0.5 Dense: 2380938",
    "3x3": "Conv2D Conv2D MaxPooling2D Flatten Dense: 65194",
    "3x3-pooled": "Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense: 34826",
}
PLAIN = Recipe(5, 32, "adam", None, False, "float32", 0.2, None, 0, ours=False)
LARGE = Recipe(50, 128, "adadelta", None, False, "float32", 1 / 12, 5, 0, ours=False)


def test_networks_are_the_documented_ones():
    for name, expected in NETWORKS.items():
        model = train_model.build_model(name, "a, b.npz")
        assert model.input_shape == (None, 28, 28, 1) and model.name == "trained_on_a_b.npz"
        layers = [f"{type(layer).__name__}{getattr(layer, 'rate', '')}" for layer in model.layers]
        assert f"{' '.join(layers)}: {model.count_params()}" == expected
        *hidden, last = [layer.activation.__name__ for layer in model.layers if layer.weights]
        assert set(hidden) == {"relu"} and last == "softmax"


@pytest.mark.parametrize("arguments, expected", [
    ("", Recipe(5, None, "adam", None, True, "auto", 0.2, None, 0, True)),
    ("--epochs 1 --batch-size 1 --no-augment", Recipe(1, 1, augment=False)),
    ("--epochs 1000000 --learning-rate 1e-12 --optimizer sgd", Recipe(10**6, None, "sgd", 1e-12)),
    ("--seed 4294967295 --precision bfloat16", Recipe(precision="bfloat16", seed=2**32 - 1)),
    ("--recipe published", PLAIN),
    ("--recipe published --architecture 3x3 --patience 1", replace(PLAIN, epochs=10, patience=1)),
    ("--recipe published --architecture 3x3-pooled --seed 1", replace(PLAIN, epochs=10, seed=1)),
    ("--recipe published --architecture 3x3-dropout", LARGE),
])
def test_explicit_options_win_over_the_recipe(monkeypatch, arguments, expected):
    monkeypatch.setattr(sys, "argv", [TRAIN, *arguments.split()])
    assert train_model.parse_arguments()[1] == expected


def test_split_takes_the_last_images_for_validation():
    images, labels = np.arange(100), np.arange(100) % 10
    for share, count in ((0.196, 80), (0.006, 99), (0.994, 1)):
        parts = train_model.split(images, labels, share)
        expected = [images[:count], labels[:count], images[count:], labels[count:]]
        assert all(map(np.array_equal, (*parts[0], *parts[1]), expected))
    for share in (0.0, 0.004, 0.996, 1.0):
        with pytest.raises(InputError, match="validation-split"):
            train_model.split(images, labels, share)


def test_data_are_called_what_they_are(small_data, monkeypatch):
    assert train_model.MNIST_MD5 == {
        "365dab9bac26085dc69f1022fe166e2f", "a9c5e64a683c5dd2f6a9bf7c61b53e6f"}
    monkeypatch.setattr(train_model, "draw_digits", lambda count, seed: (count, seed))
    for subset, count, many, seed in (("train", 1500, 60_000, 0), ("test", 300, 10_000, 1)):
        images, labels, name = train_model.load_digits(small_data, subset)
        assert images.shape == (count, 28, 28) and labels.shape == (count,)
        assert images.dtype == np.uint8 and labels.dtype == np.int64 and name == "small ?.npz"
        content = hashlib.md5(images.tobytes() + bytes(labels.tolist()))
        monkeypatch.setattr(train_model, "MNIST_MD5", {content.hexdigest()})
        assert train_model.load_digits(small_data, subset)[2] == "MNIST"
        assert train_model.load_digits("drawn", subset) == (many, seed, "drawn digits, not MNIST")


def test_fit_fills_the_box_and_centres_the_mass():
    ink, expected = np.full((60, 100), 12, np.uint8), np.zeros((28, 28), np.uint8)
    ink[10:50, 70:74] = ink[40:50, 70:90] = 200
    expected[1:21, 11:21] = 15  # So faint is no ink.
    expected[1:21, 11:13] = expected[16:21, 11:21] = 255
    assert np.array_equal(train_model.fit(train_model.cut(ink)), expected)
    ink[30, 95] = 13
    assert train_model.cut(ink).shape == (40, 26)
    assert train_model.resized(ink, 0.02).shape == (2, 2)


def test_drawn_digits_are_the_documented_ones(monkeypatch):
    images, labels = draw_digits(1000, 60)
    # Brightness, size, slant and, as a seven has its bar above, which way up.
    x, y = np.meshgrid(np.arange(28) - 14, np.arange(28) - 14)
    moments = [(images[labels == 7] * weight).mean(axis=(1, 2))
               for weight in (1, x * x, y * y, x * y, y**3)]
    assert np.allclose(np.mean(moments, axis=1), [33.88, 450.3, 984, -127.9, 2616], rtol=0.01)
    assert np.allclose(np.std(moments, axis=1), [10.99, 301.6, 287.6, 307.2, 1502], rtol=0.01)
    monkeypatch.setattr(
        train_model, "draw_strokes", lambda variant, random: HANDWRITING.index(variant))
    variants, labels = train_model.draw_digits(500, 0)
    assert np.array_equal(variants // 4, labels) and len(np.unique(variants)) == 40


def test_batches_hold_every_image_once_an_epoch():
    images, orders = np.zeros((50, 28, 28), np.uint8), []
    images[:, 14, 14] = np.arange(50)
    for seed in (3, 3, 4):
        batches = train_model.training_batches(images, np.arange(50) % 10, 10, 0, seed).take(10)
        pictures, labels = map(np.concatenate, zip(*batches.as_numpy_iterator()))
        order = np.rint(255 * pictures[:, 14, 14, 0]).astype(int)
        assert np.array_equal(pictures, as_input(images[order]))
        assert np.array_equal(labels, np.eye(10)[order % 10])
        orders.append(order.reshape(2, 50))
    first, again, other = orders
    assert np.array_equal(np.sort(first), [np.arange(50)] * 2) and not np.array_equal(*first)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    digits = np.repeat(draw_digits(1000, 60)[0][:1], 4, axis=0)
    seen = [batch for seed in (3, 4) for batch, _ in train_model.training_batches(
        digits, np.zeros(4, int), 2, 1.0, seed).take(4).as_numpy_iterator()]
    assert len(np.unique(np.concatenate(seen), axis=0)) == 16  # Each time in another way.


def test_distortions_are_the_documented_ones():
    # Images as bright as they are far right, or far down, say where each pixel came from.
    sides = [np.float32([side] * 2000) for side in np.meshgrid(np.arange(28), np.arange(28))]
    x, y = (np.asarray(train_model.distort(side[..., None], 0.8, (1, 7)))[..., 0]
            for side in sides)
    assert x[..., 27].min() == 0  # What comes from outside is ground.
    a, b, c, d = (np.diff(side, axis=axis)[:, 13, 13] for side in (x, y) for axis in (2, 1))
    right, down = (side[:, 13:15, 13:15].mean(axis=(1, 2)) - 13.5 for side in (x, y))
    changes = np.array([(a + d - 2) / 0.2, (a - d) / 0.14, c / 0.17, (b + c) / 0.15,
                        right / 1.5, down / 1.5]) / 0.8
    assert np.allclose(np.sort(changes), np.linspace(-1, 1, 2000), atol=0.08)
    assert np.allclose(changes.max(axis=1), 1, atol=0.01)
    assert abs(np.corrcoef(changes) - np.eye(6)).max() < 0.1


def script(model, *answers):
    """Make a callback: in each epoch the network gives one answer, or an exception ends it."""

    def begin(epoch, logs):
        if isinstance(answers[epoch], BaseException):
            raise answers[epoch]
        model.layers[-1].set_weights([np.zeros((128, 10)), np.log(answers[epoch])])

    return keras.callbacks.LambdaCallback(on_epoch_begin=begin)


def plan(count=600, **changes):
    """Begin a training on so many images; answers the network and what callbacks know."""
    model, sets = train_model.build_model(), (draw_digits(count, 1), draw_digits(200, 2))
    callback = script(model, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_model.train(model, *sets, Recipe(**changes), [callback])
    return model, callback.params


def test_batches_are_small_and_distortions_mild_in_short_runs(monkeypatch):
    seen, make = [], train_model.training_batches
    monkeypatch.setattr(
        train_model, "training_batches", lambda *given: seen.append(given[2:]) or make(*given))
    for count, epochs, given, batch_size, steps, strength in (
            (641, 1, None, 64, 11, 1), (600, 2, None, 128, 5, 1.05), (600, 3, None, 192, 4, 1.1),
            (512, 9, None, 256, 2, 1.2), (600, 9, 59, 59, 11, 1.2), (600, 1, 999, 600, 1, 1)):
        params = plan(count, epochs=epochs, batch_size=given, seed=8)[1]
        assert params["steps"] == steps and params["epochs"] == epochs
        assert seen.pop() == (batch_size, pytest.approx(strength), 8)
    plan(augment=False)
    assert not seen.pop()[1]


def test_ours_is_another_way_than_plain_keras():
    ours, plain = (plan(epochs=9, batch_size=200, ours=ours)[0] for ours in (True, False))
    assert type(ours.optimizer).__name__ == "Orthogonalized"
    assert ours.optimizer._learning_rate.get_config()["decay_steps"] == 27 - 5
    assert type(plain.optimizer) is keras.optimizers.Adam
    default = keras.optimizers.Adam(name=plain.optimizer.name)
    assert plain.optimizer.get_config() == default.get_config()
    for name in Recipe.__dataclass_fields__["optimizer"].metadata["choices"]:
        assert train_model.make_optimizer(Recipe(optimizer=name), 9).weight_decay > 0
    rate = train_model.make_optimizer(Recipe(learning_rate=0.3, ours=False), 9).learning_rate
    assert float(rate) == pytest.approx(0.3)
    label, unsure = np.eye(10, dtype=np.float32)[[3]], np.full((1, 10), 0.1, np.float32)
    for model, sure, loss in ((ours, 0.9 * label + 0.01, 1.8023), (plain, label, 2.3026)):
        assert not model.jit_compile and model.steps_per_execution == 3
        assert float(model.loss(label, sure)) == pytest.approx(0, abs=1e-5)
        assert float(model.loss(label, unsure)) == pytest.approx(loss, abs=1e-4)


def test_one_cycle_fits_the_length_of_the_run():
    for steps, longer in ((200, 1), (4000, 4)):
        optimizer, highest = train_model.make_optimizer(Recipe(), steps), 0.01 / longer**0.5
        rates = [float(optimizer._learning_rate(step)) for step in np.linspace(0, steps, 21)]
        assert np.allclose(rates[:4], np.linspace(highest / 25, highest, 4))
        assert np.allclose(rates[3:], highest * (1 + np.cos(np.linspace(0, np.pi, 18))) / 2)
        assert optimizer.weight_decay == pytest.approx(0.4 / longer**0.5)
        assert optimizer.beta_2 == pytest.approx(1 - 0.05 / longer)
        sgd = train_model.make_optimizer(Recipe(optimizer="sgd", learning_rate=0.3), steps)
        assert float(sgd._learning_rate(0.15 * steps)) == pytest.approx(0.3)
        assert sgd.weight_decay == pytest.approx(0.04 / longer**0.5)


def test_orthogonal_steps_are_as_long_and_change_all_directions_alike():
    for shape, hidden in (((3, 3, 8, 16), 1), ((40, 12), 1), ((12,), 0), ((40, 10), 0)):
        variable = keras.Variable(np.ones(shape))
        optimizer = train_model.orthogonalized(keras.optimizers.SGD)(0.5)
        optimizer.apply([np.zeros(shape, np.float32)], [variable])
        assert np.all(np.asarray(variable) == 1)
        sizes = np.linspace(1, 9, shape[-1])  # A diagonal matrix's singular values.
        even = sizes / np.linalg.norm(sizes)
        for _ in range(3):
            even = 3.4445 * even - 4.775 * even**3 + 2.0315 * even**5
        even *= np.linalg.norm(sizes) / np.linalg.norm(even)
        diagonal = np.eye(np.prod(shape) // shape[-1], shape[-1], dtype=np.float32).reshape(shape)
        optimizer.apply([diagonal * np.float32(sizes)], [variable])
        step = 0.5 * diagonal * (even if hidden else sizes)
        assert np.allclose(variable, 1 - step, atol=1e-3)


def test_best_epoch_is_kept():
    images, labels = np.zeros((10, 28, 28), np.uint8), np.array([7] * 7 + [3] * 3)
    # One answer has the highest accuracy, one the lowest loss, and one neither.
    seven, one = [0.001] * 7 + [0.991, 0.001, 0.001], [0.001, 0.991] + [0.001] * 8
    three = [0.001, 0.001, 0.001, 0.55, 0.001, 0.001, 0.001, 0.442, 0.001, 0.001]
    for fourth, patience, epochs, status in (
            (one, None, 5, 0), (one, 2, 3, 0), (KeyboardInterrupt(), None, 3, 130),
            (SystemExit(143), None, 3, 143)):
        model, sets = train_model.build_model(), ((images[:9], np.ones(9, int)), (images, labels))
        recipe = replace(PLAIN, learning_rate=1e-12, precision="bfloat16", patience=patience)
        callback = script(model, three, seven, one, fourth, one)
        history, ended = train_model.train(model, *sets, recipe, [callback])
        assert ended == status and len(history["val_accuracy"]) == epochs
        assert np.allclose(model(as_input(images[:1])), [seven], atol=1e-5)
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_same_seed_same_weights(small_data, monkeypatch, tmp_path):
    monkeypatch.setattr(train_model.plt, "show", lambda: sys.exit(9))
    options = "--epochs 1 --batch-size 600 --seed 5 --validation-split 0.5".split()
    run_main(TRAIN, "--data", small_data, *options, cwd=tmp_path, status=9)
    saved = keras.saving.load_model(tmp_path / "digit_classifier.keras")
    keras.utils.set_random_seed(5)
    model = train_model.build_model()
    sets = train_model.split(*train_model.load_digits(small_data, "train")[:2], 0.5)
    train_model.train(model, *sets, Recipe(epochs=1, batch_size=600, seed=5))
    assert np.array_equal(saved.get_weights()[0], model.get_weights()[0])


def test_precision_fits_the_machine(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    assert train_model.fastest_precision(path) == "float32"  # as on macOS and Windows
    for flags, gpus, expected in (
            ("avx512f avx512_bf16 avx512_vbmi", [], "bfloat16"), ("amx_bf16", [], "bfloat16"),
            ("avx512_vnni bf16 svebf16", [], "float32"), ("amx_bf16", ["a GPU"], "float32")):
        path.write_text(f"flags : fpu {flags}")
        monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": gpus}.get)
        assert train_model.fastest_precision(path) == expected
    monkeypatch.undo()
    monkeypatch.setattr(train_model, "fastest_precision", lambda: "bfloat16")
    for precision, hidden in (("auto", "bfloat16"), ("float32", "float32")):
        layers = plan(precision=precision)[0].layers
        assert [layer.compute_dtype for layer in layers] == [hidden] * 6 + ["float32"]


def test_calibration_gives_the_lowest_loss_and_changes_no_decision(trained, small_data):
    images, labels = (array[-300:] for array in train_model.load_digits(small_data, "train")[:2])
    model = keras.saving.load_model(trained[0])
    output, weights = model.layers[-1], model.layers[-1].get_weights()
    evaluate = functools.partial(model.evaluate, as_input(images), labels, verbose=0)
    lowest = evaluate()[0]
    for sharper in (0.23, 0.95, 1.05, 4.3):
        output.set_weights([sharper * array for array in weights])
        assert evaluate()[0] > lowest
        train_model.calibrate(model, images, labels)
        for array, expected in zip(output.get_weights(), weights):
            assert np.allclose(array, expected, rtol=0.021)


def test_training_reports_what_the_saved_network_does(trained, small_data, tmp_path):
    path, run = trained
    assert run.stdout.index("93,418") < run.stdout.index("Training statistics")
    lines = {line[2:23].strip(): line[23:] for line in run.stdout.splitlines()}
    assert lines["data"] == "small ?.npz" and lines["epochs"] == "5"
    assert lines["validation images"] == "300" and lines["network saved as"] == r"n\xe9t.keras"
    assert lines["time"].endswith(" s") and 0.1 < float(lines["time"][:-2]) < 100
    assert len(run.stderr.splitlines()) == 10 and "Epoch 5/5" in run.stderr  # only Keras's bars
    assert files_in(path.parent).keys() == {path.name, "plots", "plots/training_curves.png"}
    train_model.save_model(keras.saving.load_model(path), tmp_path / "copy.h5")
    parts = train_model.split(*train_model.load_digits(small_data, "train")[:2], 0.2)
    for file in (path, tmp_path / "copy.h5"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = keras.saving.load_model(file)
        assert model.name == "trained_on_small_.npz" and file.stat().st_size < 500_000
        for name, (images, labels) in zip(("training", "validation"), parts):
            loss, accuracy = model.evaluate(images[..., np.newaxis] / 255, labels, verbose=0)
            assert lines[f"{name} accuracy"] == f"{accuracy:.2%} (loss {loss:.4f})"
            assert accuracy > 0.8 and loss < 0.6


def test_another_network_trains_saves_loads_and_predicts(small_data, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(train_model, "calibrate", None)  # It is part of our recipe only.
    options = """--recipe published --epochs 1 --optimizer adam --plots b/c --output folder/a.h5
        --architecture 3x3-dropout --data""".split() + [small_data]
    run = run_main(TRAIN, *options, cwd=tmp_path)
    assert "2,380,938" in run.stdout and "epochs               1\n" in run.stdout
    assert train_model.plt.gca().get_legend_handles_labels()[1] == ["training", "validation"]
    files = {name for name, content in files_in(tmp_path).items() if content}
    assert files == {"folder/a.h5", "b/c/training_curves.png"} and not caplog.records
    run = run_main(PREDICT, "--data", small_data, "--model", "folder/a.h5", cwd=tmp_path)
    assert accuracy_in(run.stdout) > 50


def test_curves(tmp_path):
    history = dict(accuracy=[0.5, 0.7], val_accuracy=[0.6, 0.8], loss=[3, 2], val_loss=[2, 1])
    for augment, label in ((True, "training, on distorted images"), (False, "training")):
        figure = train_model.plot_history(history, "small.npz", augment)
        assert "small.npz" in figure.get_suptitle()
        lines = {(axis.get_ylabel(), line.get_label()): line.get_xydata().ravel().tolist()
                 for axis in figure.axes for line in axis.lines}
        assert lines == {
            ("accuracy", label): [1, 0.5, 2, 0.7], ("accuracy", "validation"): [1, 0.6, 2, 0.8],
            ("loss", label): [1, 3, 2, 2], ("loss", "validation"): [1, 2, 2, 1]}
        assert all(axis.get_legend() and axis.get_xlabel() == "epoch" for axis in figure.axes)
        assert not any(tick % 1 for axis in figure.axes for tick in axis.get_xticks())
    train_model.save_plot(figure, tmp_path / "a.png", "A title")
    assert figure.canvas.manager.get_window_title() == "A title"
    assert train_model.plt.imread(tmp_path / "a.png").shape[:2] == (600, 1500)


def test_files_are_replaced_whole(tmp_path):
    path, link = tmp_path / "folder" / "file.txt", tmp_path / "link"
    link.symlink_to(path)
    for text in ("old", "new"):
        with train_model.replaced_whole(link) as partial:
            partial.write_text(text)
            assert str(os.getpid()) in partial.name
        assert files_in(path.parent) == {"file.txt": text.encode()}
    with pytest.raises(OSError), train_model.replaced_whole(link) as partial:
        partial.write_text("ne")
        raise OSError("disk full")
    assert link.is_symlink() and files_in(path.parent) == {"file.txt": b"new"}


def test_folders_closed_to_writing_are_known_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda folder, right: right != os.W_OK)
    with pytest.raises(InputError, match="a.keras: cannot be written"):
        train_model.check_writable(tmp_path / "b" / "a.keras")
