"""predict_model.py: scores, report, confusion matrix and plots."""

import numpy as np
import pytest
from conftest import accuracy_in, run_script
from PIL import Image

import predict_model
import train_model
from train_model import plt


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def certain(digits):
    """Probabilities of a network that is nearly sure of these digits."""
    return np.eye(10, dtype=np.float32)[digits] * 0.91 + np.float32(0.009)


def test_scores_on_the_command_line(trained, small_data):
    run = run_script("predict_model.py", "--data", small_data, "--plots", "seen", cwd=trained)
    assert run.returncode == 0, run.stderr
    assert "of 300 images" in run.stdout
    for heading in ("loss", "misclassified", "precision", "weighted avg", "true\\predicted"):
        assert heading in run.stdout
    accuracy = accuracy_in(run.stdout)
    wrong = int(run.stdout.split("misclassified")[1].split()[0])
    assert accuracy > 90
    assert accuracy == pytest.approx(100 * (300 - wrong) / 300, abs=0.01)
    for name in ("misclassified.png", "confusion_matrix.png"):
        with Image.open(trained / "seen" / name) as picture:
            assert picture.format == "PNG"
    assert len(run.stderr.splitlines()) == 1  # the progress of the prediction


def test_confusion_matrix_counts_pairs():
    confusion = predict_model.confusion_matrix(np.array([3, 3, 9]), np.array([3, 5, 9]))
    assert confusion.sum() == 3
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
    probabilities = certain(np.array([1, 1, 1, 1, 2]))
    probabilities[4] = [0.45, 0, 0.55, 0, 0, 0, 0, 0, 0, 0]
    # Four at confidence 0.919, three of them right; one at 0.55, right.
    error = predict_model.calibration_error(np.array([1, 1, 1, 0, 2]), probabilities)
    assert error == pytest.approx((4 * 0.919 - 3 + 0.45) / 5, abs=1e-6)


@pytest.mark.parametrize("count, shown", [(0, 0), (3, 3), (3000, 60)])
def test_grid_of_mistakes(count, shown):
    predictions = certain(np.where(np.arange(5000) < count, 7, 0))
    pictures, labels = np.zeros((5000, 28, 28), np.uint8), np.zeros(5000, np.int64)
    mistakes = predict_model.most_confident_mistakes(zip(pictures, labels, predictions))
    figure = predict_model.plot_misclassified(mistakes, count, 5000, "MNIST")
    assert sum(bool(axis.images) for axis in figure.axes) == shown
    assert f"MNIST: {count:,} of 5,000" in figure.get_suptitle()
    figure.canvas.draw()


def test_most_confident_mistake_comes_first():
    probabilities = certain(np.array([1, 2, 3]))
    probabilities[1] = np.eye(10)[2]
    mistakes = predict_model.most_confident_mistakes(
        zip(np.zeros((3, 28, 28), np.uint8), [0, 0, 3], probabilities)
    )
    figure = predict_model.plot_misclassified(mistakes, 2, 3, "MNIST")
    titles = [axis.get_title() for axis in figure.axes if axis.images]
    assert titles == ["true 0\nread 2 (100.0%)", "true 0\nread 1 (91.9%)"]


def test_no_mistake_is_a_result(capsys):
    labels = np.arange(100) % 10
    predict_model.print_scores(train_model.build_model(), "MNIST", labels, certain(labels))
    assert "misclassified        0" in capsys.readouterr().out
    confusion = predict_model.confusion_matrix(labels, labels)
    predict_model.plot_confusion(confusion, "MNIST").canvas.draw()
