"""The default run on the real MNIST; skipped where there is none."""

import re

from conftest import run_script


def test_default_run_reaches_what_others_publish(mnist, tmp_path):
    run = run_script("train_model.py", "--data", mnist, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "validation images    12,000" in run.stdout
    accuracy = float(re.search(r"validation accuracy +([\d.]+)%", run.stdout)[1])
    assert accuracy >= 98.82
    run = run_script("predict_model.py", "--data", mnist, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert float(re.search(r"accuracy +([\d.]+)% of 10,000", run.stdout)[1]) > 98.8
