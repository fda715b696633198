"""predict_model.py: scores, report, plots of mistakes, and which images are read."""

import io
import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from conftest import PREDICT, files_in, network_answering, result, run_main
from PIL import Image

import predict_model
import train_model
from train_model import InputError, plt


def show(*arguments, cwd, status=0):
    """Run predict_model.py in this process; returns the run, and its figures by their windows."""
    with pytest.MonkeyPatch.context() as patch:
        shown = []
        patch.setattr(plt, "show", lambda: shown.extend(map(plt.figure, plt.get_fignums())))
        run = run_main(PREDICT, *arguments, cwd=cwd, status=status)
    for figure in shown:  # Its window fits the screen of a small laptop.
        assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))
    return run, {figure.canvas.manager.get_window_title(): figure for figure in shown}


# ---------------------------------------------------------------- scores

# Of 1100 images all are read as sevens, and as many as given are.
SEVEN = [0.01] * 7 + [0.91, 0.01, 0.01]


@pytest.fixture(scope="module", params=[40, 1100])
def sevens(request, tmp_path_factory):
    """How many were right, the images, the run and its figures, and what it left."""
    right, folder = request.param, tmp_path_factory.mktemp("sevens")
    network_answering(SEVEN, folder / "seven.keras")
    images = np.random.default_rng(0).integers(0, 256, (1100, 28, 28), np.uint8)
    np.savez(folder / "a$_$.npz", x_test=images, y_test=np.where(np.arange(1100) < right, 7, 2))
    run, figures = show("--data", "a$_$.npz", "--model", "seven.keras", cwd=folder)
    left = files_in(folder / "plots").keys()
    return SimpleNamespace(right=right, images=images, run=run, figures=figures, left=left)


def test_scores_say_what_was_trained_read_and_right(sevens):
    text, wrong = sevens.run.stdout, 1100 - sevens.right
    assert result(text, "network") == "trained_on_MNIST" and not sevens.run.stderr
    assert result(text, "data") == "test images of a$_$.npz"
    assert result(text, "accuracy") == f"{sevens.right / 1100:.2%} of 1,100 images"
    assert result(text, "misclassified") == f"{wrong:,}"
    assert sevens.left == {"misclassified.png", "confusion_matrix.png"}


def test_plot_of_mistakes_shows_images_with_true_and_read_digit(sevens):
    figure, shown = sevens.figures["Misclassified digits"], min(60, 1100 - sevens.right)
    cells = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in cells] == ["true 2\nread 7 (91.0%)"] * shown
    for cell, image in zip(cells, sevens.images[sevens.right :], strict=False):
        picture = cell.images[0]
        assert np.array_equal(picture.get_array(), image) and not cell.axison
        assert picture.get_clim() == (0, 255) and picture.get_cmap()(0.0)[:3] == (0, 0, 0)


def test_plots_are_titled_with_data_and_number_of_mistakes(sevens):
    wrong, shown = 1100 - sevens.right, min(60, 1100 - sevens.right)
    title = f"test images of a$_$.npz: {wrong:,} of 1,100 misclassified"
    mistakes, confusion = (sevens.figures[w] for w in ("Misclassified digits", "Confusion matrix"))
    assert mistakes.get_suptitle() == f"{title}; shown: the {shown} most confident mistakes"
    assert confusion.get_suptitle() == title


def test_plot_of_confusion_has_the_counts_and_colours_mistakes(sevens):
    axis, wrong = sevens.figures["Confusion matrix"].axes[0], 1100 - sevens.right
    counts = {text.get_position(): text.get_text() for text in axis.texts if text.get_text()}
    assert counts == {(7, 7): str(sevens.right)} | ({(7, 2): str(wrong)} if wrong else {})
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("predicted digit", "true digit")
    assert list(axis.get_xticks()) == list(axis.get_yticks()) == [*range(10)]
    expected = np.zeros((10, 10))
    expected[2, 7] = wrong
    colours = axis.images[0]
    assert np.array_equal(colours.get_array(), expected)
    assert colours.get_clim()[0] == 0 and colours.get_clim()[1] > expected.max()


