"""What a user can get wrong: one line on standard error, status 1 or 2, nothing changed."""

import io
import zipfile

import numpy as np
import pytest
from conftest import run_script
from PIL import Image

import predict_model
import train_model


class Bomb:
    """Its pickle leaves a file behind when it is loaded."""

    def __reduce__(self):
        return exec, ("open('exploded', 'w')",)


def write_zip_bomb(path):
    """Write an `.npz` file of some kB in which x_train unpacks to a gigabyte."""
    header = io.BytesIO()
    shape = (2**30 // 784, 28, 28)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x_train.npy", "w") as file:
            file.write(header.getvalue())
            for _ in range(1024):
                file.write(bytes(2**20))


def write_false_header(path):
    """Write an `.npz` file whose x_train claims to have a quintillion images, and has none."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**18, 28, 28)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
        archive.writestr("y_train.npy", header.getvalue())


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
    save_arrays(folder / "shape.npz", x_train=np.zeros((1000, 32, 32), np.uint8))
    save_arrays(folder / "type.npz", x_train=np.zeros((1000, 28, 28)))
    save_arrays(folder / "lengths.npz", y_train=np.arange(999) % 10)
    save_arrays(folder / "fractions.npz", y_train=np.arange(1000) / 1000)
    save_arrays(
        folder / "none.npz", x_train=np.zeros((0, 28, 28), np.uint8), y_train=np.zeros(0, int)
    )
    save_arrays(folder / "pickled.npz", y_train=np.array([Bomb()] * 1000))
    np.save(folder / "array.npz.npy", np.zeros(5))
    (folder / "array.npz.npy").rename(folder / "array.npz")
    write_zip_bomb(folder / "bomb.npz")
    write_false_header(folder / "header.npz")
    save_arrays(folder / "missing.npz", x_train=None, x_test=None)
    save_arrays(folder / "labels.npz", y_train=np.full(1000, 10), y_test=np.full(1000, -1))
    keras = train_model.keras
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)]).save(folder / "shape.keras")
    keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten()]).save(
        folder / "outputs.keras"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)  # Keras calls the function once to find its shape.
        explode = keras.layers.Lambda(lambda x: open("exploded", "w") and x)
        layers = [keras.layers.Flatten(), explode, keras.layers.Dense(10)]
        model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
        for suffix in (".keras", ".h5"):
            model.save(f"lambda{suffix}")
    (folder / "exploded").unlink()
    train_model.build_model().save(folder / "good.keras")
    train_model.build_model().save(folder / "good.h5")
    (folder / "cut.h5").write_bytes((folder / "good.h5").read_bytes()[:50_000])
    (folder / "text.h5").write_text("not a model")
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
    (1, TRAIN, ["--data", "shape.npz"], "shape.npz"),
    (1, TRAIN, ["--data", "type.npz"], "type.npz"),
    (1, TRAIN, ["--data", "lengths.npz"], "lengths.npz"),
    (1, TRAIN, ["--data", "fractions.npz"], "fractions.npz"),
    (1, TRAIN, ["--data", "none.npz"], "none.npz"),
    (1, TRAIN, ["--data", "pickled.npz"], "pickled.npz"),
    (1, TRAIN, ["--data", "array.npz"], "array.npz"),
    (1, TRAIN, ["--data", "bomb.npz"], "bomb.npz"),
    (1, TRAIN, ["--data", "header.npz"], "header.npz"),
    (1, TRAIN, ["--data", "."], ".: is not a file"),
    (1, TRAIN, ["--data", ""], "No such file"),
    (1, TRAIN, [*GOOD, "--output", "/proc/a.keras"], "/proc/a.keras"),
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
    (2, TRAIN, ["--epochs", "9" * 30], "--epochs"),
    (2, TRAIN, ["--epochs", "1.5"], "--epochs"),
    (2, TRAIN, ["--batch-size", "0"], "--batch-size"),
    (2, TRAIN, ["--learning-rate", "-0.1"], "--learning-rate"),
    (2, TRAIN, ["--learning-rate", "inf"], "--learning-rate"),
    (2, TRAIN, ["--precision", "float16"], "--precision"),
    (2, TRAIN, ["--architecture", "7x7"], "--architecture"),
    (2, TRAIN, ["--recipe", "mine"], "--recipe"),
    (2, TRAIN, ["--seed", "4294967296"], "--seed"),
    (2, TRAIN, ["stray"], "stray"),
    (1, PREDICT, ["--data", "text.npz", "--model", "good.keras"], "text.npz"),
    (1, PREDICT, ["--data", "empty.npz", "--model", "good.keras"], "empty.npz"),
    (1, PREDICT, ["--data", "labels.npz", "--model", "good.keras"], "labels.npz"),
    (1, PREDICT, ["--model", "none.keras"], "none.keras"),
    (1, PREDICT, ["--model", "shape.keras"], "shape.keras"),
    (1, PREDICT, ["--model", "cut.keras"], "cut.keras"),
    (1, PREDICT, ["--model", "text.keras"], "text.keras"),
    (1, PREDICT, ["--model", "folder.keras"], "folder.keras"),
    (1, PREDICT, ["--model", "outputs.keras"], "outputs.keras"),
    (1, PREDICT, ["--model", "lambda.keras"], "lambda.keras"),
    (1, PREDICT, ["--model", "lambda.h5"], "lambda.h5"),
    (1, PREDICT, ["--model", "cut.h5"], "cut.h5"),
    (1, PREDICT, ["--model", "text.h5"], "text.h5"),
    (1, PREDICT, ["--model", "good.keras", "no such image.png"], "no such image.png"),
    (1, PREDICT, ["--model", "good.keras", "text.npz"], "text.npz"),
    (1, PREDICT, ["--model", "good.keras", "file", "--labels", "text.npz"], "text.npz"),
    (1, PREDICT, ["--model", "good.keras", "file", "--csv", "folder.keras"], "folder.keras"),
    (1, PREDICT, ["--model", "good.keras", "--data", "good.npz", "--plots", "file"], "file"),
    (2, PREDICT, ["--model", "network.onnx"], "network.onnx"),
    (2, PREDICT, ["--data", "good.npz", "file"], "--data"),
    (2, PREDICT, ["--csv", "a.csv"], "--csv"),
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


def damaged(content, random):
    """Answer a copy of some bytes with a few changed, a piece cut out, or the end missing."""
    content = bytearray(content)
    kind = random.integers(3)
    if kind == 0:
        for place in random.integers(0, len(content), random.integers(1, 20)):
            content[place] = random.integers(256)
    elif kind == 1:
        start = random.integers(len(content))
        del content[start : start + random.integers(1, 200)]
    else:
        del content[random.integers(len(content)) :]
    return bytes(content)


def read_image(path):
    predict_model.read_digit(predict_model.open_image(path))


def test_randomly_damaged_files_are_refused_or_read(trained, tmp_path):
    """Five hundred files, read in this process: to start a script for each takes an hour."""
    random = np.random.default_rng(0)
    save_arrays(tmp_path / "good.npz")
    image = Image.fromarray(train_model.draw_digits(1, seed=0)[0][0]).resize((90, 90))
    for suffix in ("png", "jpg", "gif", "tif", "bmp"):
        image.save(tmp_path / f"good.{suffix}")
    model = train_model.keras.saving.load_model(trained / "digit_classifier.keras")
    train_model.save_model(model, tmp_path / "good.keras")
    train_model.save_model(model, tmp_path / "good.h5")
    readers = {
        ".keras": (100, predict_model.load_model),
        ".h5": (100, predict_model.load_model),
        ".npz": (100, lambda path: train_model.load_digits(path, "train")),
        **{suffix: (40, read_image) for suffix in (".png", ".jpg", ".gif", ".tif", ".bmp")},
    }
    refused = dict.fromkeys(readers, 0)
    for suffix, (count, reader) in readers.items():
        good = (tmp_path / f"good{suffix}").read_bytes()
        path = tmp_path / f"damaged{suffix}"
        for _ in range(count):
            path.write_bytes(damaged(good, random))
            try:
                reader(path)
            except train_model.InputError as error:
                refused[suffix] += 1
                assert "\n" not in str(error)
    assert sum(count for count, _ in readers.values()) == 500
    assert all(refused.values())
