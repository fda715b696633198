"""Print what each part of the recipe is worth, as a table in Markdown.

    python tests/ablation.py --data mnist.npz --keep networks

Parts are added to the tutorials' way one at a time, then each is taken out of the whole recipe
alone. Figures are means of the seeds, and from the lowest to the highest; digits and numbers are
pictures of ../shared that are read right. Networks that the folder has are not trained again.
"""

from pathlib import Path

from benchmark import make_clock
from people import SHARED, np, pictures, predict_model, read, train_model

from train_model import keras

ALL = train_model.RECIPE | {"synthetic": True, "best": True, "calibrate": True}
ALL["policy"] = train_model.fastest_policy()
WITHOUT = {  # what takes each part out
    "batches of 256": {"batch_size": 32},
    "bfloat16": {"policy": "float32"},
    "one cycle": {"optimizer": "adam"},  # at its own constant rate
    "Muon": {"optimizer": "one-cycle-adam"},
    "distortion": {"augment": False},
    "label smoothing": {"label_smoothing": 0.0},
    "synthetic digits": {"synthetic": False},
    "best epoch": {"best": False},
    "temperature": {"calibrate": False},
}
COLUMNS = "validation %", "test %", "calibration error %", "s an epoch", "digits", "numbers"


def main():
    """Print a row for each way to train as soon as it is done."""
    parser, _ = train_model.make_parser(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=ALL["epochs"])
    parser.add_argument("--keep", type=Path, default="networks", help="their folder")
    arguments = parser.parse_args()
    images, labels, _ = train_model.load_digits(arguments.data, "train")
    sets = train_model.split(images, labels, ALL["validation_split"])
    test_set = train_model.load_digits(arguments.data, "test")[:2]
    ways, way = {f"all but {part}": ALL | out for part, out in WITHOUT.items()}, ALL
    for part, out in reversed(WITHOUT.items()):
        ways, way = {f"+ {part}": way, **ways}, way | out
    ways = {"tutorials' way": way, **ways}
    print("| way", *COLUMNS, sep=" | ", end=" |\n|---|---|---|---|---|---|---|\n")
    for name, way in ways.items():
        scores = []
        for seed in range(arguments.seeds):
            way = way | {"seed": seed, "epochs": arguments.epochs}
            path = Path(arguments.keep, "_".join(map(str, way.values())) + ".keras")
            if not path.exists():
                train(way, *sets, path)
            scores.append(score(path, sets[1], test_set))
        cells = [f"{np.mean(it):.4g} ({min(it):.4g} to {max(it):.4g})" for it in zip(*scores)]
        print(f"| {name}", *cells, sep=" | ", end=" |\n", flush=True)


def train(way, train_set, validation_set, path):
    """Train a network, and save it, and beside it its fastest epoch in seconds."""
    if way["synthetic"]:
        train_set = train_model.with_synthetic(train_set, way["seed"])
    if way["optimizer"] == "one-cycle-adam":
        steps = way["epochs"] * len(train_model.training_batches(*train_set, way))
        way = way | {"optimizer": train_model.our_optimizer(steps)}
        way["optimizer"].exclude_layers = [""]  # All layers are left to its Adam.
    train_model.fastest_policy = lambda: way["policy"]
    keras.utils.set_random_seed(way["seed"])
    model, seconds, weights = train_model.build_model(), [], []
    clock = make_clock(seconds)
    clock.on_test_end = lambda logs: weights.append(model.get_weights())
    train_model.train(model, train_set, validation_set, way, [clock])
    if not way["best"]:
        model.set_weights(weights[-1])
    if way["calibrate"]:
        train_model.calibrate(model, *validation_set)
    train_model.save_model(model, path)
    path.with_suffix(".txt").write_text(str(min(seconds)))


def score(path, *sets):
    """Return a network's figures, in the order of COLUMNS; without ../shared not people's."""
    model, scores = predict_model.load_model(path), []
    for images, labels in sets:
        probabilities = train_model.predict(model, images)
        scores.append(100 * np.mean(probabilities.argmax(axis=1) == labels))
    scores.append(100 * predict_model.calibration_error(labels, probabilities))
    scores.append(float(path.with_suffix(".txt").read_text()))
    for names in (("own-digits", "more-digits"), ("numbers",)) if SHARED.exists() else ():
        those = [it for name in names for it in pictures(name)]
        scores.append(sum(read(model, file)[0] == number for _, number, file in those))
    return scores


if __name__ == "__main__":
    main()
