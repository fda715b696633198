"""predict_model.py IMAGE...: reading the digits that people wrote themselves."""

import io

import numpy as np
import photographs
import pytest
from conftest import files_in, network_answering
from PIL import Image, ImageDraw, ImageOps
from test_predict_model import show

from predict_model import find_digit, open_image, read_digit, with_visible_stroke
from train_model import InputError, cut, draw_digits, fit, resized

# Strokes on a square from 0 to 1.
FOUR = [[(0.55, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.65, 0.35), (0.65, 0.9)]]
FIVE = [[(0.35, 0.3), (0.33, 0.5), (0.6, 0.48), (0.7, 0.65), (0.55, 0.85), (0.3, 0.8)]]
BAR_OF_FIVE = [[(0.38, 0.16), (0.72, 0.14)]]
TWO = [[(0.2, 0.35), (0.4, 0.12), (0.7, 0.3), (0.55, 0.55), (0.2, 0.9), (0.8, 0.88)]]
SPECKS = [(x, y, x + 3, y + 3) for x, y in [(5, 5), (190, 12), (12, 185), (193, 190), (7, 90)]]


def draw(strokes, size=200, width=None, place=(0, 0), canvas=None, ink=0, ground=255, boxes=()):
    """Draw strokes with a pen, and full boxes, dark on light by default; answers a PIL image."""
    image = Image.new("L", canvas or (size, size), ground)
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = [(place[0] + size * x, place[1] + size * y) for x, y in stroke]
        pen.line(points, fill=ink, width=width or size // 12, joint="curve")
    for box in boxes:
        pen.rectangle(box, fill=ink)
    return image


def found(image):
    """What find_digit answers of an image; where it finds no digit, some picture and None."""
    try:
        return find_digit(image)
    except InputError:
        return np.eye(28), None


def likeness(image, picture):
    """Correlation of what find_digit makes of an image with a picture, from -1 to 1."""
    return np.corrcoef(found(image)[0].ravel(), picture.ravel())[0, 1]


PLAIN, LIGHT = draw(FOUR), draw(FOUR, ink=255, ground=0)
SIXTEEN_BIT = Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 200 + 3000)
NOISE = np.random.default_rng(0).normal(0, 25, (200, 200))
INNER = draw([], ink=255, ground=0, boxes=[(9, 9, 190, 190)])
BLACK, WHITE = draw([], ground=0), draw([])
SAME = {
    "light on dark": LIGHT,
    "16-bit": SIXTEEN_BIT,
    "float": Image.fromarray(np.asarray(PLAIN, np.float32) / 255),
    "not a number": Image.fromarray(np.where(np.asarray(PLAIN), np.float32(9), np.nan)),
    **{mode: PLAIN.convert(mode) for mode in ("1", "RGBA", "LA", "CMYK", "P", "YCbCr", "I")},
    "RGB, blue pen": Image.merge("RGB", [PLAIN, PLAIN, draw([], ground=230)]),
    "black ink only in alpha": Image.merge("LA", [BLACK, LIGHT]),
    "white ink only in alpha": Image.merge("LA", [WHITE, LIGHT]),
    "dark with a transparent rim": Image.merge("LA", [LIGHT, INNER]),
    "light with a transparent rim": Image.merge("LA", [PLAIN, INNER]),
    "specks": draw(FOUR, boxes=SPECKS),
}
LIKE = {
    "in a corner of a photo": draw(FOUR, 150, place=(3700, 2700), canvas=(4000, 3000)),
    "thin stroke": draw(FOUR, width=1),
    "one pixel wide in 4,000": draw(FOUR, 3900, width=1, canvas=(4000, 4000)),
    "thick stroke": draw(FOUR, width=34),
    "small": draw(FOUR, 40, ink=255, ground=0),
    "noise": Image.fromarray(np.clip(PLAIN + NOISE, 0, 255).astype(np.uint8)),
    "ink touches the border": PLAIN.crop((37, 0, 200, 200)),
    "wide": draw(FOUR, canvas=(2000, 210)),
    "dark border": draw(FOUR, 60, None, (38, 20), (100, 100), boxes=[(0, 0, 25, 100)]),
    "a blot far away": draw(FOUR, 40, canvas=(100, 90), boxes=[(85, 70, 90, 76)]),
    "another beside it": draw(FOUR, 70, canvas=(99, 90), boxes=[(75, 10, 85, 62)]),
}


def test_reads_the_same_digit():
    same, other = read_digit(PLAIN), read_digit(draw(TWO))
    for name, image in (SAME | LIKE).items():
        assert likeness(image, same) > (0.99 if name in SAME else 0.75), name
        assert likeness(image, other) < 0.6, name


@pytest.mark.parametrize("size, decoded", [(2400, (700, 600)), (200, (600, 200))])
def test_files_are_turned_and_large_ones_reduced(tmp_path, size, decoded):
    (exif := Image.Exif())[0x0112] = 6  # The image is stored lying on its side.
    lying = draw(TWO, size, canvas=(size + 400, size)).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "lying.jpg", exif=exif)
    image = open_image(tmp_path / "lying.jpg")
    assert image.size == decoded and likeness(image, read_digit(draw(TWO))) > 0.9
    assert likeness(draw(TWO), read_digit(Image.open(tmp_path / "lying.jpg"))) > 0.9


