"""The window to draw digits in, by the events that it gets."""

import numpy as np
import pytest
from conftest import PREDICT, find_digits, run_main
from matplotlib.backend_bases import FigureCanvasBase, KeyEvent, MouseEvent, TimerBase
from PIL import Image

from predict_model import draw_window
from train_model import plt

SEVEN = [(60, 60), (140, 60), (100, 220)]
ONE = [(250, 50), (240, 220)]
PRESS, MOVE, LIFT = "button_press_event", "motion_notify_event", "button_release_event"


@pytest.fixture
def timers(monkeypatch):
    """List the timers that are made, none of which runs by itself."""
    timers = []

    def new_timer(canvas, interval, callbacks):
        timers.append(TimerBase(interval, callbacks))
        return timers[-1]

    monkeypatch.setattr(FigureCanvasBase, "new_timer", new_timer)
    return timers


@pytest.fixture
def window(network, timers, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    figure = draw_window(network)
    figure.canvas.draw()
    yield figure
    plt.close(figure)


def mouse(window, name, x, y, button=1, axis=0):
    """Let the window have an event of the mouse; moved, it has the button that is held down."""
    place = window.axes[axis].transData.transform((x, y))
    MouseEvent(name, window.canvas, *place, button)._process()


def click_button(window, label):
    number = [axis.texts[0].get_text() if axis.texts else "" for axis in window.axes].index(label)
    mouse(window, PRESS, 0.5, 0.5, axis=number)
    mouse(window, LIFT, 0.5, 0.5, axis=number)


def stroke(window, points):
    """Draw a stroke, and lift the pen."""
    mouse(window, PRESS, *points[0])
    for place in points[1:]:
        mouse(window, MOVE, *place)
    mouse(window, LIFT, *points[-1])


def bars(window):
    return [bar.get_width() for bar in window.axes[2].patches]


def picture(window, axis=0):
    return np.asarray(window.axes[axis].images[0].get_array())


def is_empty(window):
    return picture(window).min() == 255 and not window.axes[2].get_title() and not any(bars(window))


@pytest.mark.parametrize("strokes, number", [([SEVEN], "7"), ([ONE, SEVEN], "71")])
def test_drawn_digits_are_shown_and_read_until_the_sheet_is_cleared(window, strokes, number):
    assert is_empty(window)
    before = np.array(window.canvas.buffer_rgba())
    for points in strokes:
        stroke(window, points)
    window.canvas.draw()
    assert not np.array_equal(before, window.canvas.buffer_rgba())
    assert window.axes[2].get_title().startswith(f"{number} ")
    assert np.argmax(bars(window)) == int(number[-1])
    assert np.array_equal(picture(window, axis=1), find_digits(picture(window))[-1].picture)
    click_button(window, "Clear")
    assert is_empty(window)


def test_sheet_is_read_when_the_pen_rests(window, timers):
    mouse(window, PRESS, *ONE[0])
    mouse(window, MOVE, *ONE[1])
    assert not any(bars(window))
    timers[0]._on_timer()
    assert np.argmax(bars(window)) == 1 and timers[0].single_shot


def test_sheet_is_saved_under_the_next_free_name_or_it_is_told_in_a_line(
    window, capsys, tmp_path, monkeypatch
):
    def refuse(image, path):
        raise PermissionError(13, "Permission denied")

    stroke(window, SEVEN)
    click_button(window, "Save")
    click_button(window, "Save")
    monkeypatch.setattr(Image.Image, "save", refuse)
    click_button(window, "Save")
    out, error = capsys.readouterr()
    assert out == "saved as drawn_1.png\nsaved as drawn_2.png\n"
    assert error.count("\n") == 1 and "error" in error and "Permission denied" in error
    assert np.array_equal(Image.open(tmp_path / "drawn_2.png"), picture(window))


@pytest.mark.parametrize(
    "moves, inked, blank",
    [
        ([(PRESS, 100, 100)], [100], [80, 120]),  # a click is a dot
        ([(PRESS, 50, 100), (MOVE, 350, 100)], [*range(50, 350)], [30]),  # fast, without a gap
        ([(PRESS, 350, 100), (MOVE, 10, 10, 1, 1), (MOVE, 50, 100)], [350], [100, 200]),  # left
        ([(PRESS, 350, 100), (LIFT, 350, 100), (MOVE, 50, 100, None)], [350], [50, 200]),  # lifted
    ],
)
def test_pen_draws_where_it_is_down(window, moves, inked, blank):
    for move in moves:
        mouse(window, *move)
    line = picture(window)[100]
    assert not line[inked].any() and line[blank].min() == 255


@pytest.mark.parametrize("key, is_open", [("escape", False), ("q", True)])
def test_only_escape_closes_the_window(window, key, is_open):
    KeyEvent("key_press_event", window.canvas, key)._process()
    assert plt.fignum_exists(window.number) == is_open


@pytest.mark.parametrize("backend, framework", [("qtagg", "qt"), ("webagg", None)])
def test_window_is_shown_on_a_display_or_in_a_browser(
    four, monkeypatch, tmp_path, backend, framework
):
    shown = []
    monkeypatch.setattr(FigureCanvasBase, "required_interactive_framework", framework)
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    run_main(PREDICT, "--model", four, "--draw", cwd=tmp_path)
    assert plt.figure(*shown).axes[0].get_title() == "draw here"


def test_without_a_display_it_is_told_in_a_line(four, tmp_path):
    run = run_main(PREDICT, "--model", four, "--draw", cwd=tmp_path, status=1)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{PREDICT}: error: --draw") and "MPLBACKEND=webagg" in line
