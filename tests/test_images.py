"""predict_model.py IMAGE...: reading the digits that people wrote themselves."""

import csv
import io
import zlib

import numpy as np
import pytest
from conftest import run_script
from PIL import Image, ImageDraw

import predict_model
from predict_model import read_digit
from train_model import InputError

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


def likeness(image, other):
    """Correlation of two images as they are read, from -1 to 1."""
    pictures = [read_digit(picture).astype(float).ravel() for picture in (image, other)]
    return np.corrcoef(pictures)[0, 1]


def with_alpha(mask, colour):
    """An image whose digit is only in its alpha channel; mask is dark where the digit is."""
    image = Image.new("RGBA", mask.size, colour)
    image.putalpha(mask.point(lambda value: 255 - value))
    return image


def lamp(image, darkest):
    """Light an image by a lamp from one corner: there 1, in the opposite one `darkest`."""
    height, width = image.height, image.width
    y, x = np.mgrid[0:height, 0:width]
    light = 1 - (1 - darkest) * (x / width + y / height) / 2
    return Image.fromarray((np.asarray(image) * light).astype(np.uint8))


def noisy(image, deviation, seed=0):
    """Add the noise of a camera."""
    noise = np.random.default_rng(seed).normal(0, deviation, np.shape(image))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def encoded(image, kind, **options):
    """The image as it comes back from a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def turned_by_exif(image):
    """The image stored lying on its side, with the note that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)


def ruled(image, squared):
    """Print the lines of a school book over an image."""
    pen = ImageDraw.Draw(image)
    for place in range(15, max(image.size), 60):
        pen.line([(0, place), (image.width, place)], fill=90, width=2)
        if squared:
            pen.line([(place, 0), (place, image.height)], fill=90, width=2)
    return image


def specked(image):
    """Scatter specks over an image, away from the digit."""
    pen = ImageDraw.Draw(image)
    for x, y in [(5, 5), (190, 12), (12, 185), (193, 190), (100, 4), (7, 90)]:
        pen.ellipse([x, y, x + 3, y + 3], fill=0)
    return image


def sixteen_bit(image):
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 200 + 3000)


PLAIN = draw(FOUR)
VARIANTS = {
    "light on dark": draw(FOUR, ink=255, ground=0),
    "1-bit": PLAIN.convert("1"),
    "16-bit": sixteen_bit(PLAIN),
    "16-bit file": encoded(sixteen_bit(PLAIN), "PNG"),
    "float": Image.fromarray(np.asarray(PLAIN, np.float32) / 255),
    "palette": PLAIN.convert("RGB").quantize(8),
    "RGB, blue pen": Image.merge("RGB", [PLAIN, PLAIN, Image.new("L", PLAIN.size, 230)]),
    "RGBA": PLAIN.convert("RGBA"),
    "grey and alpha": PLAIN.convert("LA"),
    "black ink only in alpha": with_alpha(PLAIN, "black"),
    "white ink only in alpha": with_alpha(PLAIN, "white"),
    "CMYK": PLAIN.convert("CMYK"),
    "JPEG": encoded(PLAIN, "JPEG", quality=15),
    "GIF": encoded(PLAIN, "GIF"),
    "BMP": encoded(PLAIN, "BMP"),
    "TIFF": encoded(PLAIN, "TIFF"),
    "WebP": encoded(PLAIN.convert("RGB"), "WEBP"),
    "turned by EXIF": turned_by_exif(PLAIN),
    "pencil under a lamp": noisy(lamp(draw(FOUR, ink=150, ground=230), 0.5), 3),
    "chalk under a lamp": noisy(lamp(draw(FOUR, ink=250, ground=100), 0.5), 3),
    "in a corner": draw(FOUR, canvas=(900, 700)),
    "in a corner of a photo": draw(FOUR, 150, place=(3700, 2700), canvas=(4000, 3000)),
    "thin stroke": draw(FOUR, width=1),
    "one pixel wide in 4,000": draw(FOUR, 3900, width=1, canvas=(4000, 4000)),
    "thick stroke": draw(FOUR, width=34),
    "specks": specked(draw(FOUR)),
    "noise": noisy(PLAIN, 25),
    "ink touches the border": PLAIN.crop(
        [
            edge + inset
            for edge, inset in zip(predict_model.ImageOps.invert(PLAIN).getbbox(), (3, 3, -3, -3))
        ]
    ),
    "lined paper": ruled(draw(FOUR, 200, canvas=(300, 300), place=(40, 40)), squared=False),
    "squared paper": ruled(draw(FOUR, 200, canvas=(300, 300), place=(40, 40)), squared=True),
    "wide": draw(FOUR, canvas=(2000, 210)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_reads_the_same_digit(name):
    assert likeness(VARIANTS[name], PLAIN) > 0.75
    # The same measure tells other digits apart.
    assert likeness(VARIANTS[name], draw(TWO)) < 0.6


def test_digit_stands_as_in_mnist():
    picture = read_digit(draw(TWO, 120, canvas=(500, 300), place=(20, 150)))
    assert picture.shape == (28, 28) and picture.dtype == np.uint8
    rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    y, x = np.mgrid[0:28, 0:28]
    for place in (x, y):
        assert np.average(place, weights=picture) == pytest.approx(14, abs=0.51)
    assert picture.max() == 255


def test_separate_bar_belongs_to_the_digit_and_specks_do_not():
    five = read_digit(draw(FIVE + BAR_OF_FIVE))
    without_bar = read_digit(draw(FIVE))
    assert np.corrcoef(five.ravel(), without_bar.ravel())[0, 1] < 0.8
    assert np.array_equal(five, read_digit(specked(draw(FIVE + BAR_OF_FIVE))))


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16, 40, 60])
def test_stroke_gets_a_width_that_mnist_knows(width):
    digit = 1 - np.asarray(draw([[(0.2, 0.2), (0.8, 0.8)]], 200, width), np.float32) / 255
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    changed = predict_model.fit_in_box(predict_model.set_stroke_width(digit))
    across = changed.sum() / (np.hypot(*changed.shape))
    assert 1 < across < 6


