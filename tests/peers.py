"""Print how many pictures of each set in ../shared programs read right, as a Markdown table.

    python tests/peers.py --model digit_classifier.keras

Beside this project: the usual way to use its network, and Tesseract and RapidOCR, where pytesseract
and rapidocr are installed. All read as_image's picture on white; only digits are compared.
"""

import argparse
from importlib.metadata import version
from importlib.util import find_spec

import people
from people import Path, np, predict_model, train_model
from PIL import Image


def main():
    """Print a row for each program as soon as it is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", metavar="FILE", default=train_model.MODEL_FILE)
    model = predict_model.load_model(parser.parse_args().model)
    sets = {it: list(pictures(it)) for it in ("own-digits", "more-digits", "numbers", "cases")}
    print("| program", *sets, sep=" | ", end=" |\n|---|---|---|---|---|\n")
    for program, reader in programs(model):
        cells = []
        for those in sets.values():
            digits = ["".join(filter(str.isdecimal, "".join(reader(*it) or ""))) for it in those]
            right = sum(read == number for read, (_, number) in zip(digits, those))
            cells.append(f"{right} of {len(those)}")
        print(f"| {program}", *cells, sep=" | ", end=" |\n", flush=True)


def pictures(name):
    """Yield image and digits of each picture that has digits, but for arrays and several pages."""
    for _, number, path in people.pictures(name):
        if number and isinstance(path, Path) and not path.name.endswith("pages.tif"):
            image, _ = predict_model.as_image(path)
            white = Image.new("RGBA", image.size, "white")
            yield Image.alpha_composite(white, image).convert("RGB"), number.replace(" ", "")


def programs(model):
    """Yield each program and its reader, of an image; it may know how long the number is."""

    def usual(image, number):
        grey = np.array(image.convert("L").resize((28, 28)))[np.newaxis]
        return str(train_model.predict(model, 255 - grey if grey.mean() > 127 else grey).argmax())

    yield "this project", lambda image, _: people.read(model, image)[0]
    yield "grey, inverted if light, 28x28", usual
    if find_spec("pytesseract"):
        from pytesseract import get_tesseract_version, image_to_string

        name = f"Tesseract {get_tesseract_version()}, digits only, psm 10 for one, 6 for more"
        modes = [f"--psm {mode} -c tessedit_char_whitelist=0123456789" for mode in (6, 10)]
        yield name, lambda image, number: image_to_string(image, config=modes[len(number) == 1])
    if find_spec("rapidocr"):
        from rapidocr import RapidOCR

        read, name = RapidOCR(params={"Global.use_cls": False}), f"RapidOCR {version('rapidocr')}"
        yield f"{name}, as one line", lambda image, _: read(image, use_det=False).txts
        yield f"{name}, with its finder", lambda image, _: read(image, use_det=True).txts


if __name__ == "__main__":
    main()
