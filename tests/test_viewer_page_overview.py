"""The overview in a real browser: figures with what they were before, lists, robots apart, and the chart that zooms."""

import re

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import END, HOSTILE, expect, hostile, serious, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

# Two days, with as many before them.
DAYS = "from=2026-11-04T00:00:00Z&to=2026-11-06T00:00:00Z"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("overview") / "audit", visitors() + hostile()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def tiles(page):
    """What each tile says, by its name."""
    pairs = [text.split("\n") for text in page.locator(".tile").all_inner_texts()]
    return {name: " | ".join(part.strip() for part in rest if part.strip()) for name, *rest in pairs}


def table(page, title):
    """The rows of one list."""
    card = page.locator(".tops .card").filter(has=page.get_by_role("heading", name=title, exact=True))
    return [" ".join(row.split()) for row in card.locator("tbody tr").all_inner_texts()]


def test_figures_stand_beside_those_of_the_period_before(visit):
    visit.open(f"?page=overview&{DAYS}")
    told = tiles(visit.page)
    # On two days two newcomers with three requests each, and two who come back; on the two before, one who does.
    assert told["Requests"] == "8 | ▲ 14.3 % | more, 7 before | robots 2"
    assert told["Users"] == "3 | ▲ 50 % | more, 2 before | no robots"
    assert told["Sessions"] == "4 | ▲ 33.3 % | more, 3 before | no robots"
    assert told["Client errors"].endswith("robots 2")
    assert told["Duration p95"].startswith("20 ms | unchanged")
    assert told["Sent"].startswith("8 kB")
    expect(visit.page.get_by_text("Compared with 2026-11-02 01:00 – 2026-11-04 01:00")).to_be_visible()
    visit.shot("overview-1280-light")


def test_the_comparison_is_chosen_and_stands_in_the_address(visit):
    visit.open(f"?page=overview&{DAYS}")
    group = visit.page.get_by_role("group", name="Compare with")
    group.get_by_role("button", name="Same weekday").click()
    visit.settle()
    assert visit.parameter("compare") == "week"
    expect(visit.page.get_by_text("Compared with 2026-10-28 01:00 – 2026-10-30 01:00")).to_be_visible()
    assert "none before" in tiles(visit.page)["Requests"]
    group.get_by_role("button", name="No comparison").click()
    visit.settle()
    visit.until(lambda: tiles(visit.page)["Requests"] == "8 | robots 2", "the figures alone")


def test_all_time_has_nothing_to_compare_with_and_says_so(visit):
    visit.open("?page=overview")
    expect(visit.page.get_by_text("All time has nothing to compare with")).to_be_visible()
    visit.page.get_by_role("link", name="look at the last 7 days").click()
    visit.settle()
    assert visit.parameter("from") == "now-7d"


def test_a_copied_link_has_moments_in_place_of_what_counts_from_now(visit):
    visit.open("?page=overview&from=now-7d&q=path:/pricing")
    visit.page.get_by_role("button", name="Copy a link to this page").click()
    visit.until(lambda: "page=overview" in visit.clipboard(), "the link")
    assert re.search(r"from=20\d\d-\d\d-\d\dT.*&to=20\d\d-\d\d-\d\dT", visit.clipboard())
    assert "q=path:/pricing" in visit.clipboard()
    assert "tz=Europe/Amsterdam" in visit.clipboard()


def test_the_lists_show_robots_apart(visit):
    visit.open("?page=overview&to=2026-11-14T00:00:00Z")
    assert table(visit.page, "Pages")[:4] == ["/ 10 0", "/pricing 10 0", "/signup 6 0", "/account 4 0"]
    assert table(visit.page, "Not found (404)") == ["/robots.txt 0 5"]
    assert table(visit.page, "Referrers") == ["news.example 5 0"]
    assert table(visit.page, "Clients") == ["192.0.2.7 30 0", "192.0.2.66 0 5"]
    assert [row[-4:] for row in table(visit.page, "User agents")] == ["30 0", " 0 5"]


def test_a_value_filters_and_a_page_leads_to_its_paths(visit):
    visit.open(f"?page=overview&to={END}")
    visit.page.get_by_role("link", name="news.example").click()
    visit.settle()
    assert visit.parameter("q") == "referrer:*//news.example*"
    visit.until(lambda: tiles(visit.page)["Requests"].startswith("5"), "what came from there")
    visit.page.go_back()
    visit.settle()
    visit.page.get_by_role("button", name="/pricing", exact=True).click()
    visit.page.get_by_role("menuitem", name="Filter for this page").click()
    visit.settle()
    visit.until(lambda: tiles(visit.page)["Requests"].startswith("10"), "the requests for the page")
    visit.page.get_by_role("button", name="/pricing", exact=True).click()
    visit.page.get_by_role("menuitem", name="Where they go from here").click()
    visit.settle()
    assert visit.parameter("page") == "paths"
    assert "/pricing" in visit.parameter("anchor")
    expect(visit.page.get_by_text("sessions went on from the anchor")).to_be_visible()


def test_a_client_leads_to_its_page(visit):
    visit.open(f"?page=overview&to={END}")
    visit.page.get_by_role("link", name="192.0.2.66").click()
    visit.settle()
    expect(visit.page.get_by_role("heading", name="Client 192.0.2.66")).to_be_visible()


def test_the_chart_zooms_and_the_filter_filters(visit):
    visit.open(f"?page=overview&from=2026-11-02T00:00:00Z&to={END}")
    box = visit.page.locator(".timeline svg.brushable").bounding_box()
    y = box["y"] + box["height"] / 2
    visit.page.mouse.move(box["x"] + box["width"] * 0.1, y)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] * 0.3, y, steps=5)
    visit.page.mouse.up()
    visit.settle()
    assert visit.parameter("to") < END
    visit.page.keyboard.press("/")
    visit.page.keyboard.type("path:/pricing")
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert visit.parameter("q") == "path:/pricing"
    expect(visit.page.locator(".timeline")).to_contain_text("4 events")


def test_a_part_says_that_it_is_one(visit):
    def cut(route):
        answered = route.fetch()
        told = answered.json()
        partial = {"reasons": ["time limit"], "covered_from": "2026-11-05T00:00:00Z", "covered_to": None}
        told["answer"]["now"]["partial"] = told["answer"]["now"]["pages"]["partial"] = partial
        route.fulfill(response=answered, json=told)

    visit.page.route("**/api/summary?*", cut)
    visit.open(f"?page=overview&{DAYS}")
    notes = visit.page.locator(".note.warning")
    expect(notes).to_have_count(2)
    expect(notes.first).to_contain_text(
        "Traffic. Incomplete: the time limit was reached; covers everything since 2026-11-05"
    )


def test_text_that_means_harm_is_text(visit):
    visit.open("?page=overview&from=2026-11-15T00:00:00Z&to=2026-11-16T00:00:00Z")
    expect(visit.page.locator("main img")).to_have_count(0)
    assert any(HOSTILE[:20] in row for row in table(visit.page, "User agents"))
    assert any(re.search("U\\+202E", row) for row in table(visit.page, "User agents"))
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    for search in ("?page=overview", f"?page=overview&{DAYS}"):
        visit.open(search)
        assert serious(visit.page) == []
    visit.shot(f"overview-{width}-{theme}")
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
