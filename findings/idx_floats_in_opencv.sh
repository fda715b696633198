#!/usr/bin/env bash
# OpenCV turns the digits of an IDX file, read by idx2numpy, to noise or nothing.
#
# One would guess: idx2numpy gives ordinary arrays, which cv2.resize enlarges like any other, as
#   NumPy and Pillow take them; or OpenCV refuses their type.
# Seen: IDX, MNIST's own format, stores numbers with the high byte first, and idx2numpy leaves them
#   so (dtypes >f4, >i2). OpenCV takes the bytes as its own order without a word: enlarged, a digit
#   of floats from 0 to 1 has a maximum of 5e-41, one of 16-bit integers from 0 to 255 of -256.
#   cv2.minMaxLoc is wrong as well. uint8, a single byte, is right, which hides it.
# Versions: idx2numpy 1.2.3, opencv-python-headless 5.0.0.93, Pillow 13.0.0, numpy 2.4.6;
#   Python 3.11, Linux x86-64.
# For who reads digits: code that was tried on MNIST's bytes gets black pictures from a data set
#   that keeps its digits scaled from 0 to 1. `array.astype(array.dtype.newbyteorder("="))` helps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet idx2numpy==1.2.3 opencv-python-headless==5.0.0.93 \
    pillow==13.0.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import cv2
import idx2numpy
import numpy as np
from PIL import Image

one = np.zeros((28, 28))
one[4:24, 12:16] = 1
seen = {}
for stored in (np.uint8(255 * one), np.int16(255 * one), np.float32(one)):
    idx2numpy.convert_to_file("digits.idx", stored[np.newaxis])
    (digit,) = idx2numpy.convert_from_file("digits.idx")
    right = cv2.resize(stored, (56, 56), interpolation=cv2.INTER_NEAREST)
    enlarged = cv2.resize(digit, (56, 56), interpolation=cv2.INTER_NEAREST)
    by_pillow = np.asarray(Image.fromarray(digit).resize((56, 56), Image.NEAREST))
    print(f"{digit.dtype.str}: largest value stored {digit.max():g}, seen by OpenCV"
          f" {cv2.minMaxLoc(digit)[1]:g}, enlarged {enlarged[28, 28]:g},"
          f" by Pillow {by_pillow[28, 28]:g}")
    by_numpy = digit.repeat(2, 0).repeat(2, 1)
    seen[digit.dtype.str] = [np.array_equal(by, right) for by in (by_numpy, enlarged, by_pillow)]
if seen != {"|u1": [True, True, True], ">i2": [True, False, True], ">f4": [True, False, True]}:
    sys.exit("this behaviour has changed")
PYTHON
