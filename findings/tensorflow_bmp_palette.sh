#!/usr/bin/env bash
# TensorFlow reads a BMP with a palette without the palette: a digit on white paper comes all black.
#
# One would guess: Keras's image_dataset_from_directory takes .bmp files, as its help says, and
#   gives their colours: white paper is 255 and ink is 0, at 24 bits a pixel as at 8.
# Seen: at 24 bits it is so, and at 8 bits if the palette is the 256 greys in order, which hides it.
#   With any other palette the pixels are the numbers of the palette's entries: paper 0, ink 1.
#   tf.io.decode_bmp does so, and nothing is said. Pillow reads all three alike.
# Versions: tensorflow 2.21.0, keras 3.15.1, Pillow 13.0.0, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: paint programs offer BMP, and few colours make an 8-bit one. Tried on a
#   folder of digits that were drawn in black on white, a network is trained on pictures whose
#   brightness goes from 0 to 1 of 255. Convert them by Pillow, to RGB, before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet tensorflow==2.21.0 keras==3.15.1 pillow==13.0.0 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON' 2>errors || { cat errors >&2; exit 1; }
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

one = Image.new("RGB", (28, 28), "white")
ImageDraw.Draw(one).line((14, 4, 14, 23), "black", 3)
files = {"24 bits": one, "256 greys": one.convert("L"), "palette of 2": one.quantize(2)}
seen = {}
for name, image in files.items():
    path = Path(name, "1", "one.bmp")
    path.parent.mkdir(parents=True)
    image.save(path)
    data = keras.utils.image_dataset_from_directory(name, image_size=(28, 28), verbose=False)
    pictures, _ = next(iter(data))
    by_keras, by_pillow = pictures[0].numpy(), np.asarray(Image.open(path).convert("RGB"))
    seen[name] = [[int(it[0, 0, 0]), int(it[14, 14, 0])] for it in (by_keras, by_pillow)]
    print(f"{name}: paper and ink by Keras {seen[name][0]}, by Pillow {seen[name][1]}")
right = [255, 0]
if seen != {name: [[0, 1] if name == "palette of 2" else right, right] for name in files}:
    sys.exit("this behaviour has changed")
PYTHON
