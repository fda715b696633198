"""The window to draw digits in, by the events that it gets."""

import numpy as np
import pytest
from conftest import PREDICT, run_main
from matplotlib.backend_bases import FigureCanvasBase, KeyEvent, MouseEvent, TimerBase
from PIL import Image

from predict_model import draw_window, find_digits
from train_model import plt

SEVEN = [(60, 60), (140, 60), (100, 220)]
ONE = [(250, 50), (240, 220)]


@pytest.fixture
def window(network, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    figure = draw_window(network)
    figure.canvas.draw()
    yield figure
    plt.close(figure)


def mouse(window, name, x, y, button=1, axis=0):
    """Let the window have an event of the mouse; moved, it has the button that is held down."""
    place = window.axes[axis].transData.transform((x, y))
    MouseEvent(f"{name}_event", window.canvas, *place, button)._process()


def press_key(window, key):
    KeyEvent("key_press_event", window.canvas, key)._process()


def click_button(window, label):
    number = [axis.texts[0].get_text() if axis.texts else "" for axis in window.axes].index(label)
    mouse(window, "button_press", 0.5, 0.5, axis=number)
    mouse(window, "button_release", 0.5, 0.5, axis=number)


def stroke(window, points):
    """Draw a stroke as a hand does, and lift the pen."""
    mouse(window, "button_press", *points[0])
    for start, end in zip(points, points[1:], strict=False):
        for place in np.linspace(start, end, 3)[1:]:
            mouse(window, "motion_notify", *place)
    mouse(window, "button_release", *points[-1])


def bars(window):
    return [bar.get_width() for bar in window.axes[2].patches]


def picture(window, axis=0):
    return np.asarray(window.axes[axis].images[0].get_array())


def screen(window):
    return np.array(window.canvas.buffer_rgba())


def is_empty(window):
    return picture(window).min() == 255 and not window.axes[2].get_title() and not any(bars(window))


def test_empty_sheet_shows_no_digit_and_no_bars(window):
    assert is_empty(window)


@pytest.mark.parametrize("strokes, number", [([SEVEN], "7"), ([ONE, SEVEN], "71")])
def test_drawn_digits_are_read_and_the_bar_of_the_last_is_the_longest(window, strokes, number):
    for points in strokes:
        stroke(window, points)
    assert window.axes[2].get_title().startswith(f"{number} ")
    assert np.argmax(bars(window)) == int(number[-1])


def test_what_the_network_sees_is_shown(window):
    stroke(window, SEVEN)
    assert np.array_equal(picture(window, axis=1), find_digits(picture(window))[0].picture)


def test_screen_shows_a_stroke(window):
    window.canvas.draw()
    before = screen(window)
    stroke(window, SEVEN)
    window.canvas.draw()
    assert not np.array_equal(before, screen(window))


def test_sheet_is_cleared(window):
    stroke(window, SEVEN)
    click_button(window, "Clear")
    assert is_empty(window)


def test_sheet_is_read_when_the_pen_rests_and_when_it_is_lifted(network, monkeypatch, tmp_path):
    timers = []

    def new_timer(canvas, interval, callbacks):
        timers.append(TimerBase(interval, callbacks))
        return timers[-1]

    monkeypatch.setattr(FigureCanvasBase, "new_timer", new_timer)
    window = draw_window(network)
    mouse(window, "button_press", *ONE[0])
    mouse(window, "motion_notify", *ONE[1])
    assert not any(bars(window))
    (rest,) = timers
    rest._on_timer()
    assert np.argmax(bars(window)) == 1
    mouse(window, "button_release", *ONE[1])
    assert np.argmax(bars(window)) == 1 and rest.single_shot
    plt.close(window)


def test_sheet_is_saved_under_the_next_free_name(window, tmp_path, capsys):
    stroke(window, SEVEN)
    click_button(window, "Save")
    click_button(window, "Save")
    assert capsys.readouterr().out == "saved as drawn_1.png\nsaved as drawn_2.png\n"
    assert np.array_equal(Image.open(tmp_path / "drawn_2.png"), picture(window))


def test_sheet_that_cannot_be_saved_is_told_in_a_line(window, monkeypatch, capsys):
    def save(image, path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image.Image, "save", save)
    click_button(window, "Save")
    assert capsys.readouterr().err.endswith("error: drawn_1.png: Permission denied\n")


def test_click_is_a_dot(window):
    stroke(window, [(100, 100)])
    sheet = picture(window)
    assert sheet[100, 100] == 0 and (sheet == 0).sum() < 1000


def test_fast_stroke_has_no_gap(window):
    mouse(window, "button_press", 50, 100)
    mouse(window, "motion_notify", 350, 100)
    assert not picture(window)[100, 50:350].any()


def test_stroke_that_leaves_the_sheet_ends_there(window):
    mouse(window, "button_press", 350, 100)
    mouse(window, "motion_notify", 10, 10, axis=1)
    mouse(window, "motion_notify", 50, 200)
    assert picture(window)[200, 80:].min() == 255


def test_lifted_pen_draws_nothing(window):
    stroke(window, [(300, 50), (350, 50)])
    mouse(window, "motion_notify", 100, 200, button=None)
    mouse(window, "motion_notify", 50, 200, button=None)
    assert picture(window)[100:].min() == 255


@pytest.mark.parametrize("key, is_open", [("escape", False), ("q", True), ("s", True)])
def test_only_escape_closes_the_window(window, key, is_open):
    press_key(window, key)
    assert plt.fignum_exists(window.number) == is_open


@pytest.mark.parametrize("backend, framework", [("any", "any"), ("webagg", None)])
def test_window_is_shown_on_a_display_or_in_a_browser(
    trained, monkeypatch, tmp_path, backend, framework
):
    shown = []
    monkeypatch.setattr(FigureCanvasBase, "required_interactive_framework", framework)
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    run_main(PREDICT, "--model", trained[0], "--draw", cwd=tmp_path)
    assert plt.figure(*shown).canvas.manager.get_window_title() == "Draw a digit"


def test_without_a_display_it_is_told_in_a_line(trained, tmp_path):
    run = run_main(PREDICT, "--model", trained[0], "--draw", cwd=tmp_path, status=1)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{PREDICT}: error: --draw") and "MPLBACKEND=webagg" in line


@pytest.mark.parametrize("other", [["a.png"], ["--csv", "a.csv"], ["--data", "synthetic"]])
def test_drawing_does_not_go_with_other_input(tmp_path, other):
    run = run_main(PREDICT, "--draw", *other, cwd=tmp_path, status=2)
    assert run.stderr.startswith("predict_model.py: error: argument ")
