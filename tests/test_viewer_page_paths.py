"""Paths in a real browser: where they went next from an anchor, where they came from, and who went both ways."""

import re

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import END, expect, serious, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

PATHS = f"?page=paths&to={END}&anchor=path:/"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("paths") / "audit", visitors()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def steps(page):
    """The places of each step, with how many were there."""
    return [
        [" ".join(place.split()) for place in column.locator("li").all_inner_texts()]
        for column in page.locator(".paths section").all()
    ]


def test_from_an_anchor_each_step_shows_where_they_went(visit):
    visit.open(f"?page=paths&to={END}")
    expect(visit.page.get_by_role("heading", name="From where?")).to_be_visible()
    visit.page.get_by_label("Anchor").fill("path:/")
    visit.page.keyboard.press("Enter")
    visit.settle()
    expect(visit.page.locator(".funnel-total")).to_have_text("10 sessions went on from the anchor")
    assert steps(visit.page) == [["/pricing 10 100 %"], ["/signup 6 60 %", "the end 4 40 %"], ["the end 6 60 %"]]
    visit.shot("paths-1280-light")


def test_backward_shows_where_they_came_from(visit):
    visit.open(f"?page=paths&to={END}&anchor=path:/signup")
    visit.page.get_by_role("group", name="Direction").get_by_role("button", name="Before").click()
    visit.settle()
    assert visit.parameter("backward") == "1"
    visit.until(
        lambda: steps(visit.page) == [["/pricing 6 100 %"], ["/ 6 100 %"], ["the beginning 6 100 %"]], "the way there"
    )


def test_a_chosen_number_shows_who_of_the_next_step_was_there(visit):
    visit.open(PATHS)
    number = visit.page.locator(".paths section").nth(1).get_by_role("button", name=re.compile("^6, 60 %"))
    number.click()
    assert steps(visit.page)[0] == ["/pricing 6 of 10 100 %"]
    assert steps(visit.page)[2] == ["the end 6 of 6 60 %"]
    expect(number).to_have_attribute("aria-pressed", "true")
    visit.page.reload()  # it stands in the address
    visit.settle()
    expect(number).to_have_attribute("aria-pressed", "true")
    number.click()
    assert steps(visit.page)[0] == ["/pricing 10 100 %"]


def test_a_page_becomes_the_next_anchor(visit):
    visit.open(PATHS)
    visit.page.get_by_role("button", name="/pricing", exact=True).click()
    visit.page.get_by_role("menuitem", name="Where they go from here").click()
    visit.settle()
    visit.until(lambda: steps(visit.page)[0] == ["/signup 6 60 %", "the end 4 40 %"], "the steps from there")


def test_steps_units_and_pages_are_chosen(visit):
    visit.open(PATHS)
    visit.page.get_by_label("Steps", exact=True).select_option("2")
    visit.settle()
    visit.until(lambda: len(steps(visit.page)) == 2, "two steps")
    visit.page.get_by_label("Of", exact=True).select_option(label="Clients (IP)")
    visit.settle()
    visit.until(lambda: visit.page.locator(".funnel-total").inner_text().startswith("1 client"), "one client")
    visit.page.get_by_label("Steps among").fill("-path:/pricing")
    visit.page.keyboard.press("Enter")
    visit.settle()
    visit.until(lambda: steps(visit.page)[0] == ["/signup 1 100 %"], "steps among other pages")


def test_an_anchor_that_nobody_passed_is_told(visit):
    visit.open(f"?page=paths&to={END}&anchor=path:/nowhere")
    expect(visit.page.get_by_role("heading", name="No session has an event that matches the anchor")).to_be_visible()


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    visit.open(PATHS)
    visit.page.locator(".paths .drill").first.click()
    visit.shot(f"paths-{width}-{theme}")
    assert serious(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
