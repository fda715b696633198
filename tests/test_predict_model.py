"""predict_model.py: scores, report, confusion matrix and plots."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PREDICT, files_in, network_answering, run_main
from PIL import Image

import predict_model
from train_model import InputError, plt


def show(*arguments, cwd, status=0):
    """Run predict_model.py in this process; answers the run, and its figures by their windows."""
    with pytest.MonkeyPatch.context() as patch:
        shown = []
        patch.setattr(plt, "show", lambda: shown.extend(map(plt.figure, plt.get_fignums())))
        run = run_main(PREDICT, *arguments, cwd=cwd, status=status)
    for figure in shown:  # Its window fits the screen of a small laptop.
        assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))
    return run, {figure.canvas.manager.get_window_title(): figure for figure in shown}


def test_scores_on_the_command_line(trained, model, small_data, tmp_path):
    with np.load(small_data) as arrays:
        images, labels = arrays["x_test"], arrays["y_test"]
    labels[:200] = (labels[:200] + 1) % 10
    np.savez(tmp_path / "a.npz", x_test=images, y_test=labels)
    run, figures = show("--data", "a.npz", "--model", trained[0], cwd=tmp_path)
    probabilities = model.predict(images[..., np.newaxis] / 255, verbose=0)
    confusion, predictions = np.zeros((10, 10), int), probabilities.argmax(axis=1)
    np.add.at(confusion, (labels, predictions), 1)
    wrong = predictions != labels
    assert not run.stderr and 200 <= wrong.sum() < 250
    for text in ("network              trained_on_small.npz\n", "   test images of a.npz\n",
                 f"accuracy             {1 - wrong.mean():.2%} of 300 images", f"\n{confusion}\n"):
        assert text in run.stdout
    title = f"test images of a.npz: {wrong.sum()} of 300 misclassified"
    figure = figures["Misclassified digits"]
    assert figures["Confusion matrix"].axes[0].get_title() == title
    assert figure.get_suptitle() == f"{title}; shown: the 60 most confident mistakes"
    confidences = [float(axis.get_title().split("(")[1].rstrip("%)")) for axis in figure.axes]
    expected = sorted(100 * probabilities.max(axis=1)[wrong], reverse=True)[:60]
    assert confidences == pytest.approx(expected, abs=0.06)
    for name, content in files_in(tmp_path / "plots").items():
        assert name in ("misclassified.png", "confusion_matrix.png") and content[:4] == b"\x89PNG"


@pytest.mark.parametrize("right, shown", [(40, 60), (1100, 0)])
def test_plots_of_many_mistakes_and_of_none(tmp_path, right, shown):
    """A network that reads every image as a seven; as many of 1100 as given are sevens."""
    network_answering([0.01] * 7 + [0.91, 0.01, 0.01], tmp_path / "seven.keras")
    images = np.random.default_rng(0).integers(0, 256, (1100, 28, 28), np.uint8)
    np.savez(tmp_path / "a.npz", x_test=images, y_test=np.where(np.arange(1100) < right, 7, 2))
    run, figures = show("--data", "a.npz", "--model", "seven.keras", cwd=tmp_path)
    assert f"misclassified        {1100 - right:,}\n" in run.stdout
    mistakes, confusion = figures["Misclassified digits"], figures["Confusion matrix"].axes[0]
    end = f"{1100 - right:,} of 1,100 misclassified; shown: the {shown} most confident mistakes"
    assert mistakes.get_suptitle().endswith(end)
    cells = [(axis.get_title(), axis.images[0]) for axis in mistakes.axes if axis.images]
    assert len(cells) == shown
    for (title, picture), image in zip(cells, images[right:]):
        assert title == "true 2\nread 7 (91.0%)"
        assert np.array_equal(picture.get_array(), image)
        assert picture.get_clim() == (0, 255) and picture.get_cmap()(0.0)[:3] == (0, 0, 0)
    counts = {text.get_position(): text.get_text() for text in confusion.texts if text.get_text()}
    assert counts == {(7, 7): str(right)} | ({(7, 2): "1060"} if shown else {})
    assert (confusion.get_xlabel(), confusion.get_ylabel()) == ("predicted digit", "true digit")
    colours, expected = confusion.images[0], np.zeros((10, 10))
    expected[2, 7] = 1060 if shown else 0
    assert np.array_equal(colours.get_array(), expected)
    assert colours.get_clim()[0] == 0 and colours.get_clim()[1] > expected.max()
    assert list(confusion.get_xticks()) == list(confusion.get_yticks()) == [*range(10)]


def test_report_against_figures_worked_by_hand(capsys, tmp_path):
    labels = np.array([0] * 4 + [1] * 6)
    predictions = np.array([0, 0, 0, 1] + [1, 1, 1, 1, 0, 2])
    # The right ones, then the wrong ones; only those from 0.9 to 1 share one of the ten bins.
    confidences = np.array([0.89, 0.91, 0.55, 0.97, 0.91, 0.91, 0.91, 0.91, 0.97, 0.65])
    probabilities = np.repeat((1 - confidences[:, np.newaxis]) / 9, 10, axis=1)
    probabilities[np.arange(10), predictions] = confidences
    mistakes = [(np.zeros((28, 28)), 0, probabilities[i]) for i in (3, 8, 9)]
    network = SimpleNamespace(name="a network")
    predict_model.report_scores(network, "images", labels, probabilities, mistakes, tmp_path, "a_")
    loss = np.log([0.89, 0.91, 0.55, *[0.91] * 4, 0.03 / 9, 0.03 / 9, 0.35 / 9]).mean()
    bins = abs(0.89 - 1) + abs(5 * 0.91 - 5 + 2 * 0.97) + abs(0.55 - 1) + 0.65
    expected = f"""
        network a network
        data images
        accuracy 70.00% of 10 images
        loss {-loss:.4f}
        calibration error {10 * bins:.2f}%
        misclassified 3

        precision recall f1-score support
        0 0.7500 0.7500 0.7500 4
        1 0.8000 0.6667 0.7273 6
        2 0.0000 0.0000 0.0000 0
        macro avg 0.5167 0.4722 0.4924 10
        weighted avg 0.7800 0.7000 0.7364 10

        confusion matrix, a row a true digit, a column a predicted one
        [[3 1 0 0 0 0 0 0 0 0]
        [1 4 1 0 0 0 0 0 0 0]"""
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[:17] == [line.strip() for line in expected.splitlines()[1:]]
    assert files_in(tmp_path).keys() == {"a_misclassified.png", "a_confusion_matrix.png"}


def test_predict_digit_takes_paths_images_and_arrays(model, tmp_path):
    values = np.full((90, 60), 255, np.uint8)
    values[15:75, 26:34] = 0
    image, path = Image.fromarray(values), tmp_path / "one.png"
    image.save(path)
    colour, clear = np.stack([values] * 3, axis=-1), np.full((90, 60, 1), 255, np.uint8)
    kinds = [path, str(path), image, values, values / 255, values > 127, values[..., np.newaxis]]
    kinds += [colour, colour / 255, np.concatenate([colour, clear], axis=-1)]
    answers = [predict_model.predict_digit(model, kind) for kind in kinds]
    for digit, probabilities in answers:
        assert digit == answers[0][0] == probabilities.argmax()
        assert probabilities.shape == (10,) and probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(probabilities, answers[0][1], atol=1e-5)
    for values in (np.zeros((2, 3, 4, 5)), np.zeros((0, 0)), np.zeros(9), tmp_path / "none.png"):
        with pytest.raises((TypeError, ValueError, InputError)):
            predict_model.predict_digit(model, values)
