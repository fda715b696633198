#!/usr/bin/env bash
# Pillow forgets the transparent colour of a grey PNG of 2 or 4 bits.
#
# One would guess: a PNG may name one grey as transparent (its tRNS chunk). The same digit at 1, 2,
#   4, 8 and 16 bits, its ground named so, has the same alpha channel after `convert("RGBA")`.
# Seen: at 1, 8 and 16 bits the ground has alpha 0. At 2 and 4 bits it has 255: Pillow scales the
#   pixels up to 8 bits, but not the grey that is named, so no pixel equals it any more. Nothing is
#   said. pypng, which also wrote the files, reads all five alike.
# Versions: Pillow 13.0.0, pypng 0.20220715.0; Python 3.11, Linux x86-64.
# For who reads digits: drawing apps export ink on a transparent ground, and PNG optimizers turn
#   few greys into 2 or 4 bits. Who takes the ink from alpha gets a sheet that is full of it, and
#   who lays the digit on paper of his own gets a slab in the colour of the ground.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pillow==13.0.0 pypng==0.20220715.0
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import png
from PIL import Image

BITS = 1, 2, 4, 8, 16
GROUND, INK = (0, 0), (6, 10)  # a place on the ground, and one on the stroke of a 1


def alpha_by_pillow(path):
    image = Image.open(path).convert("RGBA")
    return image.getpixel(GROUND)[3], image.getpixel(INK)[3]


def alpha_by_pypng(path):
    _, _, rows, info = png.Reader(path).asRGBA()
    alpha = [[value * 255 // (2 ** info["bitdepth"] - 1) for value in row[3::4]] for row in rows]
    return alpha[GROUND[1]][GROUND[0]], alpha[INK[1]][INK[0]]


pillow, pypng = {}, {}
for bits in BITS:
    white = 2**bits - 1
    rows = [[0 if 5 <= x < 8 and 3 <= y < 17 else white for x in range(13)] for y in range(20)]
    with open("one.png", "wb") as file:
        png.Writer(13, 20, greyscale=True, bitdepth=bits, transparent=white).write(file, rows)
    pillow[bits], pypng[bits] = alpha_by_pillow("one.png"), alpha_by_pypng("one.png")
print("alpha of ground and ink, by bits\npillow", pillow, "\npypng ", pypng)
seen = {1: (0, 255), 2: (255, 255), 4: (255, 255), 8: (0, 255), 16: (0, 255)}
if pypng != dict.fromkeys(BITS, (0, 255)) or pillow != seen:
    sys.exit("this behaviour has changed")
PYTHON
