"""predict_model.py IMAGE...: reading the digits that people wrote themselves."""

import io

import numpy as np
import photographs
import pytest
from conftest import files_in, network_answering
from PIL import Image, ImageChops, ImageDraw
from test_predict_model import show

from predict_model import find_digit, open_image, read_digit, to_grey, with_visible_stroke
from train_model import InputError, cut, draw_digits, keras, resized

# Strokes on a square from 0 to 1.
FOUR = [[(0.55, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.65, 0.35), (0.65, 0.9)]]
FIVE = [[(0.35, 0.32), (0.35, 0.5), (0.6, 0.48), (0.63, 0.65), (0.55, 0.85), (0.35, 0.8)]]
BAR_OF_FIVE = [[(0.38, 0.08), (0.7, 0.07)]]
SPECKS = [(x, y, x + 3, y + 3) for x, y in [(5, 5), (190, 12), (98, 80), (12, 185), (193, 190)]]
HALF = [(15, 30, 22, 60), (15, 52, 40, 60)]  # of an open four
TWO_PARTS = [(5, 5, 15, 45), (25, 40, 35, 80)]


def draw(strokes, size=200, width=None, place=(0, 0), canvas=None, ink=0, ground=255, boxes=()):
    """Draw strokes with a pen, and full boxes, dark on light by default; answers a PIL image."""
    image = Image.new("L", canvas or (size, size), ground)
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = np.ravel(np.multiply(stroke, size) + place).tolist()
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


PLAIN, WHITE = draw(FOUR, 100), draw([], 100)
LIGHT, BLACK = ImageChops.invert(PLAIN), ImageChops.invert(WHITE)
INNER = draw([], 100, ink=255, ground=0, boxes=[(9, 9, 90, 90)])
SIDE_LIT = np.asarray(draw(FOUR, width=4, ink=255, ground=120)) * np.linspace(0.3, 1, 200)
NOISE = np.random.default_rng(0).normal(0, 25, (100, 100))
FOURS = {
    "light on dark": LIGHT,
    "16-bit": Image.fromarray(np.asarray(PLAIN).astype(np.uint16) * 200 + 3000),
    "not a number": Image.fromarray(np.where(np.asarray(PLAIN), np.float32(0.4), np.nan)),
    **{mode: PLAIN.convert(mode) for mode in ("1", "RGBA", "LA", "CMYK", "P", "YCbCr", "I")},
    "black ink only in alpha": Image.merge("LA", [BLACK, LIGHT]),
    "white ink only in alpha": Image.merge("LA", [WHITE, LIGHT]),
    "light, its clear rim dark": Image.merge("LA", [ImageChops.darker(PLAIN, INNER), INNER]),
    "in a corner of a photo": draw(FOUR, 150, place=(3700, 2700), canvas=(4000, 3000)),
    "one pixel wide in 4,000": draw(FOUR, 3900, width=1, canvas=(4000, 4000)),
    "thick stroke": draw(FOUR, width=34),
    "noise": Image.fromarray(np.uint8(np.clip(PLAIN + NOISE, 0, 255))).resize((200, 200)),
    "ink touches the border": draw(FOUR, place=(-37, 0), canvas=(163, 200)),
    "dark border": draw(FOUR, 60, None, (20, 9), (99, 90), boxes=[(84, 0, 99, 90), (0, 20, 8, 60)]),
    **{f"lit, {n}": Image.fromarray(np.uint8(SIDE_LIT)).resize((n, n)) for n in (90, 200)},
    "a blot far away": draw(FOUR, 40, canvas=(100, 90), boxes=[(85, 70, 90, 76)]),
    "another beside it": draw(FOUR, 70, canvas=(99, 90), boxes=[(75, 10, 85, 62)]),
    "below a desk": draw(FOUR, 99, None, (99, 280), (300, 400), boxes=[(0, 9, 300, 60)]),
    "above a line": draw(FOUR, 100, None, (100, 10), (300, 300), boxes=[(20, 250, 290, 258)]),
    "in a shadow": ImageChops.multiply(draw(FOUR), draw([], ink=140, boxes=[(0, 80, 200, 130)])),
}


def test_reads_the_same_digit():
    four, five = read_digit(PLAIN), read_digit(draw(FIVE + BAR_OF_FIVE))
    for name, image in FOURS.items():
        assert likeness(image, four) > 0.75 and likeness(image, five) < 0.6, name
        assert found(image)[1] == (name != "another beside it"), name
    assert likeness(draw(FIVE), five) < 0.8
    assert likeness(draw(FIVE + BAR_OF_FIVE, boxes=SPECKS), five) > 0.999
    for parts in ([*HALF, (48, 20, 52, 75)], [*HALF, (48, 20, 57, 75)], TWO_PARTS):
        picture, alone = found(draw([], 90, boxes=parts))
        assert alone and np.ptp(np.nonzero(picture)[1]) > 6