def test_ink_is_cut_resized_and_fitted_as_mnist_is():
    ink = np.full((60, 50), 12, np.uint8)
    ink[10:50, 5:15], ink[30:50, 15:27] = 100, 13
    assert np.array_equal(cut(ink), ink[10:50, 5:27])
    large = np.kron(np.uint8([[1, 2, 3], [4, 5, 6]]), np.uint8([[0, 10], [10, 20]]))
    assert resized(large, 0.5).tolist() == [[10, 20, 30], [40, 50, 60]]
    assert resized(ink[:, :1], 0.1).shape in ((6, 1), (6, 2))
    expected = np.zeros((28, 28), np.uint8)
    # In a box of 20 x 11, the centre of mass is 9.9 below its top, and 2.4 right of its left.
    expected[4:24, 12:17], expected[14:24, 17:23] = 255, 33
    assert np.array_equal(fit(cut(ink * (ink > 12))), expected)
    for width in (1, 5, 10, 19):  # pixels of a stroke 200 long, which 20 will be
        stroke = with_visible_stroke(np.full((200, width), 255, np.uint8))
        assert max(np.count_nonzero(stroke, axis=1)) / 4 == pytest.approx(2.3, abs=0.46)
    stroke = np.full((200, 20), 255, np.uint8)  # 1.83 wide
    assert with_visible_stroke(stroke) is stroke


def test_separate_bar_belongs_to_the_digit():
    five = read_digit(draw(FIVE + BAR_OF_FIVE))
    assert likeness(draw(FIVE), five) < 0.8
    assert likeness(draw(FIVE + BAR_OF_FIVE, boxes=SPECKS), five) > 0.999


def test_small_image_is_read_by_brightness_alone():
    for size, small in {(100, 99): 1, (101, 99): 0, (150, 19): 1, (150, 20): 0}.items():
        blot = draw([], canvas=size, boxes=[(60, 5, 69, 14)])
        assert (likeness(blot, np.pad(np.ones((20, 20)), 4)) > 0.99) == small
    images, _ = draw_digits(200, seed=5)
    alike = [likeness(Image.fromarray(image), image) for image in images]
    assert np.percentile(alike, 5) > 0.75 and np.median(alike) > 0.88


def test_blank_page_has_no_digit():
    random = np.random.default_rng(1)
    blank = {kind.__name__: Image.open(io.BytesIO(kind(random, photographs.BLANK)))
             for kind in photographs.EMPTY_KINDS[::3]}  # Each takes a second.
    blank |= {
        "white": Image.new("L", (200, 200), 255),
        "one colour": Image.new("RGB", (28, 28), "navy"),
        "transparent": Image.new("RGBA", (50, 50), (0, 0, 0, 0)),
        "one pixel": Image.new("L", (1, 1)),
        "small noise": Image.fromarray(np.uint8(200 + NOISE[:90, :90] / 4)),
        "pale": draw(FOUR, 90, ink=191, ground=200),
    }
    assert not [name for name, image in blank.items() if found(image)[1] is not None]


def test_photographs_are_read():
    kinds = [kind for kind in photographs.KINDS if kind is not photographs.twelve_megapixels]
    random, digits = np.random.default_rng(0), draw_digits(len(kinds), seed=7)[0]
    alike = [likeness(Image.open(io.BytesIO(kind(random, digit))), digit)
             for kind, digit in zip(kinds, digits)]
    assert np.mean(np.array(alike) > 0.75) >= 0.9 and np.median(alike) > 0.9


def test_several_digits_are_told_from_one():
    digits, right = draw_digits(30, seed=7)[0], []
    for number in range(10):
        row = digits[3 * number : 3 * number + 1 + number % 3]
        sheet = Image.new("L", (300, 150), "white")
        for place, digit in enumerate(row):
            enlarged = Image.fromarray(digit).resize((100, 100))
            sheet.paste(ImageOps.invert(enlarged), (100 * place, 25))
        photograph = io.BytesIO(photographs.several(np.random.default_rng(number), row))
        for image in (sheet, Image.open(photograph)):
            right.append(found(image)[1] == (len(row) == 1))
    assert np.mean(right[::2]) >= 0.85 and np.mean(right[1::2]) >= 0.8


# ---------------------------------------------------------------- on the command line


@pytest.fixture
def album(tmp_path):
    """A folder of images of many modes, with digits in folders named by digit, and a network."""
    two = Image.merge("LA", [BLACK, draw(TWO, ink=255, ground=0)])
    for name, image in {"4/a ü.gif": PLAIN, "4/b.JPG": draw(FOUR, 300), "2/c.png": two,
                        "2/more/a.tif": SIXTEEN_BIT}.items():
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **{"save_all": True, "append_images": [WHITE]} if "gif" in name else {})
    (tmp_path / "album" / "notes.txt").write_text("not an image")
    network_answering([0.03, *[0.02] * 3, 0.7, 0.19, *[0.005] * 4], tmp_path / "a.keras")
    return tmp_path / "album"


