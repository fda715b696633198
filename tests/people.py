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


def pictures(name):
    """Yield (kind, what is to be read, file) of each picture in a set."""
    with open(SHARED / name / "labels.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            number = row.get("digits") or row.get("label") or ""
            if number or name != "numbers":
                yield row["kind"], number, SHARED / name / row["file"]


def small_pictures():
    """Yield the same of the digits of 10x10 pixels, as they are and enlarged."""
    with np.load(SHARED / "uci-digits.npz") as arrays:
        for ink, label in zip(arrays["x"], arrays["y"], strict=True):
            image = Image.fromarray(np.uint8(255 - np.minimum(ink, 16) * 15.9375))
            rim = Image.new("L", (10, 10), 255)
            rim.paste(image, (1, 1))
            yield "10x10", str(label), rim
            yield "enlarged", str(label), rim.resize((100, 100), Image.Resampling.BICUBIC)


def read(model, picture):
    """Return the number that is read, "" where there is none, and its least confidence."""
    try:
        readings = predict_model.predict_digits(model, picture)
    except train_model.InputError:
        return "", 0.0
    return predict_model.describe(readings)[0], min(reading.confidence for reading in readings)


def main():
    """Print a line for each kind and each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    parser.add_argument("--wrong", action="store_true", help="name what is misread")
    arguments = parser.parse_args()
    model = predict_model.load_model(arguments.model)
    sets = {name: pictures(name) for name in ("own-digits", "more-digits", "numbers", "no-digit")}
    for name, members in (sets | {"uci-digits": small_pictures()}).items():
        right, confident = collections.defaultdict(list), 0
        for kind, expected, picture in members:
            number, confidence = read(model, picture)
            right["all"].append(number == expected)
            right[kind].append(number == expected)
            if number != expected:
                confident += int(confidence > predict_model.CERTAIN)
                if arguments.wrong:
                    print(f"{picture}: {expected!r} is read as {number!r} ({confidence:.1%})")
        for kind, results in sorted(right.items()):
            print(f"{name:<12} {kind:<14} {np.mean(results):8.2%} of {len(results)}")
        print(f"{name:<12} wrong with more than 80% confidence: {confident}")


if __name__ == "__main__":
    main()
