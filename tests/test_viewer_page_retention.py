"""The cohorts of the retention page in a real browser: who began, who came back, and what is not over yet."""

import re

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import SIGNED, expect, serious, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

# The last day ends at noon: what came back in it is not all that will.
RETENTION = "?page=retention&from=2026-11-02T00:00:00Z&to=2026-11-08T12:00:00Z&tz=UTC"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("retention") / "audit", visitors()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def rows(page):
    """The rows of the matrix, with what is said to those who do not see it."""
    return [" ".join(row.split()) for row in page.locator(".cohorts tbody tr").all_inner_texts()]


def choose(visit, group, name):
    visit.page.get_by_role("group", name=group).get_by_role("button", name=name, exact=True).click()
    visit.settle()


def test_each_day_is_a_cohort_with_who_came_back(visit):
    visit.open(RETENTION)
    # Of six users, one a day, the first four came back on the next day, and never again; that of the sixth is not over.
    assert rows(visit.page) == [
        "Together 6 100% 80% 0% 0% 0% 0%",
        "2026-11-02 1 100% 100% 0% 0% 0% 0% 0% so far",
        "2026-11-03 1 100% 100% 0% 0% 0% 0% so far",
        "2026-11-04 1 100% 100% 0% 0% 0% so far",
        "2026-11-05 1 100% 100% 0% 0% so far",
        "2026-11-06 1 100% 0% 0% so far",
        "2026-11-07 1 100% 0% so far",
        "2026-11-08* 0 –",
    ]
    visit.shot("retention-1280-light")


def test_what_is_not_over_is_marked_and_explained(visit):
    visit.open(RETENTION)
    marked = visit.page.locator(".cohorts .incomplete")
    assert marked.count() == SIGNED
    assert "repeating-linear-gradient" in marked.first.evaluate("(cell) => getComputedStyle(cell).backgroundImage")
    expect(visit.page.get_by_text("the day is not over yet")).to_be_visible()


def test_it_goes_by_the_week_and_by_numbers(visit):
    visit.open(RETENTION)
    choose(visit, "By", "Week")
    choose(visit, "Show", "Number")
    assert visit.parameter("period") == "week"
    visit.until(lambda: rows(visit.page)[1:] == ["2026-11-02* 6 6 so far"], "one week, not over")


def test_one_says_what_beginning_and_coming_back_mean(visit):
    visit.open(RETENTION)
    visit.page.get_by_label("Who did").fill("event:user_signed_up")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_label("and came back to do").fill("path:/account")
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert visit.parameter("returning") == "path:/account"
    visit.until(lambda: rows(visit.page)[0].startswith("Together 3 0% 100%"), "three who signed up, and came back")


def test_any_time_counts_each_day_anew(visit):
    visit.open(RETENTION)
    choose(visit, "When they did", "Any time")
    assert visit.parameter("who") == "any"
    visit.until(
        lambda: rows(visit.page)[2] == "2026-11-03 2 100% 50% 0% 0% 0% 0% so far", "the newcomer and who came back"
    )


def test_events_of_nobody_are_told_and_other_units_are_counted(visit):
    visit.open(RETENTION)
    expect(visit.page.get_by_text("events more belong to no user")).to_be_visible()
    visit.page.get_by_label("Of", exact=True).select_option(label="Users, also before login")
    visit.settle()
    assert visit.parameter("unit") == "person"
    visit.until(lambda: re.match("Together 6 ", rows(visit.page)[0]), "the same users")


def test_of_a_long_range_the_empty_beginning_is_left_out_and_columns_are_shown_on_demand(visit):
    visit.open("?page=retention&from=2026-01-01T00:00:00Z&to=2027-01-31T00:00:00Z&tz=UTC")
    assert rows(visit.page)[1].startswith("2026-11-02 1 100% 100% 0%")
    assert visit.page.locator(".cohorts thead th").count() == 2 + 40
    visit.page.get_by_role("link", name="Show all 90 days").click()
    visit.settle()
    visit.until(lambda: visit.page.locator(".cohorts thead th").count() == 2 + 90, "all columns")


def test_where_nobody_began_it_says_so_and_helps(visit):
    visit.open("?page=retention&from=2026-12-01T00:00:00Z&to=2026-12-05T00:00:00Z")
    expect(visit.page.get_by_role("heading", name="No user began in this range")).to_be_visible()
    visit.page.get_by_role("link", name="Anything, in all time").click()
    visit.settle()
    assert visit.parameter("from") is None
    visit.until(lambda: rows(visit.page), "cohorts")


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    visit.open(RETENTION)
    visit.shot(f"retention-{width}-{theme}")
    assert serious(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
