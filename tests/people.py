"""Read the pictures that people made, and print how many are read right, by set and kind.

    python tests/people.py --model digit_classifier.keras

The sets lie in ../shared, which is not part of the project; `--wrong` names what is misread.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
sys.path.insert(0, str(PROJECT))
SETS = "own-digits", "more-digits", "numbers", "no-digit", "cases"

import predict_model
import train_model


def pictures(name):
    """Yield (kind, what is to be read, file or array) of each picture in a set."""
    with open(SHARED / name / "labels.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            number = row.get("digits") or row.get("label") or ""
            path = SHARED / name / row["file"]
            if number or name != "numbers":
                picture = np.load(path) if path.suffix == ".npy" else path
                yield row.get("kind", "case"), number, picture


def small_pictures():
    """Yield the same of the digits of 10x10 pixels, as they are and enlarged."""
    with np.load(SHARED / "uci-digits.npz") as arrays:
        for ink, label in zip(arrays["x"], arrays["y"]):
            image = Image.fromarray(np.uint8(255 - np.pad(np.minimum(ink, 16) * 15.9375, 1)))
            yield "10x10", str(label), image
            yield "enlarged", str(label), image.resize((100, 100), Image.Resampling.BICUBIC)


def read(model, picture):
    """Return the numbers that are read, of all pages, and what is doubtful, or why none is."""
    numbers, doubts = [], []
    paths = [str(picture)] if isinstance(picture, Path) else []
    for page in [page for _, _, page in predict_model.pages(paths)] or [None]:
        try:
            image = picture if page is None else predict_model.as_image(picture, page)[0]
            readings = predict_model.predict_digits(model, image)
            numbers.append(predict_model.describe(readings)[0])
            doubts += predict_model.list_doubts(readings)
        except train_model.InputError as error:
            doubts.append(str(error))
    return " ".join(numbers), doubts


def is_right(number, expected):
    """Tell whether a number was read; where one ends and the next begins is not judged."""
    return number.replace(" ", "") == expected.replace(" ", "")


def main():
    """Print a line for each kind and each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--wrong", action="store_true", help="name what is misread")
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    sets = {it: pictures(it) for it in SETS} | {"uci-digits": small_pictures()}
    for name, members in sets.items():
        results = []
        for kind, expected, picture in members:
            number, doubts = read(model, picture)
            results.append((kind, is_right(number, expected), bool(doubts), bool(number)))
            if arguments.wrong and not is_right(number, expected):
                print(f"{picture}: {expected!r} is read as {number!r}, doubts: {doubts}")
        kinds, right, doubted, is_read = map(np.array, zip(*results))
        for kind in ("all", *np.unique(kinds)):
            those = right[(kinds == kind) | (kind == "all")]
            print(f"{name:<12} {kind:<14} {those.mean():8.2%} of {len(those)}")
        sure, doubtful = sum(~right & ~doubted), sum(right & doubted & is_read)
        print(f"{name:<12} wrong without a doubt: {sure}; right with a doubt: {doubtful}")


if __name__ == "__main__":
    main()
