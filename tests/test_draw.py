"""The window to draw digits in, by the events that it gets."""

import numpy as np
import pytest
from conftest import PREDICT, read_as_fours, run_main
from matplotlib.backend_bases import KeyEvent, MouseEvent
from PIL import Image

from predict_model import draw_window
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
    return [bar.get_height() for bar in window.axes[2].patches]


def picture(window, axis=0):
    return np.asarray(window.axes[axis].images[0].get_array())


def is_empty(window):
    return picture(window).min() == 255 and not window.axes[2].get_title() and not any(bars(window))


@pytest.mark.parametrize("strokes, number", [([SEVEN], "7"), ([ONE, SEVEN], "71")])
def test_drawn_digits_are_read_and_shown_until_the_sheet_is_cleared(window, strokes, number):
    assert is_empty(window)
    for points in strokes:
        stroke(window, points)
    assert window.axes[2].get_title().startswith(f"{number} ")
    assert np.argmax(bars(window)) == int(number[-1])
    assert np.array_equal(picture(window, axis=1), read_as_fours(picture(window))[-1].picture)
    click_button(window, "Clear")
    assert is_empty(window)


def test_screen_shows_a_stroke_already_while_it_is_drawn(window):
    screens = [np.array(window.canvas.buffer_rgba())]
    for name, *place in [("button_press", *ONE[0]), ("motion_notify", *ONE[1])]:
        mouse(window, name, *place)
        screens.append(np.array(window.canvas.buffer_rgba()))
    assert not np.array_equal(screens[0], screens[2]) and not any(bars(window))


def test_sheet_is_saved_or_it_is_told_in_a_line(window, monkeypatch, capsys, tmp_path):
    def refuse(image, path):
        raise PermissionError(13, "Permission denied")

    stroke(window, SEVEN)
    click_button(window, "Save")
    (path,) = tmp_path.glob("drawn_*.png")
    assert capsys.readouterr().out == f"saved as {path.name}\n"
    assert np.array_equal(Image.open(path), picture(window))
    monkeypatch.setattr(Image.Image, "save", refuse)
    click_button(window, "Save")
    assert capsys.readouterr().err.endswith(".png: Permission denied\n")


PRESS, MOVE, LIFT = "button_press", "motion_notify", "button_release"


@pytest.mark.parametrize(
    "moves, inked, blank",
    [
        ([(PRESS, 100, 100)], [100], [80, 120]),  # a click is a dot
        ([(PRESS, 50, 100), (MOVE, 350, 100)], [*range(50, 350)], [30]),  # fast, without a gap
        ([(PRESS, 350, 100), (LIFT, 350, 100), (MOVE, 50, 100, None)], [350], [50, 200]),  # lifted
    ],
)
def test_pen_draws_where_it_is_down(window, moves, inked, blank):
    for move in [*moves, (LIFT, *moves[-1][1:3])]:
        mouse(window, *move)
    line = picture(window)[100]
    assert not line[inked].any() and line[blank].min() == 255


def test_escape_closes_the_window(window):
    KeyEvent("key_press_event", window.canvas, "escape")._process()
    assert not plt.fignum_exists(window.number)


def test_window_is_shown_on_a_display_or_in_a_browser(trained, monkeypatch, tmp_path):
    shown = []
    monkeypatch.setattr(plt, "get_backend", lambda: "webagg")
    monkeypatch.setattr(plt, "show", lambda: shown.extend(plt.get_fignums()))
    run_main(PREDICT, "--model", trained[0], "--draw", cwd=tmp_path)
    assert plt.figure(*shown).get_suptitle() == "Draw digits"


@pytest.mark.parametrize("backend", ["Agg", "svg", "inline", "module://a_notebook.backend_inline"])
def test_without_a_display_it_is_told_in_a_line(trained, monkeypatch, tmp_path, backend):
    monkeypatch.setattr(plt, "get_backend", lambda: backend)
    run = run_main(PREDICT, "--model", trained[0], "--draw", cwd=tmp_path, status=1)
    (line,) = run.stderr.splitlines()
    assert line.startswith(f"{PREDICT}: error: --draw") and "MPLBACKEND=webagg" in line
