"""Conversion over time in a real browser: of how many, how many reached the goal, day by day and by segment."""

import re

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import expect, serious, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

RANGE = "from=2026-11-02T00:00:00Z&to=2026-11-07T12:00:00Z&tz=UTC"
CONVERSION = f"?page=conversion&{RANGE}&goal=path:/signup&base=path:/"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("conversion") / "audit", visitors()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def rows(page, name):
    found = page.get_by_role("region", name=name).locator("tbody tr").all_inner_texts()
    return [" ".join(row.split()) for row in found]


def test_a_goal_is_written_and_its_rate_appears(visit):
    visit.open(f"?page=conversion&{RANGE}")
    expect(visit.page.get_by_role("heading", name="What is the goal?")).to_be_visible()
    visit.page.get_by_label("Goal").fill("event:user_signed_up")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_label("of those with").fill("path:/pricing")
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert visit.parameter("base") == "path:/pricing"
    expect(visit.page.locator(".funnel-total")).to_have_text("50 % 3 of 6 sessions")


def test_each_day_has_its_rate_and_the_last_one_is_marked_incomplete(visit):
    visit.open(CONVERSION)
    assert rows(visit.page, "By period") == [
        "2026-11-07 incomplete 100 % 1 1 1",
        *(f"2026-11-{day:02} 100 % 1 1 1" for day in (6, 5, 4, 3, 2)),
    ]
    expect(visit.page.get_by_role("application", name=re.compile("Rate over time; 100 %"))).to_be_visible()
    visit.shot("conversion-1280-light")


def test_a_day_of_the_chart_is_a_range(visit):
    visit.open(CONVERSION)
    visit.page.get_by_role("application").focus()
    visit.page.keyboard.press("Home")
    expect(visit.page.locator(".chart-tip")).to_contain_text("100 %")
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert visit.parameter("to").startswith("2026-11-03T00:00:00")


def test_a_breakdown_divides_base_and_goal_alike(visit):
    visit.open(CONVERSION.replace("2026-11-07T12", "2026-11-20T00"))
    visit.page.get_by_label("Break down by").fill("referrer.host")
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert set(rows(visit.page, "By referrer.host")) == {"news.example 60 % 3 5", "none 60 % 3 5"}
    expect(visit.page.locator(".key")).to_contain_text("news.example")


def test_the_unit_and_the_period_are_chosen(visit):
    visit.open(CONVERSION)
    visit.page.get_by_label("Of", exact=True).select_option(label="Events")
    visit.page.get_by_role("group", name="By").get_by_role("button", name="Week").click()
    visit.settle()
    assert (visit.parameter("unit"), visit.parameter("period")) == ("event", "week")
    visit.until(lambda: rows(visit.page, "By period") == ["2026-11-02 incomplete 100 % 6 6 6"], "one week")


def test_a_wrong_goal_is_told(visit):
    visit.open(f"?page=conversion&{RANGE}&goal=nothing:1")
    expect(visit.page.locator(".note.error")).to_contain_text("there is no field 'nothing'")
    visit.wrong.clear()  # the refusal stands in the console, too


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    visit.open(CONVERSION + "&breakdown=referrer.host")
    visit.shot(f"conversion-{width}-{theme}")
    assert serious(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
