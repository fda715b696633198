"""The window to draw digits in, by the events that it gets."""

import numpy as np
import pytest
from conftest import PREDICT, find_digits, run_main
from matplotlib.backend_bases import FigureCanvasBase, KeyEvent, MouseEvent, TimerBase
from PIL import Image

from predict_model import draw_window
from train_model import plt

PRESS, MOVE, LIFT = "button_press_event", "motion_notify_event", "button_release_event"
SEVEN = [(PRESS, 60, 60), (MOVE, 140, 60), (MOVE, 100, 220), (LIFT, 100, 220)]
ONE = [(PRESS, 250, 50), (MOVE, 240, 220), (LIFT, 240, 220)]
DRAG = (PRESS, 350, 100), (MOVE, 10, 10, 1, 1), (MOVE, 50, 100)  # over the next picture
HOVER = (PRESS, 350, 100), (LIFT, 350, 100), (MOVE, 50, 100, None)


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
    MouseEvent(name, window.canvas, *place, button)._process()


def click_button(window, label):
    number = [axis.texts[0].get_text() if axis.texts else "" for axis in window.axes].index(label)
    for event in (PRESS, LIFT):
        mouse(window, event, 0.5, 0.5, axis=number)


def picture(window, axis=0):
    return np.asarray(window.axes[axis].images[0].get_array())


def bars(window):
    return [bar.get_width() for bar in window.axes[2].patches]


@pytest.mark.parametrize("moves, number", [(SEVEN, "7"), (ONE + SEVEN, "71")])
def test_drawn_digits_are_shown_and_read_until_the_sheet_is_cleared(window, moves, number):
    before = np.array(window.canvas.buffer_rgba())
    for move in moves:
        mouse(window, *move)
    window.canvas.draw()
    assert not np.array_equal(before, window.canvas.buffer_rgba())
    assert window.axes[2].get_title().startswith(f"{number} ")
    assert np.argmax(bars(window)) == int(number[-1])
    assert np.array_equal(picture(window, axis=1), find_digits(picture(window))[-1].picture)
    click_button(window, "Clear")
    assert picture(window).min() == 255 and not any(bars(window))


def test_sheet_is_read_when_the_pen_rests(window, monkeypatch):
    monkeypatch.setattr(TimerBase, "start", TimerBase._on_timer)  # At once the time is over.
    for move in ONE[:-1]:
        mouse(window, *move)
    assert np.argmax(bars(window)) == 1


def test_sheet_is_saved_under_the_next_free_name_or_it_is_told_in_a_line(window, capsys, tmp_path):
    (tmp_path / "drawn_3.png").symlink_to("no folder/a.png")
    for move in SEVEN:
        mouse(window, *move)
    for _ in range(3):
        click_button(window, "Save")
    out, error = capsys.readouterr()
    assert out == "saved as drawn_1.png\nsaved as drawn_2.png\n"
    assert error.count("\n") == 1 and "error" in error and "No such file" in error
    assert np.array_equal(Image.open("drawn_2.png"), picture(window))


@pytest.mark.parametrize(
    "moves, inked, blank",
    [
        ([(PRESS, 100, 100)], [100], [80, 120]),  # a click is a dot
        ([(PRESS, 50, 100), (MOVE, 350, 100)], [*range(50, 350)], [30]),  # fast, without a gap
        (DRAG, [350], [100, 200]),
        (HOVER, [350], [50, 200]),
    ],
)
def test_pen_draws_where_it_is_down(window, moves, inked, blank):
    for move in moves:
        mouse(window, *move)
    line = picture(window)[100]
    assert not line[inked].any() and line[blank].min() == 255


def test_only_escape_closes_the_window(window):
    for key, is_open in (("q", True), ("escape", False)):
        KeyEvent("key_press_event", window.canvas, key)._process()
        assert plt.fignum_exists(window.number) == is_open


@pytest.mark.parametrize("backend, framework", [("qtagg", "qt"), ("webagg", None), ("agg", None)])
def test_window_is_shown_or_without_a_display_it_is_told_in_a_line(
    four, monkeypatch, tmp_path, backend, framework
):
    shown = []
    monkeypatch.setattr(FigureCanvasBase, "required_interactive_framework", framework)
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    is_told = backend == "agg"
    run = run_main(PREDICT, "--model", four, "--draw", cwd=tmp_path, status=int(is_told))
    assert len(shown) == (not is_told) and len(run.stderr.splitlines()) == is_told
    assert ("MPLBACKEND=webagg" in run.stderr) == is_told
