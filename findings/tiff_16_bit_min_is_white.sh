#!/usr/bin/env bash
# A 16-bit grey TIFF that counts from white comes inverted, and OpenCV has it both ways.
#
# One would guess: a TIFF says whether 0 is white (PhotometricInterpretation 0, of scanners and
#   faxes) or black (1). Readers that heed it at 8 bits heed it at 16, whatever the flag.
# Seen: at 8 bits Pillow and OpenCV show white paper, as they should. At 16 bits Pillow ("I;16")
#   and cv2.imread with IMREAD_UNCHANGED show black paper with white ink, without a word; the same
#   cv2.imread with IMREAD_GRAYSCALE shows white paper. libvips is right throughout.
# Versions: Pillow 13.0.0, opencv-python-headless 5.0.0.93, pyvips 3.2.0 with libvips 8.18.7 as a
#   witness, tifffile 2026.3.3 to write, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: a network that was trained on light ink sees the same scan as a negative,
#   depending on the depth that the scanner was set to, and on a flag that only speaks of depth. A
#   reader has to look which of the two is the ink; the file's mode and values do not tell.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet pillow==13.0.0 opencv-python-headless==5.0.0.93 \
    pyvips==3.2.0 pyvips-binary==8.18.7 tifffile==2026.3.3 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import cv2
import numpy as np
import pyvips
import tifffile
from PIL import Image

READERS = {
    "Pillow": lambda path: np.asarray(Image.open(path)),
    "OpenCV, unchanged": lambda path: cv2.imread(path, cv2.IMREAD_UNCHANGED),
    "OpenCV, grey": lambda path: cv2.imread(path, cv2.IMREAD_GRAYSCALE),
    "libvips": lambda path: pyvips.Image.new_from_file(path).numpy(),
}
paper_is_white = {}
for bits in (8, 16):
    from_white = np.zeros((20, 16), f"uint{bits}")  # white paper: 0 is white
    from_white[3:17, 7:10] = 2**bits - 1  # a 1 in black ink
    tifffile.imwrite("one.tif", from_white, photometric="miniswhite")
    for name, read in READERS.items():
        image = read("one.tif")
        paper_is_white[name, bits] = bool(image[0, 0] > image[10, 8])
        print(f"{bits} bits, {name}: paper {image[0, 0]}, ink {image[10, 8]}")
inverted = {key for key, is_white in paper_is_white.items() if not is_white}
if inverted != {("Pillow", 16), ("OpenCV, unchanged", 16)}:
    sys.exit("this behaviour has changed")
PYTHON