def test_lying_file_is_turned_and_large_one_reduced(tmp_path):
    upright, exif, path = draw(FIVE, 2400, canvas=(2800, 2400)), Image.Exif(), tmp_path / "a.jpg"
    exif[0x0112] = 6  # stored lying on its side
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    image = open_image(path)
    assert image.size == (700, 600) and to_grey(image).shape == (411, 480)
    assert likeness(image, read_digit(upright)) > 0.9
    assert likeness(upright, read_digit(Image.open(path))) > 0.9


def test_resized_averages_and_thin_strokes_are_widened():
    large = np.kron(np.uint8([[1, 2, 3], [4, 5, 6]]), np.uint8([[0, 10], [10, 20]]))
    assert resized(large, 0.5).tolist() == [[10, 20, 30], [40, 50, 60]]
    assert resized(large[:, :1], 0.1).shape == (2, 2)
    for width in (1, 5, 10, 19):  # pixels of a stroke 200 long, which 20 will be
        stroke = with_visible_stroke(np.full((200, width), 255, np.uint8))
        assert max(np.count_nonzero(stroke, axis=1)) / 4 == pytest.approx(2.3, abs=0.46)
    stroke = np.full((200, 20), 255, np.uint8)  # 1.83 wide
    assert with_visible_stroke(stroke) is stroke


def test_small_images_and_photographs_are_read():
    for size, small in {(60, 59): 1, (61, 60): 0, (150, 19): 1, (150, 20): 0}.items():
        blot = draw([], canvas=size, boxes=[(40, 5, 49, 14)])
        assert (likeness(blot, np.pad(np.ones((20, 20)), 4)) > 0.99) == small
    digits, random = draw_digits(200, seed=5)[0], np.random.default_rng(0)
    kinds = [kind for kind in photographs.KINDS if kind is not photographs.twelve_megapixels]
    taken = [Image.open(io.BytesIO(kind(random, digit))) for kind, digit in zip(kinds, digits)]
    for images, share, least in ((map(Image.fromarray, digits), 5, 0.99), (taken, 10, 0.75)):
        alike = [likeness(image, digit) for image, digit in zip(images, digits)]
        assert np.percentile(alike, share) > least and np.median(alike) > 0.88


def test_tight_crops_are_read():
    digits = draw_digits(60, seed=6)[0]
    inks = [np.kron(cut(digit), np.ones((12, 12), np.uint8)) for digit in digits]
    for margins in (((0, 0), (0, 0)), ((9, 9), (9, 9)), ((40, 40), (0, 0)), ((0, 0), (0, 40))):
        crops = [Image.fromarray(255 - np.pad(ink, margins)) for ink in inks]
        alike = [likeness(crop, digit) for crop, digit in zip(crops, digits)]
        assert np.mean(np.array(alike) > 0.75) > 0.8, margins


def test_blank_page_has_no_digit():
    random, kinds = np.random.default_rng(1), photographs.EMPTY_KINDS[::3]  # Each takes a second.
    blank = [Image.open(io.BytesIO(kind(random, photographs.BLANK))) for kind in kinds]
    blank += [Image.new("RGB", (200, 200), "navy"), Image.new("RGBA", (50, 50), (0, 0, 0, 0))]
    blank += [Image.fromarray(np.uint8(128 + NOISE[:size, :size])) for size in (1, 28, 100)]
    tiles = np.tile(np.pad(WHITE, 50)[::8, ::8], (4, 4))
    blank += [Image.fromarray(tiles), draw(FOUR, 90, ink=191, ground=200)]  # which is too pale
    assert [found(image)[1] for image in blank] == [None] * len(blank)


def test_several_digits_are_told_from_one():
    right = []
    for number, row in enumerate(draw_digits(30, seed=7)[0].reshape(10, 3, 28, 28)):
        row = row[: 1 + number % 3]
        sheet = Image.fromarray(255 - np.kron(np.hstack(row), np.ones((4, 4), np.uint8)))
        photograph = io.BytesIO(photographs.several(np.random.default_rng(number), row))
        for image in (sheet, Image.open(photograph)):
            right.append(found(image)[1] == (len(row) == 1))
    assert np.mean(right[::2]) >= 0.85 and np.mean(right[1::2]) >= 0.8


@pytest.fixture
def album(tmp_path):
    """A folder of images of many modes, with digits in folders named by digit, and a network."""
    folder = tmp_path / "album"
    for name, image in {"4/a ü.gif": PLAIN, "4/b.JPG": draw(FOUR, 300), "5/c.png": PLAIN,
                        "5/more/a.tif": FOURS["16-bit"]}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    network_answering([0.01, *[0.001] * 3, 0.79, 0.193, *[0.001] * 4], tmp_path / "a.keras")
    return folder