def read(album, *arguments, status=0):
    """Read images with the album's network; answers show's two, and the lines of the readings."""
    network = ["--model", album.parent / "a.keras"]
    run, figures = show(*arguments, *network, cwd=album.parent, status=status)
    return run, figures, [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]


def test_folder_is_read_in_order_and_scored(album):
    before, plots = files_in(album), album.parent / "plots"
    run, figures, lines = read(album, album, "--csv", "a.csv")
    expected = [str(album / name) for name in ("2/c.png", "2/more/a.tif", "4/a ü.gif", "4/b.JPG")]
    assert lines == [[path, "4", "70.0%", "uncertain, perhaps 5 (19.0%)"] for path in expected]
    # The folder `more` is no digit.
    assert "accuracy             66.67% of 3 images\n" in run.stdout
    (wrong,) = figures["Misclassified digits"].axes
    assert np.array_equal(wrong.images[0].get_array(), read_digit(open_image(expected[0])))
    heading, *rows = (album.parent / "a.csv").read_text(encoding="utf-8").splitlines()
    assert heading == "path,digit,confidence,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9"
    numbers = "0.700000,0.030000" + 3 * ",0.020000" + ",0.700000,0.190000" + 4 * ",0.005000"
    assert rows == [f"{path},4,{numbers}" for path in expected]
    names = {"own_digits.png", "own_misclassified.png", "own_confusion_matrix.png"}
    assert files_in(plots).keys() == names and files_in(album) == before


def test_doubt(album):
    draw(FOUR, canvas=(400, 200), boxes=[(250, 20, 266, 180)]).save(album.parent / "two.png")
    for confidence, doubt in ((0.79, ["uncertain, perhaps 0 (11.0%)"]), (0.81, [])):
        digits = [0.9 - confidence, 0.02, 0.02, confidence, *[0.01] * 6]
        network_answering(digits, album.parent / "a.keras")
        _, figures, (one, several) = read(album, "album/4/b.JPG", "two.png")
        assert one == ["album/4/b.JPG", "3", f"{confidence:.1%}", *doubt]
        assert several[3:] == ["uncertain, more than one digit?"]
        colours = [axis.title.get_color() for axis in figures["Your own digits"].axes]
        assert colours == ["black", "red" if doubt else "black", "black", "red"]


def test_labels_from_a_file(album):
    for text, status, expected in (
        ("\ufefffile,label\n2/c.png,2\n4/a ü.gif,4\n", 0, "50.00% of 2 images\n"),
        ("file,label\nnothing.png,3\n", 1, "labels.csv: names none of the images"),
        ("name,label\nc.png,2\n", 1, "labels.csv: not CSV with the columns file and label"),
    ):
        (album / "labels.csv").write_text(text)
        run, *_ = read(album, album, "--labels", "album/labels.csv", status=status)
        assert expected in run.stdout + run.stderr


def test_bad_images_are_named_and_the_others_read(album):
    folder, good = album.parent, (album / "4" / "b.JPG").read_bytes()
    for name, content in {"cut.jpg": good[:-99], "void.png": b"", "text.png": b"text"}.items():
        (folder / name).write_bytes(content)
    (folder / "empty").mkdir()
    Image.new("L", (99, 99), 255).save(folder / "blank.png")
    Image.new("LAB", (99, 99)).save(folder / "lab.tif")
    unread, none = "not an image that can be read (", "no such file, nor a folder with images"
    bad = {"cut.jpg": unread, "void.png": unread, "text.png": unread, "lab.tif": "conversion",
           "blank.png": "no digit found", "missing.png": none, "a.keras": unread, "empty": none}
    run, _, readings = read(album, *bad, "album/4", status=1)
    for line, (name, problem) in zip(run.stderr.splitlines(), bad.items(), strict=True):
        assert line.startswith(f"predict_model.py: error: {name}: {problem}")
    assert [path for path, *_ in readings] == ["album/4/a ü.gif", "album/4/b.JPG"]


def test_more_images_than_are_read_at_a_time_or_shown(album):
    digits = draw_digits(501, seed=8)[0]
    paths = [str(album / f"{'long' * 9}_{number:03}.png") for number in range(501)]
    for path, digit in zip(paths, digits):
        Image.fromarray(digit).save(path)
    _, figures, lines = read(album, *paths)
    assert [line[0] for line in lines] == paths
    figure = figures["Your own digits"]
    assert figure.get_suptitle() == "100 of 501 images, as given and as the network saw them"
    assert len(figure.axes) == 200 and figure.axes[0].get_gridspec().ncols == 20
    cells = [(axis.get_title(), axis.images[0].get_array()) for axis in figure.axes]
    for number, digit in enumerate(digits[:100]):
        given, seen = cells[2 * number : 2 * number + 2]
        assert given[0] == f"onglong_{number:03}.png" and np.array_equal(given[1], digit)
        picture = read_digit(Image.fromarray(digit))
        assert seen[0] == "4 (70.0%)" and np.array_equal(seen[1], picture)
