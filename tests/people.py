"""Read the pictures that people made, and print how many are read right, by set and kind.

    python tests/people.py --model digit_classifier.keras

The sets lie in ../shared, which is not part of the project; `--wrong` names what is misread.
"""

import argparse
import collections
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
sys.path.insert(0, str(PROJECT))

import predict_model
import train_model


def labelled(name):
    """Return pairs of a file and its row in labels.csv, of a set of pictures."""
    with open(SHARED / name / "labels.csv", encoding="utf-8") as file:
        return [(SHARED / name / row["file"], row) for row in csv.DictReader(file)]


def pictures():
    """Yield (set, kind, what is to be read, the picture) of all sets."""
    for name in ("own-digits", "more-digits"):
        for path, row in labelled(name):
            yield name, row["kind"], row["label"], path
    for path, row in labelled("numbers"):
        if row["digits"]:
            yield "numbers", row["kind"], row["digits"], path
    for path, row in labelled("no-digit"):
        yield "no-digit", row["kind"], "", path
    with np.load(SHARED / "uci-digits.npz") as arrays:
        for ink, label in zip(arrays["x"], arrays["y"], strict=True):
            image = Image.fromarray(np.uint8(255 - np.minimum(ink, 16) * 15.9375))
            rim = Image.new("L", (10, 10), 255)
            rim.paste(image, (1, 1))
            yield "uci-digits", "10x10", str(label), rim
            large = rim.resize((100, 100), Image.Resampling.BICUBIC)
            yield "uci-digits", "enlarged", str(label), large


def read(model, picture):
    """Return the number that is read, "" where there is none, and its least confidence."""
    try:
        readings = predict_model.predict_digits(model, picture)
    except train_model.InputError:
        return "", 0.0
    confidence = min(reading.probabilities.max() for reading in readings)
    return predict_model.describe(readings)[0], float(confidence)


def main():
    """Print a line for each kind and each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--wrong", action="store_true", help="name what is misread")
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    right = collections.defaultdict(list)
    confident = collections.Counter()
    for name, kind, expected, picture in pictures():
        number, confidence = read(model, picture)
        right[name, "all"].append(number == expected)
        right[name, kind].append(number == expected)
        if number != expected:
            confident[name] += int(confidence > predict_model.CERTAIN)
            if arguments.wrong:
                title = getattr(picture, "name", "")
                print(f"{name} {title}: {expected!r} is read as {number!r} ({confidence:.1%})")
    for (name, kind), results in sorted(right.items()):
        print(f"{name:<12} {kind:<14} {np.mean(results):8.2%} of {len(results)}")
    for name, count in sorted(confident.items()):
        print(f"{name:<12} wrong with more than 80% confidence: {count}")


if __name__ == "__main__":
    main()
