"""Compare the speed of this project's training with other ways to train the same network.

    python tests/benchmark.py --data mnist.npz

Every way trains the 5x5 network on the same images, in turn, for several
rounds: this project's, by default and for 1 epoch; the way of the tutorials
(Keras's fit, Adam, batches of 32, float32); and PyTorch at its best, where it
is installed (channels last, bfloat16, fused Adam, batches of 128). Printed
are the medians of the time of an epoch without its validation, and of the
time until the network first reaches 98.82% of the validation images.
"""

import argparse
import functools
import importlib.util
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import train_model
from train_model import keras

TARGET = 0.9882
MOST_EPOCHS = 12


class Clock(keras.callbacks.Callback):
    """Measure each epoch without its validation, and the time to the target; may stop there."""

    def __init__(self, stops=False):
        super().__init__()
        self.stops = stops
        self.epochs, self.to_target = [], None
        self.start = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.epochs.append(time.perf_counter() - self.begin)

    def on_epoch_end(self, epoch, logs):
        if self.to_target is None and logs["val_accuracy"] >= TARGET:
            self.to_target = time.perf_counter() - self.start
        if self.stops and self.to_target is not None and epoch >= 2:
            self.model.stop_training = True


def time_ours(train_set, validation_set, seed, epochs=5):
    """Train as train_model.py does, by default for 5 epochs; answers a Clock."""
    keras.utils.set_random_seed(seed)
    clock = Clock()
    recipe = train_model.Recipe(epochs=epochs, seed=seed)
    train_model.train(train_model.build_model(), train_set, validation_set, recipe, [clock])
    return clock


def time_tutorials(train_set, validation_set, seed):
    """Train as the tutorials do; answers a Clock."""
    keras.utils.set_random_seed(seed)
    train_set, validation_set = (
        (train_model.as_input(images), labels) for images, labels in (train_set, validation_set)
    )
    clock = Clock(stops=True)
    model = train_model.build_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    settings = {"batch_size": 32, "epochs": MOST_EPOCHS, "verbose": 0}
    settings["validation_data"] = validation_set
    model.fit(*train_set, callbacks=[clock], **settings)
    return clock


def time_pytorch(train_set, validation_set, seed):
    """Train the same network in PyTorch; answers what a Clock holds."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    clock = argparse.Namespace(epochs=[], to_target=None, start=time.perf_counter())
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10)),
    ).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    cross_entropy = nn.CrossEntropyLoss()
    precision = train_model.fastest_precision() == "bfloat16"

    def on_device(images, labels):
        images = torch.from_numpy(images[:, np.newaxis].astype(np.float32) / 255)
        return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)

    images, labels = on_device(*train_set)
    validation_images, validation_labels = on_device(*validation_set)
    for epoch in range(MOST_EPOCHS):
        begin = time.perf_counter()
        for chosen in torch.randperm(len(images)).split(128):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision):
                loss = cross_entropy(network(images[chosen]), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        clock.epochs.append(time.perf_counter() - begin)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision):
            answers = torch.cat([network(part).argmax(1) for part in validation_images.split(500)])
        if (answers == validation_labels).float().mean() >= TARGET and clock.to_target is None:
            clock.to_target = time.perf_counter() - clock.start
        if clock.to_target is not None and epoch >= 2:
            break
    return clock


def median(seconds):
    """Format the median of some times; None where one was never reached."""
    return "not reached" if None in seconds else f"{statistics.median(seconds):.2f} s"


def main():
    parser = argparse.ArgumentParser(description="Compare the speed of ways to train the network.")
    parser.add_argument("--data", metavar="DATA", default="auto", help="as for train_model.py")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    images, labels, _ = train_model.load_digits(arguments.data, "train")
    sets = train_model.split(images, labels, 0.2)
    one_epoch = functools.partial(time_ours, epochs=1)
    ways = {"this project": time_ours, "this project, 1 epoch": one_epoch}
    ways["the tutorials' way"] = time_tutorials
    if importlib.util.find_spec("torch"):
        ways["PyTorch"] = time_pytorch
    seeds = range(arguments.rounds)
    clocks = [{way: run(*sets, seed) for way, run in ways.items()} for seed in seeds]
    print(f"{'way':<23}{'an epoch':<15}until {TARGET:.2%}")
    for way in ways:
        # The first epoch of a run pays for building the graph.
        epochs = [statistics.median(row[way].epochs[1:] or row[way].epochs) for row in clocks]
        print(f"{way:<23}{median(epochs):<15}{median([row[way].to_target for row in clocks])}")


if __name__ == "__main__":
    main()
