"""What the page is to everybody: light and dark, wide and narrow, by ear; and what hostile events make of it."""

from importlib.resources import files

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, event_id, request, serving_wsgi, shop, write

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

THEMES = ["light", "dark"]
WIDTHS = [1280, 390]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("page") / "audit", shop()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def visit_of(browser, base, width, theme):
    phone = {"has_touch": True, "is_mobile": True} if width < 720 else {}
    return Visit(browser, base, width=width, height=800 if width > 720 else 844, theme=theme, **phone)


def found_by_axe(page):
    """What axe-core finds to be wrong, but for what is of minor and moderate impact."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    results = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['impact']} {one['id']}: {node['target']} {node['failureSummary']}"
        for one in results["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def overflow(page):
    """By how many pixels the page is wider than the window."""
    return page.evaluate("() => document.documentElement.scrollWidth - innerWidth")


STATES = {
    "events": "",
    "detail": f"?sel={event_id(699)}",
    "filtered": "?q=status:4xx+usr:bob&from=now-400d",
    "around": f"?around={event_id(300)}&same=user",
    "nothing": "?q=user:nobody",
    "live": "?live=1",
}


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious(browser, base, width, theme):
    visit = visit_of(browser, base, width, theme)
    wrong = {}
    for name, search in STATES.items():
        visit.open(search)
        visit.shot(f"{name}-{width}-{theme}")
        wrong[name] = found_by_axe(visit.page)
    assert wrong == {name: [] for name in STATES}
    visit.close()


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious_in_what_opens(browser, base, theme):
    visit = visit_of(browser, base, 1280, theme).open()
    page = visit.page
    openers = {
        "range": lambda: page.get_by_role("button", name="Time range").click(),
        "columns": lambda: page.get_by_role("button", name="Columns").click(),
        "views": lambda: page.get_by_role("button", name="Views").click(),
        "export": lambda: page.get_by_role("button", name="Export").click(),
        "help": lambda: page.keyboard.press("?"),
        "value": lambda: page.locator("tr[data-index='2'] [data-column=ip] button").click(),
    }
    wrong = {}
    for name, opened in openers.items():
        opened()
        visit.settle()
        visit.shot(f"open-{name}-{theme}")
        wrong[name] = found_by_axe(page)
        page.keyboard.press("Escape")
    assert wrong == {name: [] for name in openers}
    visit.close()


def test_the_theme_is_the_systems_or_the_chosen_one(browser, base):
    visit = visit_of(browser, base, 1280, "dark").open()
    background = "() => getComputedStyle(document.body).backgroundColor"
    dark = visit.page.evaluate(background)
    visit.page.get_by_role("button", name="Theme").click()
    visit.page.get_by_role("menuitemradio", name="Light").click()
    light = visit.page.evaluate(background)
    assert dark != light
    visit.page.reload()
    visit.settle()
    assert visit.page.evaluate(background) == light
    visit.close()


class TestOnAPhone:
    @pytest.fixture
    def visit(self, browser, base):
        made = visit_of(browser, base, 390, "light").open()
        yield made
        made.close()

    def test_nothing_is_wider_than_the_screen(self, visit):
        for search in STATES.values():
            visit.open(search)
            assert overflow(visit.page) <= 0, search

    def test_rows_are_stacked_and_a_tap_shows_the_event(self, visit):
        row = visit.page.locator("tr[data-index='1']")
        box = row.bounding_box()
        assert box["width"] <= 390
        assert box["height"] > 50
        row.tap()
        visit.settle()
        details = visit.page.get_by_role("complementary", name="Event in detail")
        assert details.bounding_box()["width"] == 390
        details.get_by_role("button", name="Close the details").tap()
        visit.settle()
        assert visit.parameter("sel") is None

    def test_filters_are_in_a_drawer(self, visit):
        visit.page.get_by_role("button", name="Filters").tap()
        visit.settle()
        visit.page.get_by_role("checkbox", name="alice").check()
        visit.settle()
        visit.shot("drawer-390-light")
        visit.page.get_by_role("button", name="Close the filters").last.tap()
        visit.settle()
        assert visit.parameter("q") == "user:alice"
        assert not visit.page.get_by_role("checkbox", name="alice").is_visible()

    def test_one_brushes_with_a_finger(self, visit):
        box = visit.page.locator(".timeline svg.brushable").bounding_box()
        session = visit.context.new_cdp_session(visit.page)
        y = box["y"] + 50
        points = [[{"x": box["x"] + box["width"] * share, "y": y}] for share in (0.4, 0.5, 0.6, 0.7)]
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points[0]})
        for point in points[1:]:
            session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": point})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        visit.settle()
        assert visit.parameter("from") < visit.parameter("to")


SCRIPT = "<script>window.hacked=1</script>"
IMAGE = "<img src=x onerror=window.hacked=1>"
BIDI = "user\u202egnp.exe"
CONTROLS = "a\u0000b\u001b[31mc\u200bd\u2066e"


def hostile():
    """Events that everything is wrong with: what they say is still text."""
    return [
        request(0, actor={"id": SCRIPT, "name": IMAGE, "type": "user"}, url={"path": f"/{IMAGE}", "host": "h"}),
        request(1, actor={"id": BIDI, "type": "user"}, url={"path": "/\u202e/moc.live"}, message=CONTROLS),
        request(2, url={"path": "javascript:window.hacked=1"}, session={"id": "javascript:window.hacked=1"}),
        request(3, data={"__proto__": {"polluted": 1}, "constructor": "c", SCRIPT: {IMAGE: SCRIPT}, "toString": 1}),
        request(4, message="x" * 100_000, data={"long": "<b>" * 40_000, "lines": "a\n" * 20_000}),
        request(5, data={f"key {number}": number for number in range(10_000)}),
        request(6, data={"deep": nested(120)}),
        request(7, actor={"id": "x" * 100_000, "type": "user"}, event='"><svg onload=window.hacked=1>'),
        request(8, http={"request": {"method": SCRIPT, "headers": {f"x-{SCRIPT}": [IMAGE]}, "user_agent": SCRIPT}}),
    ]


def nested(depth):
    value = SCRIPT
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.fixture(scope="module")
def hostile_base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("hostile") / "audit", hostile()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


class TestHostileEvents:
    @pytest.fixture(params=WIDTHS)
    def visit(self, request, browser, hostile_base):
        made = visit_of(browser, hostile_base, request.param, "light")
        yield made
        assert made.page.evaluate("() => window.hacked") is None
        assert made.page.evaluate("() => ({}).polluted") is None
        made.close()

    def test_the_table_shows_them_as_text(self, visit):
        visit.open("?col=time&col=user&col=path&col=message&col=event&col=agent&col=method")
        text = visit.page.locator("tbody").inner_text()
        assert SCRIPT in text
        assert IMAGE in text
        visit.shot(f"hostile-{visit.page.viewport_size['width']}")
        assert overflow(visit.page) <= 0

    def test_what_cannot_be_seen_is_shown_as_what_it_is(self, visit):
        visit.open(f"?sel={event_id(1)}")
        details = visit.page.get_by_role("complementary")
        marks = details.locator(".mark").all_inner_texts()
        assert {"U+202E", "\\0", "U+001B", "U+200B", "U+2066"} <= set(marks)
        shown = details.inner_text()
        assert not set("\u202e\u2066\u200b\u0000\u001b") & set(shown)
        visit.shot(f"hostile-bidi-{visit.page.viewport_size['width']}")

    @pytest.mark.parametrize("number", range(9), ids=lambda number: f"event-{number}")
    def test_each_is_shown_in_detail_and_as_json(self, visit, number):
        visit.open(f"?sel={event_id(number)}")
        details = visit.page.get_by_role("complementary")
        details.locator(".tree").first.wait_for()
        assert details.locator("script, img, b").count() == 0
        assert visit.page.evaluate("() => document.querySelectorAll('*').length") < 6_000
        details.get_by_role("button", name="JSON", exact=True).click()
        visit.settle()
        assert details.locator("script, img, b").count() == 0
        assert overflow(visit.page) <= 0

    def test_what_is_long_is_cut_and_shown_on_demand(self, visit):
        visit.open(f"?sel={event_id(4)}")
        long = visit.page.get_by_role("complementary").locator(".leaf", has_text="long")
        assert len(long.inner_text()) < 1_000
        long.locator("summary").click()
        long.get_by_role("button", name="show more").click()
        assert len(long.inner_text()) > 20_000

    def test_10_000_keys_are_shown_a_part_at_a_time(self, visit):
        visit.open(f"?sel={event_id(5)}")
        details = visit.page.get_by_role("complementary")
        assert details.locator(".leaf").count() < 200
        details.get_by_role("button", name="show more").click()
        assert details.locator(".leaf").count() > 500

    def test_a_filter_on_a_hostile_value_finds_its_event(self, visit):
        visit.open(f"?sel={event_id(0)}")
        details = visit.page.get_by_role("complementary")
        details.locator(".branch", has_text="actor").locator(".leaf").first.get_by_role("button").click()
        visit.page.get_by_role("menuitem", name="Filter for this value").click()
        visit.settle()
        assert visit.parameter("q") == f'user:"{SCRIPT}"'
        visit.until(lambda: visit.total() == 1, "one event")