@pytest.fixture
def ten_readings(capsys, tmp_path):
    """Report ten readings; returns the lines, and what report_scores was given."""
    labels, predictions = np.array([[0] * 4 + [1] * 6, [0, 0, 0, 1, 1, 1, 1, 1, 0, 2]])
    # The right ones, then the wrong ones; only those from 0.9 to 1 share one of the ten bins.
    confidences = np.array([0.89, 0.91, 0.55, 0.97, 0.91, 0.91, 0.91, 0.91, 0.97, 0.65])
    probabilities = np.repeat((1 - confidences[:, np.newaxis]) / 9, 10, axis=1)
    probabilities[np.arange(10), predictions] = confidences
    network, pictures = SimpleNamespace(name="a network"), np.zeros((10, 28, 28), np.uint8)
    plt.close("all")
    predict_model.report_scores(
        network, "images", labels, probabilities, pictures, tmp_path, prefix="a_"
    )
    assert files_in(tmp_path).keys() == {"a_misclassified.png", "a_confusion_matrix.png"}
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_report_fits_figures_worked_by_hand(ten_readings):
    start = ten_readings.index("precision recall f1-score support")
    assert ten_readings[start + 1 : start + 6] == [
        "0 0.7500 0.7500 0.7500 4",
        "1 0.8000 0.6667 0.7273 6",
        "2 0.0000 0.0000 0.0000 0",
        "macro avg 0.5167 0.4722 0.4924 10",
        "weighted avg 0.7800 0.7000 0.7364 10",
    ]


def test_confusion_matrix_has_a_row_a_true_digit(ten_readings):
    start = next(i for i, line in enumerate(ten_readings) if line.startswith("confusion matrix"))
    rows = ["[[3 1 0 0 0 0 0 0 0 0]", "[1 4 1 0 0 0 0 0 0 0]"]
    assert ten_readings[start + 1 : start + 3] == rows


def test_loss_and_calibration_error_fit_figures_worked_by_hand(ten_readings):
    loss = np.log([0.89, 0.91, 0.55, *[0.91] * 4, 0.03 / 9, 0.03 / 9, 0.35 / 9]).mean()
    bins = abs(0.89 - 1) + abs(5 * 0.91 - 5 + 2 * 0.97) + abs(0.55 - 1) + 0.65
    assert f"loss {-loss:.4f}" in ten_readings
    assert f"calibration error {10 * bins:.2f}%" in ten_readings


def test_most_confident_mistakes_are_shown_first(ten_readings):
    titles = [axis.get_title() for axis in plt.figure(plt.get_fignums()[0]).axes[:3]]
    reads = ["true 0\nread 1 (97.0%)", "true 1\nread 0 (97.0%)", "true 1\nread 2 (65.0%)"]
    assert titles == reads


# ---------------------------------------------------------------- predict_digit


@pytest.fixture(scope="module")
def network(trained):
    """Load the trained network."""
    return predict_model.load_model(trained[0])


def drawing(number=0):
    """Return a drawn digit as dark ink on light paper, uint8 (56, 56)."""
    image = train_model.draw_digits(number + 1, seed=0)[0][number]
    return 255 - cv2.resize(image, (56, 56), interpolation=cv2.INTER_LINEAR)


