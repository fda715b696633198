#!/usr/bin/env bash
# OpenCV 5's classic engine reads one image, then a batch: the first of it right, the rest wrong.
#
# One would guess: a network whose ONNX file leaves the number of images open takes one image and
#   then five, in OpenCV 5's new engine as in the one of OpenCV 4 (ENGINE_CLASSIC), or says no.
# Seen: the classic engine gives the probabilities of the first image and four rows of 0.1, as if
#   the others had no pixels, without an error. Five at once, without one before, are right, and so
#   is the new engine. The file takes the number of images from the input's shape, as Flatten does
#   in Keras's ONNX export. OpenCV 4.13.0.92 gave right rows. In both versions the classic engine's
#   result has an axis too many, (5, 1, 10), but for one image (1, 10), so that argmax(axis=1) of it
#   is 0 for every image.
# Versions: opencv-python-headless 5.0.0.93, onnx 1.23.2, numpy 2.4.6; Python 3.11, Linux x86-64.
# For who reads digits: one call to warm up, or a photo of one digit before one of five, and a Keras
#   network of MNIST reads all but the first of the five as 8, with a confidence of 11%.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnx==1.23.2 numpy==2.4.6
cd "$folder"
env/bin/python - <<'PYTHON'
import sys

import cv2
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

random = np.random.default_rng(0)
images = random.random((5, 1, 28, 28), np.float32)
weights = random.normal(0, 0.2, (784, 10)).astype(np.float32)
scores = np.exp(images.reshape(5, 784) @ weights)
right = scores / scores.sum(axis=1, keepdims=True)  # what ONNX's MatMul and Softmax stand for

node = helper.make_node
steps = [
    node("Shape", ["images"], ["shape"]),
    node("Slice", ["shape", "zero", "one"], ["count"]),
    node("Concat", ["count", "pixels"], ["flat_shape"], axis=0),
    node("Reshape", ["images", "flat_shape"], ["flat"]),
    node("MatMul", ["flat", "weights"], ["sums"]),
    node("Softmax", ["sums"], ["probabilities"]),
]
constants = {"weights": weights, "zero": [0], "one": [1], "pixels": [784]}
ends = [("images", ["n", 1, 28, 28]), ("probabilities", ["n", 10])]
inputs, outputs = [
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in ends
]
values = [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()]
graph = helper.make_graph(steps, "digits", inputs, outputs, values)
network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
checker.check_model(network, full_check=True)
save(network, "digits.onnx")

right_rows = {}
for engine in ("CLASSIC", "NEW"):
    for counts in ((5,), (1, 5)):
        net = cv2.dnn.readNetFromONNX("digits.onnx", getattr(cv2.dnn, f"ENGINE_{engine}"))
        for count in counts:
            net.setInput(images[:count])
            result = net.forward()
        rows = np.isclose(result.reshape(-1, 10), right, atol=1e-4).all(axis=1).tolist()
        print(f"{engine}, {counts} images: {result.shape}, rows right: {rows}")
        right_rows[engine, counts] = rows
wrong = {key: rows for key, rows in right_rows.items() if not all(rows)}
if wrong != {("CLASSIC", (1, 5)): [True, False, False, False, False]}:
    sys.exit("this behaviour has changed")
PYTHON
