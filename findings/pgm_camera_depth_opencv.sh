#!/usr/bin/env bash
# OpenCV reads the white paper of a 10-bit camera's PGM as black: it does not use the stated white.
#
# One would guess: a PGM states the value of its white, as 1023 for a camera of 10 bits. Read by
#   `cv2.imread(path, cv2.IMREAD_GRAYSCALE)` white becomes 255, in the binary form (P5) as in the
#   text form (P2).
# Seen: of the binary form the stated white is not used: a white of 15 stays 15, and one of 1023 or
#   4095 (10 and 12 bits) loses its low byte and becomes 3 or 15. In the text form a white of 15
#   becomes 255, and those of 10 and 12 bits again 3 and 15. Pillow makes 255 of each.
# Versions: opencv-python-headless 5.0.0.93, Pillow 13.0.0, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: netpbm and programs for a camera's raw frames write such files. A page of
#   10 bits arrives with 4 levels of grey, all but black, and stretching the range brings none of
#   the lost levels back. Read it by Pillow, or with IMREAD_UNCHANGED and divide by its white.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

seen = {}
for white in (15, 255, 1023, 4095, 65535):
    page = np.full((20, 16), white)
    page[3:17, 7:10] = 0  # a 1
    text = "\n".join(" ".join(map(str, row)) for row in page)
    Path("text.pgm").write_text(f"P2\n16 20\n{white}\n{text}\n")
    binary = page.astype(np.uint8 if white < 256 else ">u2").tobytes()
    Path("binary.pgm").write_bytes(b"P5\n16 20\n%d\n" % white + binary)
    by_opencv = [cv2.imread(f"{form}.pgm", cv2.IMREAD_GRAYSCALE) for form in ("binary", "text")]
    by_pillow = np.asarray(Image.open("binary.pgm").convert("L"))
    seen[white] = [int(image[0, 0]) for image in (*by_opencv, by_pillow)]
    print(f"white {white}, by OpenCV: binary and text, by Pillow: binary", seen[white])
if seen != {
    15: [15, 255, 255],
    255: [255, 255, 255],
    1023: [3, 3, 255],
    4095: [15, 15, 255],
    65535: [255, 255, 255],
}:
    sys.exit("this behaviour has changed")
PYTHON
