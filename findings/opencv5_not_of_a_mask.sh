#!/usr/bin/env bash
# OpenCV 5's bitwise_not of a mask of bools is True everywhere: paper and ink are both "not ink".
#
# One would guess: OpenCV 5 takes NumPy's bools as they are, which OpenCV 4 refused, so the negative
#   of a mask, `cv2.bitwise_not(grey < 128)`, is `~(grey < 128)`; or it says no.
# Seen: it is True at every pixel. bitwise_not turns all eight bits of each byte, 0 to 255 and 1 to
#   254, and hands both back as bools; counted by OpenCV or NumPy, both are True. bitwise_and, _or
#   and _xor are right, and so is a uint8 mask of 0 and 255. OpenCV 4.13.0.92 refuses bools in all
#   four: "data type = bool is not supported".
# Versions: opencv-python-headless 5.0.0.93, and 4.13.0.92 as a witness, numpy 2.4.6; Python 3.11,
#   Linux x86-64.
# For who reads digits: dark ink has to be turned light for a network of MNIST, and bitwise_not is
#   the usual way. Without `astype("uint8") * 255`, which OpenCV 5 no longer asks for, a dark 1
#   becomes a full square, with no error. NumPy's `~mask` or bitwise_xor(mask, True) is right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.13.0.92 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet "opencv-python-headless==$version" numpy==2.4.6
    echo "opencv-python-headless $version"
    "$folder/$version/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

grey = np.full((28, 28), 230, np.uint8)
grey[4:24, 12:15] = 40  # a 1 of 60 pixels in dark ink
paper = grey > 128
as_bytes = paper.astype(np.uint8) * 255
is_version_5 = cv2.__version__.startswith("5.")
calls = {
    "bitwise_not": (lambda: cv2.bitwise_not(paper), ~paper),
    "bitwise_and": (lambda: cv2.bitwise_and(paper, ~paper), paper & ~paper),
    "bitwise_or": (lambda: cv2.bitwise_or(paper, ~paper), paper | ~paper),
    "bitwise_xor": (lambda: cv2.bitwise_xor(paper, True), paper ^ True),
    "bitwise_not of uint8": (lambda: cv2.bitwise_not(as_bytes), ~paper),
}
wrong, refused = set(), set()
for name, (call, expected) in calls.items():
    try:
        result = call()
    except cv2.error as error:
        if "bool is not supported" not in str(error):
            raise
        refused.add(name)
        print(f"  {name}: refused")
        continue
    counts = (cv2.countNonZero(result), int(np.where(result, 1, 0).sum()))
    print(f"  {name}: {result.dtype}, {counts} True by OpenCV and NumPy, guess {expected.sum()}")
    if counts != (expected.sum(), expected.sum()):
        wrong.add(name)
if is_version_5:
    seen_as_before = not refused and wrong == {"bitwise_not"}
    seen_as_before &= bool(cv2.bitwise_not(paper).all())
else:
    seen_as_before = not wrong and refused == set(calls) - {"bitwise_not of uint8"}
if not seen_as_before:
    sys.exit("this behaviour has changed")
PYTHON
done
