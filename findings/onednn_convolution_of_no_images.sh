#!/usr/bin/env bash
# TensorFlow's convolution of no images has the shape of its input, so that Keras fails on them.
#
# One would guess: no images in, no predictions out. A 5 x 5 convolution with 32 filters makes of
#   (0, 28, 28, 1) an empty (0, 24, 24, 32), and Keras's `predict_on_batch` an empty (0, 10).
# Seen: with oneDNN, TensorFlow's default on many x86 processors, tf.nn.conv2d gives (0, 28, 28, 1),
#   the input's shape. A network of two convolutions then raises "input depth must be evenly
#   divisible by filter depth: 1 vs 32" in `predict_on_batch`, and if it is called directly, that
#   its last layer got (0, 1568), not 512 numbers an image; three images before do not help. Without
#   oneDNN both give (0, 10), and so does `predict_on_batch` after compile(jit_compile=True).
# Versions: tensorflow 2.21.0, keras 3.15.1, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: a reader finds the digits on a page and hands them to the network in one
#   batch. A blank page is a batch of none, and the error speaks of the network's depth, as if it
#   were built wrongly. Ask `if len(images)` before, or set TF_ENABLE_ONEDNN_OPTS=0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet tensorflow==2.21.0 keras==3.15.1 numpy==2.4.6
cd "$folder"
cat > no_images.py <<'PYTHON'
import os
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

no_images = np.zeros((0, 28, 28, 1), np.float32)
network = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ]
)
compiled = keras.models.clone_model(network)
compiled.compile(jit_compile=True)
filters = np.ones((5, 5, 1, 32), np.float32)
seen = []
for name, predict in (
    ("tf.nn.conv2d", lambda images: tf.nn.conv2d(images, filters, 1, "VALID")),
    ("predict_on_batch", network.predict_on_batch),
    ("network(...)", network),
    ("predict_on_batch, jit_compile=True", compiled.predict_on_batch),
):
    if predict(np.zeros((3, 28, 28, 1), np.float32)).shape[0] != 3:
        sys.exit("three images have not been read")
    try:
        result = tuple(predict(no_images).shape)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        message = str(error)
        result = next(
            (part for part in ("1 vs 32", "(0, 1568)") if part in message), message.splitlines()[0]
        )
    print(f"  {name}: {result}")
    seen.append(result)
expected = {
    "1": [(0, 28, 28, 1), "1 vs 32", "(0, 1568)", (0, 10)],
    "0": [(0, 24, 24, 32), (0, 10), (0, 10), (0, 10)],
}
if seen != expected[os.environ["TF_ENABLE_ONEDNN_OPTS"]]:
    sys.exit("this behaviour has changed")
PYTHON
for onednn in 1 0; do
    echo "TF_ENABLE_ONEDNN_OPTS=$onednn"
    CUDA_VISIBLE_DEVICES="" KERAS_BACKEND=tensorflow TF_ENABLE_ONEDNN_OPTS=$onednn \
        env/bin/python no_images.py 2>errors || { cat errors >&2; exit 1; }
done