def test_ground_is_taken_out():
    brightness = predict_model.reduced(lamp(draw(FOUR, ink=150, ground=230), 0.4))
    ink = predict_model.take_out_ground(brightness)
    paper = np.asarray(draw(FOUR)) == 255
    assert np.ptp(brightness[paper]) > 0.4
    assert np.abs(ink[paper]).max() < 0.1
    assert ink[~paper].min() > 0.1


def test_otsu_splits_two_classes():
    values = np.concatenate([np.random.default_rng(0).normal(m, 0.05, 500) for m in (0.2, 0.8)])
    assert 0.35 < predict_model.otsu_threshold(values) < 0.65


def test_marks_hang_together_diagonally():
    mask = np.array([[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [1, 0, 0, 0, 0], [0, 0, 1, 1, 1]], bool)
    marks = predict_model.connected_marks(mask)
    assert sorted(int((ends - starts).sum()) for _, starts, ends in marks) == [2, 3, 3]


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (200, 200), 255),
        Image.new("RGB", (28, 28), "navy"),
        Image.new("RGBA", (50, 50), (0, 0, 0, 0)),
        Image.new("L", (1, 1)),
        noisy(Image.new("L", (300, 300), 200), 6),
        lamp(Image.new("L", (300, 300), 200), 0.4),
        noisy(lamp(Image.new("L", (300, 300), 200), 0.4), 6),
    ],
    ids=["white", "one colour", "transparent", "one pixel", "noise", "lamp", "lamp and noise"],
)
def test_blank_page_has_no_digit(image):
    with pytest.raises(InputError, match="no digit found"):
        read_digit(image)


MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV", "I", "F"]


def test_any_picture_is_read_or_refused():
    random = np.random.default_rng(1)
    answers = {"read": 0, "refused": 0}
    for number in range(660):
        width, height = random.integers(1, 80, 2)
        image = Image.new("L", (width, height), int(random.integers(256)))
        pen = ImageDraw.Draw(image)
        for shape in (pen.line, pen.ellipse, pen.rectangle)[: random.integers(1, 4)]:
            x, y = (np.sort(random.integers(-5, side + 5, 2)).tolist() for side in image.size)
            shape(
                [x[0], y[0], x[1], y[1]],
                int(random.integers(256)),
                width=int(random.integers(1, 9)),
            )
        image = image.convert(MODES[number % len(MODES)])
        try:
            picture = read_digit(image)
        except InputError as error:
            assert "no digit found" in str(error)
            answers["refused"] += 1
        else:
            assert picture.shape == (28, 28) and picture.max() > 0
            assert predict_model.make_thumbnail(image).shape[2] == 3
            answers["read"] += 1
    assert min(answers.values()) > 20


@pytest.fixture(scope="module")
def model(trained):
    return predict_model.load_model(trained / "digit_classifier.keras")


