"""predict_model.py: scores, report, confusion matrix and plots."""

import numpy as np
import pytest
from conftest import PREDICT, accuracy_in, files_in, network_answering, run_main
from PIL import Image

import predict_model
from train_model import InputError, plt


def show(*arguments, cwd):
    """Run predict_model.py in this process; answers the run, and its figures by their windows."""
    with pytest.MonkeyPatch.context() as patch:
        shown = []
        patch.setattr(plt, "show", lambda: shown.extend(map(plt.figure, plt.get_fignums())))
        run = run_main(PREDICT, *arguments, cwd=cwd)
    return run, {figure.canvas.manager.get_window_title(): figure for figure in shown}


def test_scores_on_the_command_line(trained, small_data, tmp_path):
    run, figures = show("--data", small_data, "--model", trained[0], cwd=tmp_path)
    assert not run.stderr
    for text in (
        *("network              trained_on_small.npz\n", "test images of small.npz\n"),
        *("precision", "weighted avg", "loss", "calibration error", "of 300 images"),
    ):
        assert text in run.stdout
    accuracy = accuracy_in(run.stdout)
    wrong = int(run.stdout.split("misclassified")[1].split()[0])
    assert accuracy > 80 and accuracy == pytest.approx(100 * (300 - wrong) / 300, abs=0.01)
    table = run.stdout.split("true\\predicted")[1].splitlines()
    assert table[0].split() == [line.split()[0] for line in table[1:11]] == list("0123456789")
    counts = np.array([line.split()[1:] for line in table[1:11]], int)
    assert np.trace(counts) == 300 - wrong and counts.sum() == 300
    with np.load(small_data) as arrays:
        assert np.array_equal(counts.sum(axis=1), np.bincount(arrays["y_test"]))
    assert figures.keys() == {"Misclassified digits", "Confusion matrix"}
    title = f"small.npz: {wrong} of 300"
    assert title in figures["Misclassified digits"].get_suptitle()
    assert title in figures["Confusion matrix"].axes[0].get_title()
    for figure in figures.values():
        assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))
    plots = files_in(tmp_path / "plots")
    assert plots.keys() == {"misclassified.png", "confusion_matrix.png"}
    assert all(content[:4] == b"\x89PNG" for content in plots.values())


@pytest.mark.parametrize("right, shown", [(40, 60), (300, 0)])
def test_plots_of_many_mistakes_and_of_none(tmp_path, right, shown):
    """A network that reads every image as a seven; as many of 300 as given are sevens."""
    network_answering([0.01] * 7 + [0.91, 0.01, 0.01], tmp_path / "seven.keras")
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28), np.uint8)
    np.savez(tmp_path / "a.npz", x_test=images, y_test=np.where(np.arange(300) < right, 7, 2))
    run, figures = show("--data", "a.npz", "--model", "seven.keras", cwd=tmp_path)
    assert f"misclassified        {300 - right}\n" in run.stdout
    mistakes, confusion = figures["Misclassified digits"], figures["Confusion matrix"].axes[0]
    assert ("the 60 most confident" in mistakes.get_suptitle()) == (shown > 0)
    (axis,) = mistakes.axes
    assert len(axis.images) == len(axis.texts) == shown
    for picture, text, image in zip(axis.images, axis.texts, images[right:]):
        assert text.get_text() == "true 2\nread 7 (91.0%)"
        assert np.array_equal(picture.get_array(), image)
        left, r, bottom, top = picture.get_extent()
        assert left < text.get_position()[0] < r and text.get_position()[1] < top < bottom
    counts = {text.get_position(): text.get_text() for text in confusion.texts if text.get_text()}
    assert counts == {(7, 7): str(right)} | ({(7, 2): "260"} if shown else {})
    assert confusion.get_xlabel() == "predicted digit"
    assert np.array_equal(confusion.images[0].get_array().mask, np.eye(10))


def test_most_confident_mistakes_come_first(trained, small_data, tmp_path):
    with np.load(small_data) as arrays:
        images, labels = arrays["x_test"], (arrays["y_test"] + 1) % 10
    np.savez(tmp_path / "wrong.npz", x_test=images, y_test=labels)
    _, figures = show("--data", "wrong.npz", "--model", trained[0], cwd=tmp_path)
    titles = [text.get_text() for text in figures["Misclassified digits"].axes[0].texts]
    confidences = [float(title.split("(")[1].rstrip("%)")) for title in titles]
    assert len(titles) == 60 and confidences == sorted(confidences, reverse=True)
    assert min(confidences) > 80


def test_report_against_figures_worked_by_hand():
    labels = np.array([0] * 4 + [1] * 6)
    predictions = np.array([0, 0, 0, 1] + [1, 1, 1, 1, 0, 2])
    confusion = predict_model.confusion_matrix(labels, predictions)
    assert confusion.shape == (10, 10) and confusion[:2, :3].tolist() == [[3, 1, 0], [1, 4, 1]]
    lines = predict_model.classification_report(confusion).splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "precision recall f1-score support",
        "",
        "0 0.7500 0.7500 0.7500 4",
        "1 0.8000 0.6667 0.7273 6",
        "2 0.0000 0.0000 0.0000 0",
        "",
        "accuracy 0.7000 10",
        "macro avg 0.5167 0.4722 0.4924 10",
        "weighted avg 0.7800 0.7000 0.7364 10",
    ]


def test_loss_and_calibration_error_against_figures_worked_by_hand():
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[0, 3], probabilities[1, 7] = 0.55, 0.55
    expected = -(np.log(0.55) + np.log(0.05)) / 2
    assert predict_model.cross_entropy(np.array([3, 1]), probabilities) == pytest.approx(expected)
    probabilities = np.eye(10, dtype=np.float32)[[1, 1, 1, 1, 2, 5, 0]] * 0.91 + np.float32(0.009)
    probabilities[4] = [0.42, 0, 0.58, 0, 0, 0, 0, 0, 0, 0]
    probabilities[5] = np.eye(10)[5]
    probabilities[6] = [0.62, 0, 0.38, 0, 0, 0, 0, 0, 0, 0]
    # Four at 0.919 and one at 1, three and one of them right; one at 0.58, right; 0.62, wrong.
    error = predict_model.calibration_error(np.array([1, 1, 1, 0, 2, 5, 3]), probabilities)
    assert error == pytest.approx((4 * 0.919 + 1 - 4 + 0.42 + 0.62) / 7, abs=1e-6)


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
        assert np.allclose(probabilities, answers[0][1], atol=0.02)
    for values in (np.zeros((2, 3, 4, 5)), np.zeros((0, 0)), np.zeros(9)):
        with pytest.raises(InputError):
            predict_model.predict_digit(model, values)
