"""predict_model.py: scores, report, plots and tables, and which images are read."""

import csv
import os
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PREDICT, files_in, linux_only, network_answering, result, run_main
from PIL import Image
from test_images import FOUR, draw

import predict_model
from train_model import plt


def figures():
    """Return the figures by the titles of their windows; each fits the screen of a laptop."""
    shown = [plt.figure(number) for number in plt.get_fignums()]
    for figure in shown:
        assert np.all(figure.get_size_inches() * figure.dpi <= (1301, 621))
    return {figure.canvas.manager.get_window_title(): figure for figure in shown}


# A network that reads any image as a four, or with less confidence as a five.
ANSWER = [0.01, *[0.001] * 3, 0.79, 0.193, *[0.001] * 4]


def test_test_set_is_scored_and_its_mistakes_are_plotted(tmp_path):
    network_answering(ANSWER, tmp_path / "a.keras")
    images = np.random.default_rng(0).integers(0, 256, (1100, 28, 28), np.uint8)
    labels = np.where(np.arange(1100) < 40, 4, 2)
    np.savez(tmp_path / "a$_$.npz", x_test=images, y_test=labels)
    run = run_main(PREDICT, "--data", "a$_$.npz", "--model", "a.keras", cwd=tmp_path)
    assert result(run.stdout, "network") == "trained_on_MNIST" and not run.stderr
    assert result(run.stdout, "accuracy") == f"{40 / 1100:.2%} of 1,100 images"
    assert result(run.stdout, "misclassified") == "1,060"
    assert files_in(tmp_path / "plots").keys() == {"misclassified.png", "confusion_matrix.png"}
    mistakes = figures()["Misclassified digits"]
    assert "a$_$.npz: 1,060 of 1,100 misclassified" in mistakes.get_suptitle()
    cells = [axis for axis in mistakes.axes if axis.images]
    assert {cell.get_title() for cell in cells} == {"true 2\nread 4 (79.0%)"}
    # All are as confident, but for rounding, so any sixty are the most confident.
    shown = {cell.images[0].get_array().tobytes() for cell in cells}
    assert len(shown) == 60 and shown <= {image.tobytes() for image in images[40:]}
    (axis,) = figures()["Confusion matrix"].axes
    counts = {text.get_position(): text.get_text() for text in axis.texts if text.get_text()}
    assert counts == {(4, 4): "40", (4, 2): "1060"}
    assert [*zip(*np.nonzero(axis.images[0].get_array()), strict=True)] == [(2, 4), (4, 4)]


@pytest.fixture
def ten_readings(capsys, tmp_path):
    """Report ten readings; returns the lines."""
    labels, predictions = np.array([[0] * 4 + [1] * 6, [0, 0, 0, 1, 1, 1, 1, 1, 0, 2]])
    # The right ones, then the wrong ones; only those from 0.9 to 1 share one of the ten bins.
    confidences = np.array([0.89, 0.91, 0.55, 0.97, 0.91, 0.91, 0.91, 0.91, 0.97, 0.65])
    probabilities = np.repeat((1 - confidences[:, np.newaxis]) / 9, 10, axis=1)
    probabilities[np.arange(10), predictions] = confidences
    network, pictures = SimpleNamespace(name="a network"), np.zeros((10, 28, 28), np.uint8)
    plt.close("all")
    predict_model.report_scores(network, "images", labels, probabilities, pictures, tmp_path)
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
    first = ten_readings.index("[[3 1 0 0 0 0 0 0 0 0]")
    assert ten_readings[first + 1] == "[1 4 1 0 0 0 0 0 0 0]"


def test_loss_and_calibration_error_fit_figures_worked_by_hand(ten_readings):
    loss = np.log([0.89, 0.91, 0.55, *[0.91] * 4, 0.03 / 9, 0.03 / 9, 0.35 / 9]).mean()
    bins = abs(0.89 - 1) + abs(5 * 0.91 - 5 + 2 * 0.97) + abs(0.55 - 1) + 0.65
    assert f"loss {-loss:.4f}" in ten_readings
    assert f"calibration error {10 * bins:.2f}%" in ten_readings


def test_most_confident_mistakes_are_shown_first(ten_readings):
    titles = [axis.get_title() for axis in figures()["Misclassified digits"].axes[:3]]
    assert titles == ["true 0\nread 1 (97.0%)", "true 1\nread 0 (97.0%)", "true 1\nread 2 (65.0%)"]


@pytest.fixture(scope="session")
def four(tmp_path_factory):
    """Path of a network that reads any image as a four."""
    path = tmp_path_factory.mktemp("network") / "a.keras"
    network_answering(ANSWER, path)
    return path


@pytest.fixture
def album(four, tmp_path):
    """A folder of images, of a digit each, beside a network that reads any as a four."""
    (tmp_path / "a.keras").write_bytes(four.read_bytes())
    put(tmp_path, "photos/digit.png")
    return tmp_path