def test_predict_digit_takes_paths_images_and_arrays(model, tmp_path):
    path = tmp_path / "four.png"
    PLAIN.save(path)
    values = np.asarray(PLAIN)
    answers = [
        predict_model.predict_digit(model, image)
        for image in (
            *(path, str(path), PLAIN, values, values / 255, values > 127, values[..., np.newaxis]),
            *(np.stack([values] * 3, axis=-1), np.stack([values / 255] * 3, axis=-1)),
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


@pytest.fixture
def album(tmp_path):
    """A folder of images, some of them bad, with digits in folders named by digit."""
    for folder in ("4", "2/more", "empty"):
        (tmp_path / "album" / folder).mkdir(parents=True)
    PLAIN.save(tmp_path / "album" / "4" / "a ü.png")
    draw(FOUR, 300).save(tmp_path / "album" / "4" / "b.JPG")
    draw(TWO).save(tmp_path / "album" / "2" / "c.gif")
    (tmp_path / "album" / "4" / "notes.txt").write_text("not an image")
    return tmp_path / "album"


def snapshot(folder):
    return sorted((path, path.is_file() and path.read_bytes()) for path in folder.rglob("*"))


def test_folder_is_read_in_order_and_scored(trained, album, tmp_path):
    before = snapshot(album)
    run = run_script(
        *("predict_model.py", album, "--csv", tmp_path / "a.csv", "--plots", tmp_path / "plots"),
        cwd=trained,
    )
    assert run.returncode == 0, run.stderr
    lines = [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]
    expected = [str(album / name) for name in ("2/c.gif", "4/a ü.png", "4/b.JPG")]
    assert [line[0] for line in lines] == expected
    assert all(line[1].isdigit() and line[2].endswith("%") for line in lines)
    for line in lines:
        assert (len(line) == 4) == (float(line[2].rstrip("%")) < 80)
    assert "of 3 images" in run.stdout
    with open(tmp_path / "a.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == expected
    for row, line in zip(rows, lines):
        probabilities = [float(row[f"p{digit}"]) for digit in range(10)]
        assert row["digit"] == line[1] == str(np.argmax(probabilities))
        assert float(row["confidence"]) == max(probabilities)
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    for name in ("own_digits.png", "misclassified.png", "confusion_matrix.png"):
        with Image.open(tmp_path / "plots" / name) as picture:
            assert picture.format == "PNG"
    assert snapshot(album) == before


def test_labels_from_a_file(trained, album, tmp_path):
    labels = album / "labels.csv"
    labels.write_text("file,label\n2/c.gif,2\n4/a ü.png,4\n", encoding="utf-8")
    run = run_script("predict_model.py", album, "--labels", labels, cwd=trained)
    assert run.returncode == 0, run.stderr
    assert "of 2 images" in run.stdout


@pytest.mark.parametrize(
    "text, problem",
    [
        ("name,digit\na.png,3\n", "columns file and label"),
        ("file,label\na.png,10\n", "line 2"),
        ("", "columns file and label"),
        ("file,label\nnothing.png,3\n", "none of the images"),
    ],
)
def test_bad_labels(trained, album, tmp_path, text, problem):
    labels = tmp_path / "labels.csv"
    labels.write_text(text)
    run = run_script("predict_model.py", album, "--labels", labels, cwd=trained)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1
    assert "labels.csv" in run.stderr and problem in run.stderr


def test_bad_images_are_named_and_the_others_read(trained, album, tmp_path):
    good = (album / "4" / "a ü.png").read_bytes()
    bad = {
        "cut.png": good[: len(good) // 2],
        "empty.png": b"",
        "text.png": b"not an image",
        "billion.png": billion_pixels(),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    Image.new("L", (99, 99), 255).save(tmp_path / "blank.png")
    names = [*bad, "blank.png", "missing.png"]
    run = run_script(
        *("predict_model.py", *(tmp_path / name for name in names), album / "4", album / "empty"),
        cwd=trained,
    )
    assert run.returncode == 1
    lines = run.stderr.splitlines()
    assert len(lines) == len(names) + 1
    for line, name in zip(lines, [*names, "empty"]):
        assert line.startswith("predict_model.py: error: ") and f"{name}: " in line
    assert "no digit found" in lines[4]
    assert "there is no image" in lines[-1]
    assert run.stdout.count("\t") >= 4  # two images of two tabs


def billion_pixels():
    """A PNG file that says that it has a billion pixels."""
    file = io.BytesIO()
    Image.new("1", (8, 8)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = (40_000).to_bytes(4, "big") + (25_000).to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize("count, total", [(1, 1), (100, 100), (100, 5000)])
def test_plot_of_readings(count, total):
    thumbnail = predict_model.make_thumbnail(PLAIN)
    reading = predict_model.Reading("a_very_long_file_name.png", thumbnail, read_digit(PLAIN), None)
    figure = predict_model.plot_readings([reading] * count, np.eye(10)[[4] * count], total)
    assert sum(len(axis.images) for axis in figure.axes) == 2 * count
    assert (f"{count} of {total:,}" in figure.get_suptitle()) == (count < total)
    figure.canvas.draw()
    predict_model.plt.close(figure)


@pytest.mark.parametrize("options", [["--csv", "a.csv"], ["--labels", "a.csv"]])
def test_options_for_images_need_images(tmp_path, options):
    run = run_script("predict_model.py", *options, cwd=tmp_path)
    assert run.returncode == 2
    assert len(run.stderr.splitlines()) == 1
