"""The view of points in three dimensions: its content, and its behaviour in a browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
import torch
from site_check import event_problem

from minillm import figures

SCRIPT = resources.files("minillm.figures").joinpath("point_cloud.js").read_text(encoding="utf-8")
# A cross: each word lies on an axis, so that its place on the screen is known, and "centre" never moves.
NAMES = ["centre", "right", "left", "far", "near", "top", "bottom"]
KINDS = ["middle"] + ["side"] * 4 + ["pole"] * 2
CROSS = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
STATES = {"before": 5.0 * CROSS + 2.0, "after": CROSS[[0, 5, 2, 3, 4, 1, 6]]}
CAMERA = 4.0  # as in the script
ARROWS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
PATIENCE = 30  # seconds, for a busy machine


def cloud(count: int = 7, height: int = 320) -> Any:
    """The cross, or its first points."""
    states = {name: points[:count] for name, points in STATES.items()}
    return figures.point_cloud(states, NAMES[:count], KINDS[:count], height=height)


def content(page: str) -> dict[str, Any]:
    """What the page gives to its script."""
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


# Content


def test_content_is_the_arrangement_of_the_points() -> None:
    points = np.random.default_rng(0).normal(3.0, 0.01, (40, 3))
    kinds = [("foods", "places", "colours")[i % 3] for i in range(40)]
    view = figures.point_cloud({"now": torch.tensor(points)}, list(map(str, range(40))), kinds, height=300)
    given = content(view._repr_html_())
    assert (given["states"], given["height"], given["names"][-1]) == (["now"], 300, "39")
    assert given["kinds"] == ["foods", "places", "colours"]
    assert [given["kinds"][k] for k in given["kindOf"]] == kinds
    assert (given["colours"], given["markers"]) == (list(figures.PALETTE[:3]), list(figures.MARKERS[:3]))
    shown = np.array(given["points"][0]).reshape(40, 3) / 1000

    def distances(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, None] - x, axis=-1)

    ratio = distances(shown).max() / distances(points).max()
    # Each coordinate is rounded to half a step at most, a distance to sqrt(3) steps.
    assert np.abs(distances(shown) - ratio * distances(points)).max() < 3.5e-3
    assert np.linalg.norm(shown, axis=1).max() == pytest.approx(1, abs=1e-3)
    assert np.abs(shown.mean(axis=0)).max() < 1e-3


def test_points_in_one_place_stay_in_the_middle() -> None:
    page = figures.point_cloud({"now": np.full((2, 3), 7.0)}, ["a", "b"], ["k", "k"])._repr_html_()
    assert content(page)["points"] == [[0] * 6]


def test_text_cannot_leave_the_script() -> None:
    names = ["</script><script>alert(1)</script>", "<!--", "a & 'b' \"c\"", "猫\u2028\\"]
    page = figures.point_cloud({"<b>": np.eye(4, 3)}, names, ["<i>", "k", "k", "k"])._repr_html_()
    assert content(page)["names"] == names
    assert content(page)["states"] == ["<b>"] and content(page)["kinds"] == ["<i>", "k"]
    assert page.count("</script") == 2
    rest = page.replace(SCRIPT, "")
    assert not re.search("<!--|<b>|<i>", rest) and rest.isascii()


def test_the_script_can_stand_in_a_page() -> None:
    assert "</script" not in SCRIPT and "<!--" not in SCRIPT and "://" not in SCRIPT
    outlines = re.search(r"const OUTLINES = \{(.*?)\n  \};", SCRIPT, re.S)[1]
    assert set(re.findall(r'^ +"?([^"\s])"?: "M', outlines, re.M)) == set(figures.MARKERS)


def test_same_points_same_bytes_and_a_small_page() -> None:
    points = np.random.default_rng(1).normal(size=(2, 400, 3))
    names, kinds = [f"word {i}" for i in range(400)], [f"kind {i % 7}" for i in range(400)]
    pages = [figures.point_cloud(dict(zip(("a", "b"), points)), names, kinds)._repr_html_() for _ in range(2)]
    assert pages[0] == pages[1]
    assert len(pages[0].encode()) < 60_000


def test_plain_text_has_counts_only() -> None:
    assert repr(cloud()) == "PointCloud(points=7, kinds=3, states=2)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"states": {}}, "no states: give at least one"),
        ({"states": {"now": np.zeros((3, 2))}}, r"state 'now' has the shape \(3, 2\): give \(3, 3\)"),
        ({"states": {"now": np.zeros((2, 3))}}, r"shape \(2, 3\): give \(3, 3\)"),
        ({"states": {"a": np.zeros((3, 3)), "b": np.zeros(9)}}, r"state 'b' has the shape \(9,\)"),
        ({"states": {"now": [[0, 0, 0], [0, np.nan, 1], [0, 0, 0]]}}, r"\[0.0, nan, 1.0\] for 'dog'"),
        ({"states": {"now": [[0, 0, 0], [0, 0, 1], [np.inf, 0, 0]]}}, "for 'red': give finite numbers"),
        ({"names": ["cat", "dog"]}, "2 names and 3 kinds"),
        ({"kinds": ["a", "b", "c", "d"]}, "3 names and 4 kinds"),
        ({"names": [], "kinds": []}, "at least one point"),
        ({"height": 20}, "height=20: give 200 to 2000 pixels"),
        ({"height": float("nan")}, "height=nan"),
    ],
)
def test_wrong_input_says_what_to_give(change: dict[str, Any], message: str) -> None:
    good = {"states": {"now": np.eye(3)}, "names": ["cat", "dog", "red"], "kinds": ["a", "a", "c"]}
    with pytest.raises(ValueError, match=message):
        figures.point_cloud(**(good | change))


def test_more_kinds_than_colours_are_refused() -> None:
    names = [str(i) for i in range(8)]
    figures.point_cloud({"now": np.eye(8, 3)}, names, [*names[:7], "0"])
    with pytest.raises(ValueError, match="8 kinds: there are colours for 7; put the smallest kinds into one"):
        figures.point_cloud({"now": np.eye(8, 3)}, names, names)


# Behaviour

PAGE = """<!doctype html><html><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>body {{ margin: 12px; background: {ground}; color: #777 }}</style>
<script>var before = Object.keys(window), keys = 0; document.addEventListener("keydown", () => keys++)</script>
<p>Before.</p>{view}<p>Between.</p>{view}<p style="height: 3000px">After.</p></html>"""
# As classic front ends insert an output: through innerHTML, its scripts run from the head.
INSERTED = """<!doctype html><html><meta charset="utf-8"><link rel="icon" href="data:,"><div id="cell"></div>
<script>
  document.getElementById("cell").innerHTML = {html};
  for (const old of document.querySelectorAll("#cell script:not([type])")) {{
    const script = document.createElement("script");
    script.text = old.text;
    document.head.append(script);
    script.remove();
  }}
</script></html>"""


class Reader:
    """Someone who looks at one of the views on a page and touches it."""

    def __init__(self, chromium: browser.Browser, origin: str) -> None:
        self.chromium, self.origin = chromium, origin
        self.host = "document.querySelectorAll('.minillm-point-cloud')[0]"

    def open(self, page: str, look: str = "light") -> None:
        self.chromium.load(self.origin + page, look)
        self.wait(lambda: self.data("yaw") == -35)

    def js(self, expression: str) -> Any:
        """Evaluate, with `host`, `root` and `canvas` of the view in reach."""
        names = f"const host = {self.host}, root = host.shadowRoot, canvas = root?.querySelector('canvas');"
        return self.chromium.evaluate(f"(() => {{ {names} return {expression}; }})()")

    def data(self, name: str) -> Any:
        value = self.js(f"host.dataset.{name}")
        return float(value) if value and name in ("yaw", "pitch", "zoom") else value

    def pixels(self) -> str:
        return self.js("canvas.toDataURL()")

    def wait(self, true: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, f"did not happen within {PATIENCE} s"
            time.sleep(0.02)

    def problems(self) -> set[str]:
        found = (event_problem(event, self.origin) for event in self.chromium.events)
        return {problem for problem in found if problem}

    def box(self, thing: str = "canvas") -> tuple[float, float, float, float]:
        """Left, top, width and height in the window."""
        return tuple(self.js(f"(r => [r.left, r.top, r.width, r.height])({thing}.getBoundingClientRect())"))

    def middle(self, thing: str = "canvas") -> tuple[float, float]:
        left, top, width, height = self.box(thing)
        return left + width / 2, top + height / 2

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.chromium.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def hover(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)

    def click(self, x: float, y: float) -> None:
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def drag(self, start: tuple[float, float], dx: float, dy: float) -> None:
        self.mouse("mousePressed", *start, button="left", clickCount=1)
        for share in (0.25, 0.5, 1):
            self.mouse("mouseMoved", start[0] + share * dx, start[1] + share * dy, button="left", buttons=1)
        end = start[0] + dx, start[1] + dy
        self.mouse("mouseReleased", *end, button="left", clickCount=1)
        self.settle()

    def settle(self) -> None:
        """Let the view draw what it was asked for."""
        self.chromium.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def touch(self, kind: str, *spot: float) -> None:
        points = [dict(zip("xy", spot))] if spot else []
        self.chromium.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def key(self, key: str) -> None:
        # Only with its code does an arrow key scroll a page.
        what = {"key": key, "code": key, "windowsVirtualKeyCode": ARROWS.get(key, 0)}
        self.chromium.call("Input.dispatchKeyEvent", type="keyDown", **what)
        self.chromium.call("Input.dispatchKeyEvent", type="keyUp", **what)
        self.settle()

    def place(self, position: np.ndarray) -> tuple[float, float]:
        """Where a point of the cross is on the screen now, worked out without the script."""

        def see(points: np.ndarray, yaw: float, pitch: float) -> np.ndarray:
            cos, sin = np.cos(np.radians([yaw, pitch])), np.sin(np.radians([yaw, pitch]))
            about_up = np.array([[cos[0], -sin[0], 0], [sin[0], cos[0], 0], [0, 0, 1]])
            tilt = np.array([[1, 0, 0], [0, cos[1], -sin[1]], [0, sin[1], cos[1]]])
            right, away, up = tilt @ about_up @ points.T
            return np.stack([right, up]) * CAMERA / (CAMERA + away)

        reach = np.max([np.abs(see(CROSS, yaw, 20)).max(axis=1) for yaw in range(0, 360, 15)], axis=0)
        left, top, width, height = self.box()
        unit = min((np.array([width, height]) / 2 - 18) / reach) * self.data("zoom")
        right, up = see(position, self.data("yaw"), self.data("pitch"))
        return left + width / 2 + right * unit, top + height / 2 - up * unit


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    program = browser.find_program()
    if not program:
        pytest.skip("Chromium is not installed")
    folder: Path = tmp_path_factory.mktemp("pages")
    view = cloud()._repr_html_()
    for name, ground in (("light", "#fff"), ("dark", "#111")):
        (folder / f"{name}.html").write_text(PAGE.format(ground=ground, view=view), encoding="utf-8")
    html = json.dumps(view).replace("</", "<\\/")
    (folder / "inserted.html").write_text(INSERTED.format(html=html), encoding="utf-8")
    hostile = figures.point_cloud({"<u>s": np.eye(3)}, ["</script><u>x", "&amp;", "b"], ["<u>k", "k", "k"])
    (folder / "hostile.html").write_text(PAGE.format(ground="#fff", view=hostile._repr_html_()), "utf-8")
    with browser.open_site(folder, program) as (chromium, origin):
        yield Reader(chromium, origin)


@pytest.fixture
def reader(opened: Reader) -> Iterator[Reader]:
    """The first view of a page that was just opened; nothing on it may complain."""
    opened.open("light.html")
    yield opened
    assert opened.problems() == set()
    assert opened.chromium.evaluate("Object.keys(window).filter(key => !before.includes(key))") == []


@pytest.mark.parametrize("look", browser.VIEWS)
def test_two_equal_views_start_on_every_page(opened: Reader, look: str) -> None:
    opened.open("dark.html" if look == "dark" else "light.html", look)
    both = "[...document.querySelectorAll('.minillm-point-cloud')]"
    told = f"{both}.map(h => h.dataset.state + h.dataset.yaw)"
    opened.wait(lambda: opened.chromium.evaluate(told) == ["before-35"] * 2)  # each in a frame of its own
    assert (
        opened.chromium.evaluate(f"{both}.map(h => getComputedStyle(h).backgroundColor)")
        == ["rgb(255, 255, 255)"] * 2
    )
    window = browser.VIEWS[look][0]
    assert opened.chromium.evaluate("document.documentElement.scrollWidth") <= window
    assert opened.box("host")[2] == window - 24
    assert opened.problems() == set()


def test_turning_one_view_leaves_the_other(reader: Reader) -> None:
    before = reader.pixels()
    reader.drag(reader.middle(), 100, 50)
    assert reader.data("yaw") > 0 and reader.data("pitch") > 20
    assert reader.pixels() != before
    assert reader.chromium.evaluate(reader.host.replace("[0]", "[1]") + ".dataset.yaw") == "-35"


def test_a_word_shows_where_its_point_is(reader: Reader) -> None:
    for turned in (False, True):
        if turned:
            reader.drag(reader.middle(), 130, -60)
        for name, position in zip(NAMES, CROSS):
            reader.hover(*reader.place(position))
            reader.wait(lambda name=name: reader.data("shown") == name)
            assert reader.js("root.querySelector('p').textContent").startswith(f"{name} (")
    reader.hover(*reader.place(CROSS[1] * 0.5))
    reader.wait(lambda: reader.data("shown") == "")


def test_the_nearest_are_those_of_the_coordinates(reader: Reader) -> None:
    reader.hover(*reader.place(CROSS[5]))
    reader.wait(lambda: reader.data("shown") == "top")
    nearest = reader.js("root.querySelector('p').textContent").rpartition(": ")[2].split(", ")
    # The centre is at 1, then the four sides are all equally far; the first of them come first.
    assert nearest == ["centre", "right", "left"]


def test_a_click_keeps_a_word_and_another_lets_it_go(reader: Reader) -> None:
    plain = reader.pixels()
    spot = reader.place(CROSS[1])
    reader.click(*spot)
    reader.hover(5, 5)
    reader.drag(reader.middle(), 0, 60)
    reader.hover(5, 5)
    reader.wait(lambda: reader.data("pitch") > 20 and reader.data("shown") == "right")
    reader.click(*reader.middle("root.querySelector('.reset')"))
    reader.wait(lambda: reader.data("shown") == "" and reader.data("pitch") == 20)
    assert reader.pixels() == plain


def test_find_goes_to_the_word(reader: Reader) -> None:
    reader.click(*reader.middle("root.querySelector('input')"))
    for typed, shown in (("B", "bottom"), ("ottomless", "")):
        reader.chromium.call("Input.insertText", text=typed)
        reader.wait(lambda shown=shown: reader.data("shown") == shown)
    assert "No point is called “Bottomless”" in reader.js("root.querySelector('p').textContent")
    reader.key("x")
    assert reader.chromium.evaluate("keys") == 0


def test_a_button_moves_the_points_to_another_state(reader: Reader) -> None:
    before = reader.pixels()
    # Seen by the page: the way takes less than a second, and a busy machine may look only when it is over.
    first = (
        "new MutationObserver(() => host.dataset.state === 'after' && (host.first ??= host.dataset.moving))"
    )
    reader.js(f"{first}.observe(host, {{attributes: true, attributeFilter: ['data-state']}})")
    reader.click(*reader.middle("root.querySelectorAll('.states button')[1]"))
    reader.wait(lambda: reader.data("state") == "after")
    assert reader.js("host.first") == "true"
    reader.wait(lambda: reader.data("moving") == "false")
    assert reader.js("[...root.querySelectorAll('.states button')].map(b => b.ariaPressed)") == [
        "false",
        "true",
    ]
    assert reader.pixels() != before
    reader.hover(*reader.place(CROSS[5]))
    reader.wait(lambda: reader.data("shown") == "right")


def test_reduced_motion_moves_at_once(reader: Reader) -> None:
    calm = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    reader.chromium.call("Emulation.setEmulatedMedia", features=calm)
    seen = "new MutationObserver(list => host.seen = list.map(() => host.dataset.moving))"
    reader.js(f"{seen}.observe(host, {{attributes: true, attributeFilter: ['data-state']}})")
    reader.click(*reader.middle("root.querySelectorAll('.states button')[1]"))
    reader.wait(lambda: reader.data("state") == "after")
    assert reader.js("host.seen") == ["false"]


def test_a_kind_in_the_legend_dims_the_others(reader: Reader) -> None:
    plain = reader.pixels()
    side = "root.querySelectorAll('.legend button')[1]"
    reader.click(*reader.middle(side))
    reader.wait(lambda: reader.pixels() != plain)
    assert reader.js(f"[{side}.textContent, {side}.ariaPressed]") == ["side", "true"]
    reader.hover(*reader.place(CROSS[1]))
    reader.wait(lambda: reader.data("shown") == "right")
    reader.hover(*reader.place(CROSS[5]))
    reader.wait(lambda: reader.data("shown") == "")
    reader.click(*reader.middle(side))
    reader.hover(5, 5)
    reader.wait(lambda: reader.pixels() == plain)


def test_keys_turn_and_zoom_and_go_no_further(reader: Reader) -> None:
    reader.js("canvas.focus()")
    for key, name, value in (
        ("ArrowRight", "yaw", -30),
        ("ArrowLeft", "yaw", -35),
        ("ArrowDown", "pitch", 25),
        ("ArrowUp", "pitch", 20),
        ("+", "zoom", 1.25),
        ("-", "zoom", 1),
    ):
        reader.key(key)
        reader.wait(lambda name=name, value=value: reader.data(name) == value)
    for _ in range(20):
        reader.key("ArrowDown")
    reader.wait(lambda: reader.data("pitch") == 90)
    assert reader.chromium.evaluate("[keys, scrollY]") == [0, 0]
    reader.key("0")
    reader.wait(lambda: reader.data("pitch") == 20)
    reader.key("a")
    assert reader.chromium.evaluate("keys") == 1


def test_buttons_zoom(reader: Reader) -> None:
    for button, zoom in ((".in", 1.25), (".out", 1)):
        reader.click(*reader.middle(f"root.querySelector('{button}')"))
        reader.wait(lambda zoom=zoom: reader.data("zoom") == zoom)


def test_the_wheel_scrolls_the_page(reader: Reader) -> None:
    before = reader.pixels()
    reader.mouse("mouseWheel", *reader.middle(), deltaX=0, deltaY=200)
    reader.wait(lambda: reader.chromium.evaluate("scrollY") > 0)
    assert (reader.data("zoom"), reader.pixels()) == (1, before)


def test_touch_turns_sideways_and_scrolls_downwards(reader: Reader) -> None:
    reader.open("light.html", "phone")

    def swipe(dx: int, dy: int) -> None:
        x, y = reader.middle()
        reader.touch("touchStart", x, y)
        for step in range(1, 9):
            reader.touch("touchMove", x + dx * step / 8, y + dy * step / 8)
        reader.touch("touchEnd")
        reader.settle()

    swipe(120, 0)
    assert reader.data("yaw") > 0
    angles = reader.data("yaw"), reader.data("pitch")
    assert reader.chromium.evaluate("scrollY") == 0
    swipe(0, -120)
    reader.wait(lambda: reader.chromium.evaluate("scrollY") > 50)
    reader.wait(lambda: (reader.data("yaw"), reader.data("pitch")) == angles)


def test_a_tap_shows_a_word(reader: Reader) -> None:
    reader.open("light.html", "phone")
    for position, name in ((CROSS[1], "right"), (CROSS[1] * 0.5, "")):
        reader.touch("touchStart", *reader.place(position))
        reader.touch("touchEnd")
        reader.wait(lambda name=name: reader.data("shown") == name)


def test_it_is_sharp_and_fits_narrow_pages(reader: Reader) -> None:
    for width in (900, 360):
        size = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": False}
        reader.chromium.call("Emulation.setDeviceMetricsOverride", **size)
        reader.wait(lambda width=width: reader.js("canvas.width") == 2 * (width - 24 - 26))
        assert reader.js("canvas.height") == 640
        assert reader.chromium.evaluate("document.documentElement.scrollWidth") == width


def test_it_has_names_for_those_who_do_not_see_it(reader: Reader) -> None:
    label = reader.js("canvas.getAttribute('aria-label')")
    assert label.startswith("7 points of 3 kinds: middle, side, pole.")
    assert reader.js("[canvas.tabIndex, canvas.getAttribute('role')]") == [0, "application"]
    reader.js("root.querySelector('.reset').focus()")
    reader.key("Tab")
    assert reader.js("[...root.querySelectorAll('button')].every(b => b.textContent.trim())")


def test_it_starts_when_its_script_runs_elsewhere(opened: Reader) -> None:
    opened.open("inserted.html")
    assert opened.problems() == set()


def test_hostile_names_stay_text(opened: Reader) -> None:
    opened.open("hostile.html")
    opened.hover(*opened.middle("root.querySelectorAll('.legend button')[0]"))
    assert opened.js("root.querySelectorAll('u').length") == 0
    assert opened.chromium.evaluate("document.querySelectorAll('u').length") == 0
    assert opened.js("[...root.querySelectorAll('.legend button')].map(b => b.textContent)") == ["<u>k", "k"]
    values = opened.js("[...root.querySelectorAll('option')].map(o => o.value)")
    assert values == ["</script><u>x", "&amp;", "b"]
    assert opened.problems() == set()


def test_without_scripts_the_page_says_so(opened: Reader) -> None:
    opened.chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        opened.chromium.load(opened.origin + "light.html", "light")
        assert opened.js("[root, host.querySelector('p').offsetHeight > 10]") == [None, True]
    finally:
        opened.chromium.call("Emulation.setScriptExecutionDisabled", value=False)