def put(album, name, digits=1):
    """Put a picture of fours into the album, in the format of its name or as PNG."""
    sheet, path = Image.new("L", (max(1, digits) * 120, 120), 255), album / name
    for place in range(digits):
        sheet.paste(draw(FOUR, 120), (120 * place, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    known = path.suffix.lower() in Image.registered_extensions()
    sheet.save(path, None if known else "PNG")


def read(album, *arguments, status=0):
    return run_main(PREDICT, "--model", "a.keras", *arguments, cwd=album, status=status)


def paths_read(album, *arguments):
    lines = read(album, *arguments).stdout.splitlines()
    return [line.partition("\t")[0].replace(os.sep, "/") for line in lines if "\t" in line]


def test_line_has_path_number_confidence_and_which_digit_is_uncertain(album):
    put(album, "two.png", digits=2)
    line = read(album, "two.png").stdout.splitlines()[0]
    uncertain = "digit 1 uncertain, perhaps 5 (19.3%)\tdigit 2 uncertain, perhaps 5 (19.3%)"
    assert line == f"two.png\t44\t79.0%\t{uncertain}"


def test_table_has_a_row_a_digit(album):
    put(album, "two.png", digits=2)
    read(album, "two.png", "--csv", "a.csv")
    header, *rows = csv.reader((album / "a.csv").read_text().splitlines())
    assert header == ["path", "row", "place", "digit", "confidence", *(f"p{n}" for n in range(10))]
    assert [row[:4] for row in rows] == [["two.png", "1", place, "4"] for place in "12"]
    assert [float(value) for value in rows[0][4:]] == pytest.approx([0.79, *ANSWER], abs=1e-5)


@pytest.mark.parametrize("name", ["ünï.png", pytest.param("not \udcff text.png", marks=linux_only)])
def test_table_on_standard_output_has_it_for_itself(album, name):
    put(album, name)
    run = read(album, name, "--csv", "-")
    assert run.stdout.count("\n") == 2 and ".png,1,1,4,0.7" in run.stdout
    assert ".png\t4\t" in run.stderr and not (album / "-").exists()


def test_plot_shows_a_box_at_each_digit_and_what_the_network_saw(album):
    put(album, "two.png", digits=2)
    read(album, "two.png")
    given, seen = figures()["Your own digits"].axes
    assert [text.get_text() for text in given.texts] == ["4", "4"] and len(given.patches) == 2
    first, second = predict_model.find_digits(album / "two.png")
    pictures = np.hstack([first.picture, second.picture])
    assert np.array_equal(seen.images[0].get_array(), pictures)


@pytest.mark.parametrize(
    "name",
    ["a.PNG", "a.jpg", "a.JPEG", "a.webp", "a.tif", "a.bmp", "a.gif", "a.pgm", "below/more/a.png"]
    + ["misclassified 2.png", "two  spaces.png", "scans.png/a.png"],
)
def test_picture_in_a_folder_is_read(album, name):
    put(album, f"photos/{name}")
    assert sorted(paths_read(album, "photos")) == sorted(["photos/digit.png", f"photos/{name}"])


@pytest.mark.parametrize(
    "name",
    [".hidden.png", ".ipynb_checkpoints/digit.png", "__MACOSX/digit.png", "below/.thumbnails/a.png"]
    + ["notes.pdf", "network.keras", "Thumbs.db", "png", "training_curves.png"],
)
def test_what_is_no_picture_of_the_user_is_left_out_of_a_folder(album, name):
    put(album, f"photos/{name}")
    assert paths_read(album, "photos") == ["photos/digit.png"]


def test_own_plots_are_left_out_of_a_folder(album):
    put(album, "4/digit.png")
    first, second = (read(album, ".").stdout for _ in range(2))
    assert first == second and first.count("digit.png\t") == 2
    assert len([*(album / "plots").iterdir()]) == 3


def test_folder_is_read_in_the_order_of_its_names(album):
    for name in ("c.png", "a.png", "b/z.png"):
        put(album, f"photos/{name}")
    names = ["a.png", "b/z.png", "c.png", "digit.png"]
    assert paths_read(album, "photos") == [f"photos/{name}" for name in names]


@pytest.mark.parametrize(
    "said, make",
    [
        ("No such file", lambda path: None),
        ("folder without images", lambda path: path.mkdir()),
        ("not an image", lambda path: path.write_text("no picture")),
        ("no digit", lambda path: Image.new("L", (90, 90), 255).save(path)),
        pytest.param("not a file", lambda path: os.mkfifo(path), marks=linux_only),
    ],
)
def test_image_that_cannot_be_read_is_named_and_the_others_are_read(album, said, make):
    make(album / "two  spaces.png")
    run = read(album, "two  spaces.png", "photos", status=1)
    assert run.stderr.startswith("predict_model.py: error: two  spaces.png: ")
    (line,) = run.stderr.splitlines()
    assert said in line and "digit.png\t4" in run.stdout


def test_empty_argument_is_no_folder(album):
    run = read(album, "", status=1)
    assert "No such file" in run.stderr and not run.stdout


@pytest.mark.parametrize("ending", ["png", "heic", "avif", "jp2"])
def test_picture_in_a_folder_that_cannot_be_read_is_not_passed_over(album, ending):
    (album / "photos" / f"bad.{ending}").write_text("no picture")
    assert f"bad.{ending}: " in read(album, "photos", status=1).stderr


@pytest.mark.parametrize(
    "names, accuracy, status",
    [
        (["4/a.png", "4/more/b.png", "10/c.png"], "100.00% of 1", 0),
        (["4/a.png", "4/two.png", "4/blank.png", "5/b.png"], "25.00% of 4", 1),
        (["4/blank.png"], "0.00% of 1", 1),
    ],
)
def test_labelled_image_is_right_only_if_read_as_just_that_digit(album, names, accuracy, status):
    for name in names:
        put(album, f"set/{name}", {"blank.png": 0, "two.png": 2}.get(name[2:], 1))
    run = read(album, "set", status=status)
    assert result(run.stdout, "accuracy") == f"{accuracy} images" and "nan" not in run.stdout
    plots = {"own_misclassified.png", "own_confusion_matrix.png"}
    assert plots <= files_in(album / "plots").keys()


@linux_only
def test_link_is_scored_by_the_folder_that_it_is_listed_in(album):
    put(album, "4/a.png")
    (album / "7").mkdir()
    (album / "7" / "link.png").symlink_to(album / "4" / "a.png")
    assert result(read(album, "7").stdout, "accuracy") == "0.00% of 1 images"
