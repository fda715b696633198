#!/usr/bin/env bash
# doxapy binarizes a transposed digit as if it had not been transposed.
#
# One would guess: Doxa's binarization of `digit.T` is that of `digit`, transposed, as every NumPy
#   function has it; or it says that it wants a contiguous array.
# Seen: for a square digit, by Otsu and by Sauvola, it is that of `digit` itself: a 7 that was put
#   upright comes out lying again. Doxa reads the memory in rows, whatever the strides of the
#   array say, and writes its result so as well. Only np.ascontiguousarray(digit.T) is right.
# Versions: doxapy 0.9.2, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: EMNIST's images are stored transposed, so that `.T` is the usual way to put
#   them upright, and Doxa is there to bring out ink on stained paper. Nothing looks broken: the
#   digits are sharp, and read wrongly.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet doxapy==0.9.2 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import doxapy
import numpy as np


def binarized(image, algorithm):
    result = np.zeros(image.shape, np.uint8)
    binarization = doxapy.Binarization(algorithm)
    binarization.initialize(image)
    binarization.to_binary(result, {"window": 15, "k": 0.2})
    return result


seven = np.full((28, 28), 220, np.uint8)
seven[4:7, 6:22] = 30  # the bar
for row in range(7, 24):
    column = 20 - row // 2
    seven[row, column : column + 3] = 30
stored = np.ascontiguousarray(seven.T)  # as EMNIST has it

changed = False
for name in ("OTSU", "SAUVOLA"):
    algorithm = getattr(doxapy.Binarization.Algorithms, name)
    upright = binarized(seven, algorithm)
    lying = binarized(stored, algorithm)
    from_view = binarized(stored.T, algorithm)
    from_copy = binarized(np.ascontiguousarray(stored.T), algorithm)
    is_ink = np.array_equal(upright == 0, seven < 128)
    print(f"{name}: the ink is found: {is_ink}; `stored.T` comes out lying:"
          f" {np.array_equal(from_view, lying)}, upright: {np.array_equal(from_view, upright)}")
    sound = is_ink and np.array_equal(from_copy, upright) and not np.array_equal(lying, upright)
    changed |= not sound or not np.array_equal(from_view, lying)
if changed:
    sys.exit("this behaviour has changed")
PYTHON
