"""Measure an epoch of training, or the time and memory of what users run.

    python tests/benchmark.py --data mnist.npz
    python tests/benchmark.py --data mnist.npz --against ../another_checkout

The first trains the same network here and, if it is installed, in PyTorch, in turn, on MNIST in
batches of 256; printed is the median time of an epoch without its validation. `--float32`, with
ONEDNN_MAX_CPU_ISA=AVX2 in the environment, shows a processor without bfloat16. The second runs the
commands below by both checkouts, in turn; printed are medians and ratios of time and peak memory.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from people import PROJECT, Image, np, train_model

from train_model import keras

COMMANDS = [  # of two checkouts, as arguments of Python
    "PROJECT/train_model.py --data DATA",
    "PROJECT/predict_model.py --data DATA",
    "PROJECT/predict_model.py images",
    "PROJECT/predict_model.py photos",
    "PROJECT/predict_model.py images/0.png",
    "-c 'import cv2, keras, matplotlib.pyplot, pi_heif, tensorflow'",
]


def make_clock(seconds):
    """Make a callback that adds the seconds of each epoch, without its validation, to a list."""
    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: seconds.append(-time.perf_counter()),
        on_test_begin=lambda *_: seconds.append(seconds.pop() + time.perf_counter()),
    )


def train_here(images, labels, seconds):
    """Train by the recipe, but for the synthetic digits."""
    sets = train_model.split(images, labels, 0.2)
    train_model.train(train_model.build_model(), *sets, callbacks=[make_clock(seconds)])


def train_in_pytorch(images, labels, seconds):
    """Train the same network in PyTorch on as many images, not validated."""
    import torch
    from torch import nn

    layers = []
    for inputs in (1, 32):
        layers += [nn.Conv2d(inputs, 32, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters())
    bfloat16 = train_model.fastest_policy() == "mixed_bfloat16"
    count = round(0.8 * len(images))
    inputs = torch.tensor(images[:count, np.newaxis] / np.float32(255))
    wanted = torch.tensor(labels[:count]).long()
    for _ in range(train_model.RECIPE["epochs"]):
        start = time.perf_counter()
        for batch in torch.randperm(count).split(256):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = model(inputs[batch].contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - start)


def compare_frameworks(data, rounds):
    """Train here, and in PyTorch if it is installed, in turn; print the medians."""
    images, labels, _ = train_model.load_digits(data, "train")
    ways = [train_here, train_in_pytorch] if find_spec("torch") else [train_here]
    epochs = {train: [] for train in ways}
    for _ in range(rounds):
        for train in ways:
            train(images, labels, seconds := [])
            epochs[train] += seconds[1:]  # The first one pays for building the graph.
    for train in ways:
        print(f"{train.__name__}: {np.median(epochs[train]):.2f} s an epoch")


def make_pictures(data, folder):
    """Save 10,000 images of 28x28 pixels, and 50 photos of 12 million with five digits."""
    images = 255 - train_model.load_digits(data, "test")[0]
    (folder / "images").mkdir()
    (folder / "photos").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"images/{number}.png")
    page = np.pad(np.hstack(images[:5]), ((38, 39), (0, 0)), constant_values=255)
    photo = Image.fromarray(page).resize((4000, 3000), Image.Resampling.BICUBIC)
    for number in range(50):
        photo.save(folder / f"photos/{number}.jpg")


def run(command, project, data, folder):
    """Run Python in a folder; returns seconds, and megabytes at the peak."""
    start = time.perf_counter()
    words = shlex.split(command.replace("PROJECT", str(project)).replace("DATA", str(data)))
    process = subprocess.Popen([sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def compare_checkouts(other, data, rounds):
    """Run the commands of both checkouts in turn; print medians and ratios."""
    data = Path(data).resolve() if Path(data).is_file() else data
    print(f"{'this':>10}{'other':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(data, Path(folder))
        for command in COMMANDS:
            both = [(PROJECT, other.resolve())] * rounds
            pairs = [[run(command, project, data, folder) for project in pair] for pair in both]
            for unit, (mine, others) in zip(("s", "MB"), np.median(pairs, axis=0).T):
                print(f"{mine:10.1f}{others:10.1f}{mine / others:8.2f} {unit:<2} {command}")


def main():
    """Compare an epoch with PyTorch's, or two checkouts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="auto", help="as for train_model.py")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--float32", action="store_true", help="as without bfloat16")
    parser.add_argument("--against", metavar="PATH", type=Path, help="another checkout")
    arguments = parser.parse_args()
    if arguments.float32:
        train_model.fastest_policy = lambda: "float32"
    if arguments.against:
        compare_checkouts(arguments.against, arguments.data, arguments.rounds)
    else:
        compare_frameworks(arguments.data, arguments.rounds)


if __name__ == "__main__":
    main()
