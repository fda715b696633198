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


@pytest.mark.parametrize("right, shown", [(40, 60), (1100, 0)])
def test_plots_of_many_mistakes_and_of_none(tmp_path, right, shown):
    """A network that reads every image as a seven; as many of 1100 as given are sevens."""
    network_answering([0.01] * 7 + [0.91, 0.01, 0.01], tmp_path / "seven.keras")
    images = np.random.default_rng(0).integers(0, 256, (1100, 28, 28), np.uint8)
    np.savez(tmp_path / "a.npz", x_test=images, y_test=np.where(np.arange(1100) < right, 7, 2))
    run, figures = show("--data", "a.npz", "--model", "seven.keras", cwd=tmp_path)
    mistakes, confusion = figures["Misclassified digits"], figures["Confusion matrix"].axes[0]
    title = f"test images of a.npz: {1100 - right:,} of 1,100 misclassified"
    assert not run.stderr and run.stdout.startswith("network              trained_on_MNIST\n")
    assert f"misclassified        {1100 - right:,}\n" in run.stdout
    assert files_in(tmp_path / "plots").keys() == {"misclassified.png", "confusion_matrix.png"}
    assert confusion.get_title() == title
    assert mistakes.get_suptitle() == f"{title}; shown: the {shown} most confident mistakes"
    cells = [axis for axis in mistakes.axes if axis.images]
    assert mistakes.axes[0].get_gridspec().ncols == 10  # The title has room.
    assert [axis.get_title() for axis in cells] == ["true 2\nread 7 (91.0%)"] * shown
    for cell, image in zip(cells, images[right:]):
        picture = cell.images[0]
        assert np.array_equal(picture.get_array(), image) and not cell.axison
        assert picture.get_clim() == (0, 255) and picture.get_cmap()(0.0)[:3] == (0, 0, 0)
    counts = {text.get_position(): text.get_text() for text in confusion.texts if text.get_text()}
    assert counts == {(7, 7): str(right)} | ({(7, 2): "1060"} if shown else {})
    assert (confusion.get_xlabel(), confusion.get_ylabel()) == ("predicted digit", "true digit")
    colours, expected = confusion.images[0], np.zeros((10, 10))
    expected[2, 7] = 1100 - right
    assert np.array_equal(colours.get_array(), expected)
    assert colours.get_clim()[0] == 0 and colours.get_clim()[1] > expected.max()
    assert list(confusion.get_xticks()) == list(confusion.get_yticks()) == [*range(10)]


def test_report_against_figures_worked_by_hand(capsys, tmp_path):
    labels, predictions = np.array([[0] * 4 + [1] * 6, [0, 0, 0, 1, 1, 1, 1, 1, 0, 2]])
    # The right ones, then the wrong ones; only those from 0.9 to 1 share one of the ten bins.
    confidences = np.array([0.89, 0.91, 0.55, 0.97, 0.91, 0.91, 0.91, 0.91, 0.97, 0.65])
    probabilities = np.repeat((1 - confidences[:, np.newaxis]) / 9, 10, axis=1)
    probabilities[np.arange(10), predictions] = confidences
    mistakes = [(np.zeros((28, 28)), 0, probabilities[i]) for i in (9, 3, 8)]
    network = SimpleNamespace(name="a network")
    predict_model.report_scores(network, "images", labels, probabilities, mistakes, tmp_path, "a_")
    shown = [axis.get_title()[-7:] for axis in plt.figure(plt.get_fignums()[-2]).axes[:3]]
    assert shown == ["(97.0%)", "(97.0%)", "(65.0%)"]  # the most confident first
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


def test_predict_digit_takes_paths_images_and_arrays(trained, tmp_path):
    model = predict_model.load_model(trained[0])
    values, path = np.full((90, 60), 255, np.uint8), tmp_path / "one.png"
    values[15:75, 26:34] = 0
    image, colour = Image.fromarray(values), np.stack([values] * 3, axis=-1)
    image.save(path)
    kinds = [path, str(path), image, values, values / 255, values > 127, values[..., np.newaxis]]
    kinds += [colour, colour / 255, np.dstack([colour, np.full((90, 60), 255, np.uint8)])]
    expected = predict_model.predict(model, predict_model.read_digit(image)[np.newaxis])[0]
    for kind in kinds:
        digit, probabilities = predict_model.predict_digit(model, kind)
        assert digit == expected.argmax() and probabilities == pytest.approx(expected, abs=1e-5)
    for values in (np.zeros((2, 3, 4, 5)), np.zeros((0, 0)), np.zeros(9), tmp_path / "none.png"):
        with pytest.raises((TypeError, ValueError, InputError)):
            predict_model.predict_digit(model, values)