def encoded(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    file.seek(0)
    return file


def saved_as(kind):
    def save(values):
        path = os.path.join(os.environ["KERAS_HOME"], "digit.png")
        Image.fromarray(values).save(path)
        return kind(path)

    return save


def colour(values):
    return np.stack([values] * 3, axis=-1)


FORMS = {
    "uint8": lambda values: values,
    "float 0 to 255": lambda values: np.float32(values),
    "0 to 1": lambda values: values / 255,
    "float16": lambda values: np.float16(values / 255),
    "-1 to 1": lambda values: values / 127.5 - 1,
    "beyond 0 to 1": lambda values: values / 255 * 1.02 - 0.01,
    "uint16": lambda values: values.astype(np.uint16) * 257,
    "int64": lambda values: values.astype(np.int64),
    "boolean": lambda values: values > 127,
    "(h, w, 1)": lambda values: values[..., np.newaxis],
    "(1, h, w, 1)": lambda values: values[np.newaxis, ..., np.newaxis],
    "RGB": colour,
    "float RGB": lambda values: colour(values) / 255,
    "RGBA": lambda values: np.dstack([colour(values), np.full(values.shape, 255, np.uint8)]),
    "lists": lambda values: values.tolist(),
    "PIL": Image.fromarray,
    "PIL RGB": lambda values: Image.fromarray(colour(values)),
    "BytesIO": encoded,
    "opened": lambda values: Image.open(encoded(values)),
    "name": saved_as(str),
    "path": saved_as(Path),
}


@pytest.mark.parametrize("change", FORMS.values(), ids=FORMS)
def test_predict_digit_reads_an_image_in_any_form(network, change):
    values = drawing()
    digit, probabilities = predict_model.predict_digit(network, change(values))
    expected, others = predict_model.predict_digit(network, Image.fromarray(values))
    assert digit == expected == train_model.draw_digits(1, seed=0)[1][0]
    assert probabilities.shape == (10,) and probabilities == pytest.approx(others, abs=0.15)


def test_predict_digit_reads_arrays_that_a_cubic_resize_took_beyond_their_range(network):
    same = []
    for image in train_model.draw_digits(30, seed=3)[0]:
        paper = np.float32(255 - image) / 255
        large = cv2.resize(paper, (56, 56), interpolation=cv2.INTER_CUBIC)
        assert large.max() > 1
        digit, _ = predict_model.predict_digit(network, large)
        clipped = np.uint8(np.clip(255 * large, 0, 255))
        same.append(digit == predict_model.predict_digit(network, clipped)[0])
    assert np.mean(same) > 0.9


NO_IMAGES = {
    "four axes": lambda: np.zeros((2, 3, 4, 5)),
    "empty": lambda: np.zeros((0, 0)),
    "empty uint8": lambda: np.zeros((0, 0), np.uint8),
    "one axis": lambda: np.zeros(9),
    "one axis uint8": lambda: np.zeros(9, np.uint8),
    "blank": lambda: np.zeros((50, 50)),
    "blank uint8": lambda: np.zeros((50, 50), np.uint8),
    "not a number": lambda: np.full((50, 50), np.nan),
    "words": lambda: np.array([["a", "b"], ["c", "d"]]),
    "uint8 number": lambda: np.uint8(7),
    "number": lambda: 7,
    "nothing": lambda: None,
    "dict": lambda: {},
    "ragged": lambda: [[1, 2], [3]],
    "bytes": lambda: b"bytes",
    "no file": lambda: "none.png",
    "folder": lambda: os.environ["KERAS_HOME"],
    "BytesIO of text": lambda: io.BytesIO(b"no image"),
    "cut BytesIO": lambda: io.BytesIO(encoded(drawing()).getvalue()[:200]),
    "cut PIL image": lambda: Image.open(io.BytesIO(encoded(drawing()).getvalue()[:200])),
    "LAB": lambda: Image.new("LAB", (50, 50)),
}


@pytest.mark.parametrize("bad", NO_IMAGES.values(), ids=NO_IMAGES)
def test_predict_digit_refuses_what_is_no_image(network, bad):
    with pytest.raises(InputError) as refusal:
        predict_model.predict_digit(network, bad())
    assert str(refusal.value) and "\n" not in str(refusal.value)


# ---------------------------------------------------------------- which images are read


@pytest.fixture(scope="session")
def seven(tmp_path_factory):
    """Path of a network that surely reads any image as a seven."""
    path = tmp_path_factory.mktemp("network") / "seven.keras"
    network_answering(SEVEN, path)
    return path


@pytest.fixture
def folder(seven, tmp_path):
    """Folder of images with a digit, and beside it a network that surely reads a seven."""
    (tmp_path / "a.keras").write_bytes(seven.read_bytes())
    (tmp_path / "photos").mkdir()
    Image.fromarray(drawing()).save(tmp_path / "photos" / "digit.png")
    return tmp_path / "photos"


def read(folder, *paths, status=0):
    """Read images from beside the folder; returns the lines as lists, and standard error."""
    options = "--model", "a.keras", "--plots", "elsewhere"
    run = run_main(PREDICT, *options, *paths, cwd=folder.parent, status=status)
    return [line.split("\t") for line in run.stdout.splitlines() if "\t" in line], run.stderr


def paths_read(folder, *paths, status=0):
    return [line[0].replace(os.sep, "/") for line in read(folder, *paths, status=status)[0]]


def put(folder, name):
    """Put a picture of a digit below the folder, in the format of its name or as PNG."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    try:
        Image.fromarray(drawing()).save(folder / name)
    except (OSError, ValueError):
        Image.fromarray(drawing()).save(folder / name, "PNG")


def test_image_is_printed_with_path_digit_and_confidence(folder):
    lines, errors = read(folder, "photos/digit.png")
    assert lines == [["photos/digit.png", "7", "91.0%"]] and not errors


def test_uncertain_reading_is_marked_with_the_second_digit(folder):
    network_answering([0.01] * 7 + [0.72, 0.2, 0.01], folder.parent / "a.keras")
    (line,), _ = read(folder, "photos/digit.png")
    assert line[1:] == ["7", "72.0%", "uncertain, perhaps 8 (20.0%)"]


@pytest.mark.parametrize(
    "name",
    ["a.PNG", "a.jpg", "a.JPEG", "a.webp", "a.tif", "a.tiff", "a.bmp", "a.gif", "a.pgm"]
    + ["below/more/a.png", "misclassified 2.png", "two  spaces.png"],
)
def test_picture_in_a_folder_is_read(folder, name):
    put(folder, name)
    assert sorted(paths_read(folder, "photos")) == sorted(["photos/digit.png", f"photos/{name}"])


@pytest.mark.parametrize(
    "name",
    [".hidden.png", "._digit.png", ".ipynb_checkpoints/digit.png", "__MACOSX/digit.png"]
    + ["below/.thumbnails/a.png", "below/__MACOSX/._a.png", "notes.pdf", "network.h5"]
    + ["network.keras", "notes.txt", "Thumbs.db", "a.csv", "png", "training_curves.png"],
)
def test_what_is_no_picture_of_the_user_is_left_out_of_a_folder(folder, name):
    put(folder, name)
    lines, errors = read(folder, "photos")
    assert [line[0] for line in lines] == [os.path.join("photos", "digit.png")] and not errors


def test_own_plots_are_left_out_of_a_folder(folder):
    put(folder, "7/digit.png")
    options = "--model", folder.parent / "a.keras", "."
    first, second = (run_main(PREDICT, *options, cwd=folder).stdout for _ in range(2))
    assert first == second and first.count("digit.png\t") == 2
    assert len([*(folder / "plots").iterdir()]) == 3


def test_hidden_file_or_folder_that_is_named_is_read(folder):
    put(folder, ".hidden/a.png")
    put(folder, ".b.png")
    names = ["photos/.hidden", "photos/.b.png"]
    assert paths_read(folder, *names) == ["photos/.hidden/a.png", "photos/.b.png"]


def test_folder_is_read_in_the_order_of_its_names(folder):
    for name in ("c.png", "a.png", "b/z.png"):
        put(folder, name)
    names = ["a.png", "b/z.png", "c.png", "digit.png"]
    assert paths_read(folder, "photos") == [f"photos/{name}" for name in names]


def test_images_in_folders_named_by_a_digit_are_scored(folder):
    for name in ("7/a.png", "7/b.png", "2/c.png", "10/d.png", "7/more/e.png"):
        put(folder, name)
    run = run_main(PREDICT, "--model", "a.keras", "photos", cwd=folder.parent)
    assert result(run.stdout, "accuracy") == "66.67% of 3 images"
    names = {"own_digits.png", "own_misclassified.png", "own_confusion_matrix.png"}
    assert files_in(folder.parent / "plots").keys() == names


BAD_IMAGES = {
    "missing": ("no such file", lambda path: None),
    "folder": ("folder without images", lambda path: path.mkdir()),
    "text": ("not an image", lambda path: path.write_text("no picture")),
    "cut": ("not an image", lambda path: path.write_bytes(encoded(drawing()).getvalue()[:200])),
    "blank": ("no digit", lambda path: Image.new("L", (90, 90), 255).save(path)),
}
if hasattr(os, "mkfifo"):
    BAD_IMAGES["pipe"] = "not a file", os.mkfifo


@pytest.mark.parametrize("said, make", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_image_that_cannot_be_read_is_named_with_the_true_reason(folder, said, make):
    path = folder / "bad.png"
    make(path)
    lines, errors = read(folder, path, "photos/digit.png", status=1)
    assert errors.startswith(f"predict_model.py: error: {path}: ") and said in errors
    assert len(errors.splitlines()) == 1 and [line[0] for line in lines] == ["photos/digit.png"]


def test_message_has_the_path_as_it_is(folder):
    _, errors = read(folder, "two  spaces/a\tb  c.png", status=1)
    assert errors.startswith("predict_model.py: error: two  spaces/a\tb  c.png: no such file")


@pytest.mark.parametrize("ending", ["png", "heic", "avif", "jp2"])
def test_picture_in_a_folder_that_cannot_be_read_is_not_passed_over(folder, ending):
    (folder / f"bad.{ending}").write_text("no picture")
    _, errors = read(folder, "photos", status=1)
    assert f"bad.{ending}: " in errors


def test_folder_that_is_named_like_a_picture_is_a_folder(folder):
    put(folder, "scans.png/a.png")
    lines, errors = read(folder, "photos")
    assert len(lines) == 2 and not errors
