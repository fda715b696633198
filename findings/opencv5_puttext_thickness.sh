#!/usr/bin/env bash
# The digits of OpenCV 5's putText have two widths of stroke, whatever `thickness` says.
#
# One would guess: `thickness` is the width of a stroke in pixels, "thickness of the lines used to
#   draw a text", as the help of both versions says: from 1 to 8 a digit gets more and more ink.
# Seen: in OpenCV 4.13 it does, with a new picture at each thickness. In OpenCV 5.0 there are two
#   pictures of each of the eight fonts, one at 1 and one, bold, from 2 on; getTextSize agrees. The
#   fonts are TrueType now, and a 0 has a stroke across, which none of the Hershey fonts had.
# Versions: opencv-python-headless 5.0.0.93, and 4.13.0.92 as a witness, numpy 2.4.6; Python 3.11,
#   Linux x86-64.
# For who reads digits: putText is the usual way to make digits to train or test on, with
#   `thickness` as the pen. After the update pens of 2 to 8 pixels are one and the same, and no zero
#   is plain any more. cv2.dilate still makes a wider pen.
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

PENS = 1, 2, 3, 5, 8
FONTS = "SIMPLEX", "PLAIN", "DUPLEX", "COMPLEX", "TRIPLEX", "COMPLEX_SMALL"
FONTS += "SCRIPT_SIMPLEX", "SCRIPT_COMPLEX"


def zero(font, pen):
    canvas = np.zeros((120, 120), np.uint8)
    cv2.putText(canvas, "0", (20, 90), getattr(cv2, f"FONT_HERSHEY_{font}"), 3, 255, pen)
    x, y, width, height = cv2.boundingRect(canvas)
    return canvas[y : y + height, x : x + width] > 127


pictures, grows, slashed = {}, {}, {}
for font in FONTS:
    zeros = [zero(font, pen) for pen in PENS]
    ink = [int(it.sum()) for it in zeros]
    middle = zeros[0][len(zeros[0]) // 2]  # without a slash: ink, hole, ink
    pictures[font], grows[font] = len({it.tobytes() for it in zeros}), ink == sorted(set(ink))
    slashed[font] = bool(middle[len(middle) // 3 : -(len(middle) // 3)].any())
    print(f"{font}: pixels of ink with pens {PENS}: {ink}, a stroke across: {slashed[font]}")
is_new = cv2.__version__.startswith("5")
seen = set(pictures.values()), set(grows.values()), set(slashed.values())
if seen != (({2}, {False}, {True}) if is_new else ({5}, {True}, {False})):
    sys.exit("this behaviour has changed")
PYTHON
done