def read(album, *arguments, status=0):
    """Read images with the album's network; answers show's two, and the lines of the readings."""
    run, figures = show("--model", "a.keras", *arguments, cwd=album.parent, status=status)
    return run, figures, [line.split("\t") for line in run.stdout.splitlines() if "\t" in line]


def test_folder_is_read_in_order_and_scored(album):
    run, figures, lines = read(album, album, "--csv", "a.csv")
    expected = [str(album / name) for name in ("4/a ü.gif", "4/b.JPG", "5/c.png", "5/more/a.tif")]
    assert lines == [[path, "4", "79.0%", "uncertain, perhaps 5 (19.3%)"] for path in expected]
    assert figures["Your own digits"].axes[1].title.get_color() == "red"
    assert "accuracy             66.67% of 3 images\n" in run.stdout  # `more` is no digit.
    assert "\n           5     0.0000" in run.stdout
    (wrong,), *rest = (axis.images for axis in figures["Misclassified digits"].axes)
    assert np.array_equal(wrong.get_array(), read_digit(open_image(expected[2]))) and not any(rest)
    rows = (album.parent / "a.csv").read_text(encoding="utf-8").splitlines()
    numbers = "0.790000,0.010000" + 3 * ",0.001000" + ",0.790000,0.193000" + 4 * ",0.001000"
    assert rows[0] == "path,digit,confidence,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9"
    assert rows[1:] == [f"{path},4,{numbers}" for path in expected]
    names = {"own_digits.png", "own_misclassified.png", "own_confusion_matrix.png"}
    assert files_in(album.parent / "plots").keys() == names
    (album / "labels.csv").write_text("\ufefffile,label\n5/c.png,5\n4/a ü.gif,4\n")
    run, figures, _ = read(album, "album", "album/4", "--labels", "album/labels.csv")
    assert "66.67% of 3 images\n" in run.stdout
    assert figures["Your own digits"].axes[0].get_gridspec().ncols == 8
    run, *_ = read(album, "album/4/b.JPG", "--labels", "album/labels.csv", status=1)
    assert run.stderr.endswith("labels.csv: names none of the images\n")


def test_bad_and_doubtful_images_are_named(album):
    folder = album.parent
    (folder / "cut.jpg").write_bytes((album / "4" / "b.JPG").read_bytes()[:-99])
    (folder / "empty").mkdir()
    WHITE.save(folder / "blank.png")
    Image.new("LAB", (99, 99)).save(folder / "lab.tif")
    odd = "\udcff$x_$.png"  # neither Unicode nor, for Matplotlib, mathematics
    draw(FOUR, canvas=(400, 200), boxes=[(250, 20, 266, 180)]).save(folder / odd)
    network_answering([0.1, 0.02, 0.01, 0.81, *[0.01] * 6], folder / "a.keras")
    bad = {"cut.jpg": "not an image that can be read (", "lab.tif": "conversion",
           "blank.png": "no digit found", "empty": "no such file, nor a folder with images"}
    run, figures, lines = read(album, *bad, "album/4", odd, "--csv", "a.csv", status=1)
    for line, (name, problem) in zip(run.stderr.splitlines(), bad.items(), strict=True):
        assert line.startswith(f"predict_model.py: error: {name}: {problem}")
    assert lines == [["album/4/a ü.gif", "3", "81.0%"], ["album/4/b.JPG", "3", "81.0%"],
                     ["\\udcff$x_$.png", "3", "81.0%", "uncertain, more than one digit?"]]
    colours = [axis.title.get_color() for axis in figures["Your own digits"].axes]
    assert colours == ["black"] * 5 + ["red"]


def test_more_images_than_are_read_at_a_time_or_shown(album, trained):
    digits = draw_digits(501, seed=8)[0]
    paths = [str(album / f"a long name {number:03}.png") for number in range(501)]
    for path, digit in zip(paths, digits):
        Image.fromarray(digit).save(path)
    _, figures, lines = read(album, "--model", trained[0], *paths)
    pictures = np.array([read_digit(Image.fromarray(digit)) for digit in digits])
    model = keras.saving.load_model(trained[0])
    probabilities = model.predict(pictures[..., np.newaxis] / 255, verbose=0)
    answers = [[str(row.argmax()), f"{row.max():.1%}"] for row in probabilities]
    assert [line[:3] for line in lines] == [[p, *answer] for p, answer in zip(paths, answers)]
    figure = figures["Your own digits"]
    assert figure.get_suptitle() == "100 of 501 images, as given and as the network saw them"
    titles = [axis.get_title() for axis in figure.axes]
    assert len(titles) == 200 and figure.axes[0].get_gridspec().ncols == 20
    assert titles[-2:] == ["ng name 099.png", "{} ({})".format(*answers[99])]
    shown = np.array([axis.images[0].get_array() for axis in figure.axes])
    assert np.array_equal([shown[::2], shown[1::2]], [digits[:100], pictures[:100]])
