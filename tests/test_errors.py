"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import numpy as np
import pytest
from conftest import run_script

import train_model


def save_arrays(path, **changes):
    """Write an `.npz` file that is right but for the changes; None leaves an array out."""
    images = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    labels = np.arange(1000) % 10
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    arrays.update(changes)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """Folder with the files that the table below names."""
    folder = tmp_path_factory.mktemp("bad")
    save_arrays(folder / "good.npz")
    good = (folder / "good.npz").read_bytes()
    (folder / "cut.npz").write_bytes(good[: len(good) // 2])
    (folder / "text.npz").write_text("not an archive")
    (folder / "empty.npz").touch()
    save_arrays(folder / "missing.npz", x_train=None, x_test=None)
    save_arrays(folder / "labels.npz", y_train=np.full(1000, 10), y_test=np.full(1000, -1))
    keras = train_model.keras
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)]).save(folder / "shape.keras")
    train_model.build_model().save(folder / "good.keras")
    model = (folder / "good.keras").read_bytes()
    (folder / "cut.keras").write_bytes(model[: len(model) // 2])
    (folder / "text.keras").write_text("not a model")
    (folder / "folder.keras").mkdir()
    (folder / "file").write_text("a file, not a folder")
    (folder / "digit_classifier.keras").write_text("an earlier network")
    return folder


def snapshot(folder):
    """Answer the name and content of every file below a folder."""
    return {
        path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")
    }


TRAIN, PREDICT = "train_model.py", "predict_model.py"
GOOD = ["--data", "good.npz"]
BAD = [
    (1, TRAIN, ["--data", "no such.npz"], "no such.npz"),
    (1, TRAIN, ["--data", "cut.npz"], "cut.npz"),
    (1, TRAIN, ["--data", "missing.npz"], "missing.npz"),
    (1, TRAIN, ["--data", "labels.npz"], "labels.npz"),
    (1, TRAIN, [*GOOD, "--output", "folder.keras"], "folder.keras"),
    (1, TRAIN, [*GOOD, "--output", "file/a.keras"], "file/a.keras"),
    (1, TRAIN, [*GOOD, "--plots", "file"], "file"),
    (1, TRAIN, [*GOOD, "--validation-split", "0.9999"], "--validation-split"),
    (1, TRAIN, [*GOOD, "--learning-rate", "1e12"], "--learning-rate"),
    (1, TRAIN, [*GOOD, "--optimizer", "gradient"], "gradient"),
    (2, TRAIN, ["--output", "network.txt"], "network.txt"),
    (2, TRAIN, ["--epochs", "0"], "--epochs"),
    (2, TRAIN, ["--epochs", "many"], "--epochs"),
    (2, TRAIN, ["--batch-size", "-1"], "--batch-size"),
    (2, TRAIN, ["--learning-rate", "nan"], "--learning-rate"),
    (2, TRAIN, ["--validation-split", "2"], "--validation-split"),
    (2, TRAIN, ["--patience", "0"], "--patience"),
    (2, TRAIN, ["--seed", "-1"], "--seed"),
    (2, TRAIN, ["--nonsense"], "--nonsense"),
    (1, PREDICT, ["--data", "text.npz", "--model", "good.keras"], "text.npz"),
    (1, PREDICT, ["--data", "empty.npz", "--model", "good.keras"], "empty.npz"),
    (1, PREDICT, ["--data", "labels.npz", "--model", "good.keras"], "labels.npz"),
    (1, PREDICT, ["--model", "none.keras"], "none.keras"),
    (1, PREDICT, ["--model", "shape.keras"], "shape.keras"),
    (1, PREDICT, ["--model", "cut.keras"], "cut.keras"),
    (1, PREDICT, ["--model", "text.keras"], "text.keras"),
    (1, PREDICT, ["--model", "folder.keras"], "folder.keras"),
    (2, PREDICT, ["--model", "network.onnx"], "network.onnx"),
]


@pytest.mark.parametrize("status, script, arguments, named", BAD)
def test_bad_input_is_one_line(bad_files, status, script, arguments, named):
    before = snapshot(bad_files)
    run = run_script(script, *arguments, cwd=bad_files)
    lines = run.stderr.splitlines()
    assert run.returncode == status, run.stderr
    assert lines[-1].startswith(f"{script}: error: ") and named in lines[-1]
    assert len(lines) == 1 + lines.count("Epoch 1/5")
    assert snapshot(bad_files) == before
