#!/usr/bin/env bash
# pypdf and pypdfium2 take a scanned page of 16-bit grey out of a PDF as bytes: half a page, torn.
#
# One would guess: a page that was scanned at 16 bits of grey and put into a PDF by img2pdf, which
#   keeps every pixel as it was, is taken out again with the same picture, in 16 bits or in 8.
# Seen: at 8 bits all four readers give the page. At 16 bits pikepdf and pypdfium2's `get_bitmap`
#   do, but pypdf's `page.images` and pypdfium2's `extract` give an image of 8 bits and the right
#   size whose pixels are the file's bytes, the high and the low one by turns. Each row of the page
#   fills two rows, its left half above its right half, and the lower half of the page is missing.
#   Nothing is said.
# Versions: pypdf 7.1.1, pypdfium2 5.15.2, pikepdf 10.18.0, img2pdf 0.6.3, pypng 0.20220715.0,
#   Pillow 13.0.0, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: size and mode look right, and what is ink lies elsewhere, under stripes of
#   low bytes that are as good as noise: a finder of digits finds marks that nobody wrote, and none
#   of the lower half. Take the page by pikepdf, or render it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pypdf==7.1.1 pypdfium2==5.15.2 pikepdf==10.18.0 \
    img2pdf==0.6.3 pypng==0.20220715.0 pillow==13.0.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import io
import sys

import img2pdf
import numpy as np
import pikepdf
import png
import pypdf
import pypdfium2
from PIL import Image


def by_pikepdf(path):
    with pikepdf.open(path) as pdf:
        (image,) = pdf.pages[0].get_images().values()
        return pikepdf.PdfImage(image).as_pil_image()


def by_pypdfium2(path, extract):
    pdf = pypdfium2.PdfDocument(path)
    (image,) = pdf[0].get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE])
    if not extract:
        return image.get_bitmap().to_pil().convert("L")
    file = io.BytesIO()
    image.extract(file)
    return Image.open(file)


READERS = {
    "pikepdf": by_pikepdf,
    "pypdfium2, get_bitmap": lambda path: by_pypdfium2(path, extract=False),
    "pypdfium2, extract": lambda path: by_pypdfium2(path, extract=True),
    "pypdf": lambda path: pypdf.PdfReader(path).pages[0].images[0].image,
}
WIDTH, HEIGHT = 120, 160
page = np.full((HEIGHT, WIDTH), 60000, np.uint16)
page[20:60, 20:26] = 26000  # a 1 above, on the left
page[100:140, 90:96] = 26000  # another below, on the right
high_bytes = (page >> 8).astype(int)
torn = np.frombuffer(page.astype(">u2").tobytes(), np.uint8)[: page.size].reshape(page.shape)
right, as_bytes = set(), set()
for bits in (8, 16):
    pixels = page >> (16 - bits)
    scan = io.BytesIO()
    png.Writer(WIDTH, HEIGHT, greyscale=True, bitdepth=bits).write(scan, pixels.tolist())
    with open("page.pdf", "wb") as file:
        file.write(img2pdf.convert(scan.getvalue()))
    for name, read in READERS.items():
        image = read("page.pdf")
        values = np.asarray(image).astype(int)
        if image.mode == "I;16":
            values >>= 8
        if values.shape == page.shape and np.abs(values - high_bytes).max() <= 1:
            right.add((name, bits))
            result = "the page"
        elif np.array_equal(values, torn):
            as_bytes.add((name, bits))
            result = "the bytes of its upper half"
        else:
            result = "something else"
        print(f"{bits} bits, {name}: {image.mode} {image.size}, {result}")
torn_readers = {("pypdf", 16), ("pypdfium2, extract", 16)}
if as_bytes != torn_readers or len(right) != 2 * len(READERS) - len(torn_readers):
    sys.exit("this behaviour has changed")
PYTHON
