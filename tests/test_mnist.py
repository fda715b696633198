"""The default run on the real MNIST, and other people's digits; skipped where there are none."""

import people
import pytest
from conftest import PREDICT, TRAIN, accuracy_in, result, run_main, run_script
from PIL import Image

import predict_model
import train_model


@pytest.fixture(scope="module")
def mnist_run(mnist, tmp_path_factory):
    """Folder in which train_model.py was run by default on the real MNIST, and what it printed."""
    folder = tmp_path_factory.mktemp("mnist")
    return folder, run_script(TRAIN, "--data", mnist, cwd=folder).stdout


@pytest.fixture(scope="module")
def model(mnist_run):
    return predict_model.load_model(mnist_run[0] / train_model.MODEL_FILE)


def test_default_run_reaches_its_accuracy(mnist_run, mnist):
    folder, text = mnist_run
    assert float(result(text, "validation accuracy").partition("%")[0]) >= 99.3
    assert accuracy_in(run_main(PREDICT, "--data", mnist, cwd=folder).stdout) >= 99.45


def test_images_from_files_are_read_as_those_of_the_data(mnist_run, mnist, tmp_path):
    images, labels, _ = train_model.load_digits(mnist, "test")
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / str(label) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    read_back = run_main(PREDICT, tmp_path, cwd=mnist_run[0]).stdout
    direct = run_main(PREDICT, "--data", mnist, cwd=mnist_run[0]).stdout
    assert accuracy_in(read_back) == pytest.approx(accuracy_in(direct), abs=0.35)


@pytest.mark.parametrize(
    "name, least",
    [
        ("own-digits", 0.994),
        ("more-digits", 0.98),
        ("numbers", 0.86),
        ("no-digit", 0.5),
        ("cases", 0.75),
    ],
)
def test_pictures_that_people_made_are_read(model, capsys, name, least):
    if not (people.SHARED / name).is_dir():
        pytest.skip(f"needs pictures that people made: {people.SHARED / name} is missing")
    pictures = [*people.pictures(name)]
    wrong = [
        str(file)
        for _, number, file in pictures
        if people.read(model, file)[0].replace(" ", "") != number.replace(" ", "")
    ]
    with capsys.disabled():
        print(f"\n{name}: {1 - len(wrong) / len(pictures):.2%} are read", end=" ")
    assert len(wrong) <= (1 - least) * len(pictures), wrong


def test_network_of_drawn_digits_reads_mnist(mnist, tmp_path):
    run_script(TRAIN, "--data", "synthetic", cwd=tmp_path)
    assert accuracy_in(run_main(PREDICT, "--data", mnist, cwd=tmp_path).stdout) >= 97.5
