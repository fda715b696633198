"""Measure the time of training, and the time and memory of the scripts.

    python tests/benchmark.py --data mnist.npz
    python tests/benchmark.py --data mnist.npz --against ../another_checkout

The first compares three ways to train the same network on MNIST alone, in turn: this
project's, without its synthetic digits; the tutorials' (Keras's fit, Adam, batches of
32, float32); and PyTorch's (channels last, bfloat16 where the processor has it,
batches of 128, Adam), which is left out where torch is not installed. Printed are
the medians of the time of an epoch without its validation, and of the time until
the network first reads 98.82% of the validation images (inf where it does not).

The second runs both scripts of this checkout and of another, in turn, and prints
medians of the time from the start to the end and of the peak memory, with ratios.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import train_model
from train_model import keras, np

try:
    import torch
except ModuleNotFoundError:
    torch = None

PROJECT = Path(train_model.__file__).parent
TARGET = 0.9882
EPOCHS = 12  # of the other ways, enough to get to the target


class Clock(keras.callbacks.Callback):
    """Measures each epoch without its validation, and the time to the target."""

    def __init__(self):
        """Start the clock."""
        super().__init__()
        self.epochs, self.to_target, self.start = [], np.inf, time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.epochs.append(time.perf_counter() - self.begin)

    def on_epoch_end(self, epoch, logs):
        if logs["val_accuracy"] >= TARGET:
            self.to_target = min(self.to_target, time.perf_counter() - self.start)


def train_as_we_do(train_set, validation_set, seed, clock):
    """Train as train_model.py does by default, but for the synthetic digits."""
    recipe = train_model.RECIPE | {"seed": seed}
    train_model.train(train_model.build_model(), train_set, validation_set, recipe, [clock])


def train_as_tutorials_do(train_set, validation_set, seed, clock):
    """Train with Keras's defaults."""
    model = train_model.build_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        train_model.as_input(train_set[0]),
        train_set[1],
        epochs=EPOCHS,
        verbose=0,
        callbacks=[clock],
        validation_data=(train_model.as_input(validation_set[0]), validation_set[1]),
    )


def train_in_pytorch(train_set, validation_set, seed, clock):
    """Train the same network in PyTorch."""
    torch.manual_seed(seed)
    nn, layers = torch.nn, []
    for inputs in (1, 32):
        layers += [nn.Conv2d(inputs, 32, 5), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters())
    bfloat16 = train_model.fastest_policy() == "mixed_bfloat16"
    (images, labels), (others, true) = (
        (
            torch.tensor(train_model.as_input(images).numpy()).permute(0, 3, 1, 2),
            torch.tensor(labels).long(),
        )
        for images, labels in (train_set, validation_set)
    )
    for epoch in range(EPOCHS):
        clock.on_epoch_begin(epoch)
        for batch in torch.randperm(len(images)).split(128):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = model(images[batch].contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clock.on_test_begin()
        with torch.no_grad():
            right = model(others).argmax(dim=1) == true
        clock.on_epoch_end(epoch, {"val_accuracy": right.float().mean().item()})


def compare_ways(data, rounds):
    """Train in each way in turn, and print a line for each."""
    images, labels, _ = train_model.load_digits(data, "train")
    train_set, validation_set = train_model.split(images, labels, 0.2)
    ways = {"this project": train_as_we_do, "the tutorials' way": train_as_tutorials_do}
    if torch:
        ways["PyTorch"] = train_in_pytorch
    else:
        print("PyTorch is left out: torch is not installed", file=sys.stderr)
    clocks = {way: [] for way in ways}
    for seed in range(rounds):
        for way, train in ways.items():
            keras.utils.set_random_seed(seed)
            clocks[way].append(Clock())
            train(train_set, validation_set, seed, clocks[way][-1])
    print(f"{'way':<23}{'an epoch':<15}until {TARGET:.2%}")
    for way, runs in clocks.items():
        # The first epoch of a run pays for building the graph.
        epoch = np.median([np.median(run.epochs[1:]) for run in runs])
        to_target = np.median([run.to_target for run in runs])
        print(f"{way:<23}{f'{epoch:.2f} s':<15}{to_target:.2f} s")


def run(script, data, folder):
    """Run a script in a folder; returns seconds and megabytes at its peak."""
    start = time.perf_counter()
    command = [sys.executable, script, "--data", data]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"error: {script} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def compare_checkouts(other, data, rounds):
    """Run the scripts of this checkout and of another in turn; print medians and ratios."""
    data = Path(data).resolve() if Path(data).is_file() else data
    print(f"{'script':<18}{'':<8}{'this':>10}{'other':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        for script in ("train_model.py", "predict_model.py"):
            places = (PROJECT / script, one), (other.resolve() / script, two)
            runs = [[run(path, data, folder) for path, folder in places] for _ in range(rounds)]
            for unit, (mine, others) in zip(("s", "MB"), np.median(runs, axis=0).T):
                print(f"{script:<18}{unit:<8}{mine:>10.1f}{others:>10.1f}{mine / others:>8.2f}")


def main():
    """Compare ways to train, or two checkouts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="auto", help="as for train_model.py")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--against", metavar="PATH", type=Path, help="another checkout")
    arguments = parser.parse_args()
    if arguments.against:
        compare_checkouts(arguments.against, arguments.data, arguments.rounds)
    else:
        compare_ways(arguments.data, arguments.rounds)


if __name__ == "__main__":
    main()
