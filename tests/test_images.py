"""predict_model.py IMAGE...: reading the digits that people wrote themselves."""

import csv
import io

import numpy as np
import photographs
import pytest
from conftest import PREDICT, files_in, network_answering, run_main
from PIL import Image, ImageDraw, ImageOps

from predict_model import find_digit, read_digit
from train_model import InputError, draw_digits, plt

# Strokes on a square from 0 to 1.
FOUR = [[(0.55, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.65, 0.35), (0.65, 0.9)]]
FIVE = [[(0.35, 0.3), (0.33, 0.5), (0.6, 0.48), (0.7, 0.65), (0.55, 0.85), (0.3, 0.8)]]
BAR_OF_FIVE = [[(0.38, 0.16), (0.72, 0.14)]]
TWO = [[(0.2, 0.35), (0.4, 0.12), (0.7, 0.3), (0.55, 0.55), (0.2, 0.9), (0.8, 0.88)]]


def draw(strokes, size=200, width=None, place=(0, 0), canvas=None, ink=0, ground=255):
    """Draw strokes with a pen, dark on light by default; answers a grey PIL image."""
    image = Image.new("L", canvas or (size, size), ground)
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = [(place[0] + size * x, place[1] + size * y) for x, y in stroke]
        pen.line(points, fill=ink, width=width or size // 12, joint="curve")
    return image


def correlation(picture, other):
    """Correlation of two pictures as read_digit answers them, from -1 to 1."""
    return np.corrcoef(picture.ravel(), other.ravel())[0, 1]


def with_alpha(mask, colour):
    """An image whose digit is only in its alpha channel; mask is dark where the digit is."""
    image = Image.new("RGBA", mask.size, colour)
    image.putalpha(ImageOps.invert(mask))
    return image


def noisy(image, deviation):
    """Add the noise of a camera."""
    noise = np.random.default_rng(0).normal(0, deviation, np.shape(image))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def encoded(image, kind, **options):
    """The image as it comes back from a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


def turned_by_exif(image):
    """The image stored lying on its side, with the note that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def specked(image):
    """Scatter specks over a copy of an image, away from the digit."""
    image = image.copy()
    pen = ImageDraw.Draw(image)
    for x, y in [(5, 5), (190, 12), (12, 185), (193, 190), (100, 4), (7, 90)]:
        pen.ellipse([x, y, x + 3, y + 3], fill=0)
    return image


PLAIN = draw(FOUR)
SIXTEEN_BIT = Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 200 + 3000)
VARIANTS = {
    "light on dark": draw(FOUR, ink=255, ground=0),
    "1-bit": PLAIN.convert("1"),
    "16-bit": SIXTEEN_BIT,
    "16-bit file": encoded(SIXTEEN_BIT, "PNG"),
    "float": Image.fromarray(np.asarray(PLAIN, np.float32) / 255),
    **{mode: PLAIN.convert(mode) for mode in ("RGBA", "LA", "CMYK", "P", "YCbCr", "I")},
    "RGB, blue pen": Image.merge("RGB", [PLAIN, PLAIN, Image.new("L", PLAIN.size, 230)]),
    "black ink only in alpha": with_alpha(PLAIN, "black"),
    "white ink only in alpha": with_alpha(PLAIN, "white"),
    **{kind: encoded(PLAIN, kind) for kind in ("JPEG", "GIF", "BMP", "TIFF", "WEBP")},
    "turned by EXIF": turned_by_exif(PLAIN),
    "in a corner": draw(FOUR, canvas=(900, 700)),
    "in a corner of a photo": draw(FOUR, 150, place=(3700, 2700), canvas=(4000, 3000)),
    "thin stroke": draw(FOUR, width=1),
    "one pixel wide in 4,000": draw(FOUR, 3900, width=1, canvas=(4000, 4000)),
    "thick stroke": draw(FOUR, width=34),
    "small": draw(FOUR, 40),
    "specks": specked(draw(FOUR)),
    "noise": noisy(PLAIN, 25),
    "ink touches the border": PLAIN.crop((43, 23, 163, 180)),
    "wide": draw(FOUR, canvas=(2000, 210)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_reads_the_same_digit(name):
    picture = read_digit(VARIANTS[name])
    assert correlation(picture, read_digit(PLAIN)) > 0.75
    assert correlation(picture, read_digit(draw(TWO))) < 0.6
    assert picture.max() == 255


def test_digit_stands_as_in_mnist():
    picture = read_digit(draw(TWO, 120, canvas=(500, 300), place=(20, 150)))
    assert picture.shape == (28, 28) and picture.dtype == np.uint8
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    y, x = np.mgrid[0:28, 0:28]
    for place in (x, y):
        assert np.average(place, weights=picture) == pytest.approx(14, abs=0.51)
    assert picture.max() == 255


def test_pictures_of_mnist_are_read_as_they_are():
    images, _ = draw_digits(200, seed=5)
    likeness = [correlation(read_digit(Image.fromarray(image)), image) for image in images]
    assert np.percentile(likeness, 5) > 0.75 and np.median(likeness) > 0.88


def test_separate_bar_belongs_to_the_digit():
    five = read_digit(draw(FIVE + BAR_OF_FIVE))
    assert correlation(five, read_digit(draw(FIVE))) < 0.8
    assert np.array_equal(five, read_digit(specked(draw(FIVE + BAR_OF_FIVE))))


@pytest.mark.parametrize(
    "width, lowest, highest",
    [(1, 1.5, 2.8), (2, 1.5, 2.8), (4, 1.5, 2.8), (16, 2, 3), (26, 3, 4.2), (40, 3.2, 4.8)],
)
def test_stroke_gets_a_width_that_mnist_knows(width, lowest, highest):
    picture = read_digit(draw([[(0.2, 0.2), (0.8, 0.8)]], 200, width))
    assert lowest < picture.sum() / 255 / np.hypot(20, 20) < highest


BLANKS = {
    "white": Image.new("L", (200, 200), 255),
    "one colour": Image.new("RGB", (28, 28), "navy"),
    "transparent": Image.new("RGBA", (50, 50), (0, 0, 0, 0)),
    "one pixel": Image.new("L", (1, 1)),
    "noise": noisy(Image.new("L", (300, 300), 200), 6),
}


@pytest.mark.parametrize("name", [*BLANKS, *(kind.__name__ for kind in photographs.EMPTY_KINDS)])
def test_blank_page_has_no_digit(name):
    image = BLANKS.get(name)
    if image is None:
        content = getattr(photographs, name)(np.random.default_rng(0), photographs.BLANK)
        image = Image.open(io.BytesIO(content))
    with pytest.raises(InputError, match="no digit found"):
        read_digit(image)


def test_photographs_are_read():
    random, likeness = np.random.default_rng(0), []
    for kind, digit in zip(photographs.KINDS, draw_digits(len(photographs.KINDS), seed=7)[0]):
        try:
            picture = read_digit(Image.open(io.BytesIO(kind(random, digit))))
            likeness.append(correlation(picture, digit))
        except InputError:
            likeness.append(0)
    assert np.mean(np.array(likeness) > 0.75) >= 0.9
    assert np.median(likeness) > 0.9


def test_several_digits_are_told_from_one():
    digits, _ = draw_digits(60, seed=7)
    right = []
    for number in range(20):
        row = digits[3 * number : 3 * number + 1 + number % 3]
        sheet = Image.new("L", (300, 150), "white")
        for place, digit in enumerate(row):
            enlarged = Image.fromarray(digit).resize((100, 100))
            sheet.paste(ImageOps.invert(enlarged), (100 * place, 25))
        photograph = io.BytesIO(photographs.several(np.random.default_rng(number), row))
        for image in (sheet, Image.open(photograph)):
            try:
                right.append(find_digit(image)[1] == (len(row) == 1))
            except InputError:
                right.append(False)
    assert np.mean(right[::2]) >= 0.85 and np.mean(right[1::2]) >= 0.8


# ---------------------------------------------------------------- on the command line


@pytest.fixture
def album(tmp_path):
    """A folder of images of many modes, with digits in folders named by digit, and a network."""
    for folder in ("4", "2/more", "empty"):
        (tmp_path / "album" / folder).mkdir(parents=True)
    PLAIN.save(tmp_path / "album" / "4" / "a ü.png")
    draw(FOUR, 300).save(tmp_path / "album" / "4" / "b.JPG")
    with_alpha(draw(TWO), "black").save(tmp_path / "album" / "2" / "c.png")
    SIXTEEN_BIT.save(tmp_path / "album" / "2" / "more" / "a.tif")
    (tmp_path / "album" / "4" / "notes.txt").write_text("not an image")
    network_answering([0.02] * 4 + [0.7, 0.2, *[0.005] * 4], tmp_path / "a.keras")
    return tmp_path / "album"


def read(album, *arguments, status=0):
    """Read images with the album's network; answers the run, and the lines of the readings."""
    network = ["--model", album.parent / "a.keras"]
    run = run_main(PREDICT, *arguments, *network, cwd=album.parent, status=status)
    return run, [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]


def test_folder_is_read_in_order_and_scored(album):
    before = files_in(album)
    plots = album.parent / "plots"
    plots.mkdir()
    (plots / "misclassified.png").write_text("of the test set")
    run, lines = read(album, album, "--csv", "a.csv")
    expected = [str(album / name) for name in ("2/c.png", "2/more/a.tif", "4/a ü.png", "4/b.JPG")]
    uncertain = "uncertain, perhaps 5 (20.0%)"
    assert lines == [[path, "4", "70.0%", uncertain] for path in expected]
    # The folder `more` is no digit.
    assert "accuracy             66.67% of 3 images" in run.stdout
    with open(album.parent / "a.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == expected
    for row in rows:
        assert row["digit"] == "4" and row["confidence"] == row["p4"] == "0.700000"
        assert [row["p5"], row["p9"]] == ["0.200000", "0.005000"] and len(row) == 13
    names = {"misclassified.png", "own_digits.png", "own_misclassified.png"}
    assert files_in(plots).keys() == names | {"own_confusion_matrix.png"}
    assert (plots / "misclassified.png").read_text() == "of the test set"
    assert files_in(album) == before


@pytest.mark.parametrize("confidence", [0.79, 0.81])
def test_doubt(album, confidence):
    others = [(0.97 - confidence) / 8] * 8
    network_answering([0.03, *others[:2], confidence, *others[2:]], album.parent / "a.keras")
    two = Image.new("L", (400, 200), "white")
    for x in (0, 200):
        two.paste(PLAIN, (x, 0))
    two.save(album.parent / "two.png")
    _, (one, several) = read(album, "album/4/b.JPG", "two.png")
    doubt = ["uncertain, perhaps 0 (3.0%)"] if confidence < 0.8 else []
    assert one == ["album/4/b.JPG", "3", f"{confidence:.1%}", *doubt]
    assert several[3:] == ["uncertain, more than one digit?"]


def test_labels_from_a_file(album):
    labels = album / "labels.csv"
    labels.write_text("file,label\n2/c.png,2\n4/a ü.png,4\n", encoding="utf-8-sig")
    run, _ = read(album, album, "--labels", labels)
    assert "accuracy             50.00% of 2 images" in run.stdout
    labels.write_text("file,label\nnothing.png,3\n")
    run, _ = read(album, album, "--labels", labels, status=1)
    assert "labels.csv: names none of the images" in run.stderr


def test_bad_images_are_named_and_the_others_read(album):
    good = (album / "4" / "a ü.png").read_bytes()
    bad = {"cut.png": good[:-99], "void.png": b"", "text.png": b"text"}
    for name, content in bad.items():
        (album.parent / name).write_bytes(content)
    Image.new("L", (99, 99), 255).save(album.parent / "blank.png")
    names = [*bad, "blank.png", "missing.png", "album/empty"]
    run, readings = read(album, *names, "album/4", status=1)
    lines = run.stderr.splitlines()
    assert len(lines) == len(names)
    for line, name in zip(lines, names):
        assert line.startswith(f"predict_model.py: error: {name}: ")
    assert "no digit found" in lines[3]
    assert "there is no image" in lines[-1]
    assert len(readings) == 2


def test_more_images_than_are_read_at_a_time_or_shown(album):
    paths = []
    for number, digit in enumerate(draw_digits(501, seed=8)[0]):
        paths.append(album / f"{number:03}_{'long' * 9}.png")
        Image.fromarray(digit).save(paths[-1])
    _, lines = read(album, *paths, "--csv", "a.csv")
    assert [line[0] for line in lines] == [*map(str, paths)]
    assert len((album.parent / "a.csv").read_text().splitlines()) == 502
    figure = plt.gcf()
    assert "100 of 501 images" in figure.get_suptitle()
    assert figure.canvas.manager.get_window_title() == "Your own digits"
    (axis,) = figure.axes
    assert len(axis.images) == 200
    shown = {text.get_text(): text.get_color() for text in axis.texts}
    assert shown["4 (70.0%)"] == "red" and len(shown) == 101
