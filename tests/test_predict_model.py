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
    arguments = ["--data", small_data, "--model", trained[0]]
    run, figures = show(*arguments, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert len(run.stderr.splitlines()) == 1  # the progress of the prediction
    for line in ("network              trained_on_small.npz\n", "test images of small.npz\n"):
        assert line in run.stdout
    for heading in ("precision", "weighted avg", "true\\predicted", "loss", "calibration error"):
        assert heading in run.stdout
    assert "of 300 images" in run.stdout
    accuracy = accuracy_in(run.stdout)
    wrong = int(run.stdout.split("misclassified")[1].split()[0])
    assert accuracy > 80 and accuracy == pytest.approx(100 * (300 - wrong) / 300, abs=0.01)
    rows = [line.split() for line in run.stdout.split("true\\predicted")[1].splitlines()[1:11]]
    assert [row[0] for row in rows] == list("0123456789")
    assert sum(int(row[1 + digit]) for digit, row in enumerate(rows)) == 300 - wrong
    assert sum(int(count) for row in rows for count in row[1:]) == 300
    assert figures.keys() == {"Misclassified digits", "Confusion matrix"}
    title = f"small.npz: {wrong} of 300"
    assert title in figures["Misclassified digits"].get_suptitle()
    assert title in figures["Confusion matrix"].axes[0].get_title()
    assert sum(bool(axis.images) for axis in figures["Misclassified digits"].axes) == min(wrong, 60)
    for figure in figures.values():
        assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))
    names = {"plots", "plots/misclassified.png", "plots/confusion_matrix.png"}
    assert files_in(tmp_path).keys() == names
    assert all(content[:4] == b"\x89PNG" for content in files_in(tmp_path / "plots").values())


@pytest.mark.parametrize("right, shown", [(40, 60), (300, 0)])
def test_plots_of_many_mistakes_and_of_none(tmp_path, right, shown):
    """A network that reads every image as a seven; as many of 300 as given are sevens."""
    network_answering([0.01] * 7 + [0.91, 0.01, 0.01], tmp_path / "seven.keras")
    images = np.random.default_rng(0).integers(0, 256, (300, 28, 28), np.uint8)
    labels = np.where(np.arange(300) < right, 7, 2)
    np.savez(tmp_path / "a.npz", x_test=images, y_test=labels)
    run, figures = show("--data", "a.npz", "--model", "seven.keras", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert f"misclassified        {300 - right}\n" in run.stdout
    mistakes, confusion = figures["Misclassified digits"], figures["Confusion matrix"]
    pictures = [axis for axis in mistakes.axes if axis.images]
    assert len(pictures) == shown
    assert ("the 60 most confident" in mistakes.get_suptitle()) == (shown > 0)
    for axis, image in zip(pictures, images[right:]):
        assert axis.get_title() == "true 2\nread 7 (91.0%)"
        assert np.array_equal(axis.images[0].get_array(), image)
    counts = {text.get_position(): text.get_text() for text in confusion.axes[0].texts}
    assert counts == {(7, 7): str(right)} | ({(7, 2): "260"} if shown else {})
    assert confusion.axes[0].get_xlabel() == "predicted digit"
    assert np.array_equal(confusion.axes[0].images[0].get_array().mask, np.eye(10))


def test_most_confident_mistakes_come_first(trained, small_data, tmp_path):
    with np.load(small_data) as arrays:
        images, labels = arrays["x_test"], (arrays["y_test"] + 1) % 10
    np.savez(tmp_path / "wrong.npz", x_test=images, y_test=labels)
    _, figures = show("--data", "wrong.npz", "--model", trained[0], cwd=tmp_path)
    titles = [axis.get_title() for axis in figures["Misclassified digits"].axes]
    confidences = [float(title.split("(")[1].rstrip("%)")) for title in titles]
    assert len(titles) == 60 and confidences == sorted(confidences, reverse=True)
    assert min(confidences) > 80


def test_confusion_matrix_counts_pairs():
    confusion = predict_model.confusion_matrix(np.array([3, 3, 9]), np.array([3, 5, 9]))
    assert confusion.shape == (10, 10) and confusion.sum() == 3
    assert confusion[3, 3] == confusion[3, 5] == confusion[9, 9] == 1


def test_report_against_figures_worked_by_hand():
    labels = np.array([0] * 4 + [1] * 6)
    predictions = np.array([0, 0, 0, 1] + [1, 1, 1, 1, 0, 2])
    confusion = predict_model.confusion_matrix(labels, predictions)
    rows = [line.split() for line in predict_model.classification_report(confusion).splitlines()]
    assert rows == [
        ["precision", "recall", "f1-score", "support"],
        [],
        ["0", "0.7500", "0.7500", "0.7500", "4"],
        ["1", "0.8000", "0.6667", "0.7273", "6"],
        ["2", "0.0000", "0.0000", "0.0000", "0"],
        [],
        ["accuracy", "0.7000", "10"],
        ["macro", "avg", "0.5167", "0.4722", "0.4924", "10"],
        ["weighted", "avg", "0.7800", "0.7000", "0.7364", "10"],
    ]


def test_loss_is_the_mean_cross_entropy():
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[0, 3], probabilities[1, 7] = 0.55, 0.55
    expected = -(np.log(0.55) + np.log(0.05)) / 2
    assert predict_model.cross_entropy(np.array([3, 1]), probabilities) == pytest.approx(expected)


def test_calibration_error_against_a_figure_worked_by_hand():
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
    answers = [
        predict_model.predict_digit(model, image)
        for image in (
            *(path, str(path), image, values, values / 255, values > 127, values[..., np.newaxis]),
            *(np.stack([values] * 3, axis=-1), np.stack([values / 255] * 3, axis=-1)),
            np.stack([values] * 3 + [np.full_like(values, 255)], axis=-1),
        )
    ]
    for digit, probabilities in answers:
        assert digit == answers[0][0] == probabilities.argmax()
        assert probabilities.shape == (10,)
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(probabilities, answers[0][1], atol=0.02)


@pytest.mark.parametrize("values", [np.zeros((2, 3, 4, 5)), np.zeros((0, 0)), np.zeros(9)])
def test_predict_digit_refuses_what_is_no_image(model, values):
    with pytest.raises(InputError):
        predict_model.predict_digit(model, values)
