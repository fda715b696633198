"""Compare the speed of this project's training with other ways to train the same network.

    python tests/benchmark.py --data mnist.npz

Every way trains the 5x5 network on the same images, in turn, for several
rounds: this project's, by default and for 1 epoch, and the way of the tutorials
(Keras's fit, Adam, batches of 32, float32). Printed are the medians of the
time of an epoch without its validation, and of the time until the network
first reaches 98.82% of the validation images.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import train_model
from train_model import keras

TARGET = 0.9882
MOST_EPOCHS = 12


class Clock(keras.callbacks.Callback):
    """Measure each epoch without its validation, and the time to the target."""

    def __init__(self):
        super().__init__()
        self.epochs, self.to_target, self.start = [], None, time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.epochs.append(time.perf_counter() - self.begin)

    def on_epoch_end(self, epoch, logs):
        if self.to_target is None and logs["val_accuracy"] >= TARGET:
            self.to_target = time.perf_counter() - self.start


def train_ours(train_set, validation_set, seed, clock, epochs=5):
    recipe = train_model.Recipe(epochs=epochs, seed=seed)
    train_model.train(train_model.build_model(), train_set, validation_set, recipe, [clock])


def train_for_one_epoch(*arguments):
    train_ours(*arguments, epochs=1)


def train_as_tutorials_do(train_set, validation_set, seed, clock):
    (images, labels), (others, true) = train_set, validation_set
    model = train_model.build_model()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train_model.as_input(images), labels, 32, MOST_EPOCHS, 0, [clock],
              validation_data=(train_model.as_input(others), true))


def main():
    parser = argparse.ArgumentParser(description="Compare the speed of ways to train the network.")
    parser.add_argument("--data", metavar="DATA", default="auto", help="as for train_model.py")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    arguments = parser.parse_args()
    images, labels, _ = train_model.load_digits(arguments.data, "train")
    sets = train_model.split(images, labels, 0.2)
    ways = {"this project": train_ours, "this project, 1 epoch": train_for_one_epoch,
            "the tutorials' way": train_as_tutorials_do}
    clocks = {way: [] for way in ways}
    for seed in range(arguments.rounds):
        for way, train in ways.items():
            keras.utils.set_random_seed(seed)
            clocks[way].append(Clock())
            train(*sets, seed, clocks[way][-1])
    print(f"{'way':<23}{'an epoch':<15}until {TARGET:.2%}")
    for way, runs in clocks.items():
        # The first epoch of a run pays for building the graph.
        epoch = statistics.median(statistics.median(run.epochs[1:] or run.epochs) for run in runs)
        reached = [run.to_target for run in runs]
        until = "not reached" if None in reached else f"{statistics.median(reached):.2f} s"
        print(f"{way:<23}{f'{epoch:.2f} s':<15}{until}")


if __name__ == "__main__":
    main()
