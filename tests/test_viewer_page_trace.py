"""The page of a trace in a real browser: what all services did, by when it began and how long it took."""

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import HOSTILE, TRACE, expect, hostile, serious, trace, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(
        write(tmp_path_factory.mktemp("trace") / "audit", visitors() + trace() + hostile()), open_to_all=True
    )
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def rows(page):
    """What each row says: status, summary, service, start, duration."""
    found = page.locator(".waterfall tbody tr:not(.opened-row)")
    return [" ".join(text.split()) for text in found.all_inner_texts()]


def test_events_of_all_services_are_a_waterfall_below_their_callers(visit):
    visit.open(f"?page=trace&id={TRACE}&tz=UTC")
    assert [row.removeprefix("Details, level ") for row in rows(visit.page)] == [
        "1 200 POST /checkout shop 0 400 ms",
        "2 200 GET /stock/17 stock on stock1 +20 ms 80 ms",
        "2 502 POST /charges payments +120 ms 250 ms",
        "3 charge_refused payments +300 ms –",
        "1 200 GET /audit ⤴ ledger +350 ms 10 ms",
    ]
    bars = visit.page.locator(".lane i").evaluate_all("(bars) => bars.map(({ style }) => [style.left, style.width])")
    assert bars == [["0%", "100%"], ["5%", "20%"], ["30%", "62.5%"], ["75%", ""], ["87.5%", "2.5%"]]
    indents = visit.page.locator(".waterfall .what").evaluate_all(
        "(cells) => cells.map(({ style }) => style.paddingLeft)"
    )
    assert indents == ["8px", "24px", "24px", "40px", "8px"]
    visit.shot("trace-1280-light")


def test_what_is_known_of_it_is_told_at_a_glance(visit):
    visit.open(f"?page=trace&id={TRACE}&tz=UTC")
    told = " ".join(visit.page.locator(".figures").inner_text().split())
    for part in (
        "2026-11-14 09:00:00.000",
        "Took 400 ms",
        "Events 5",
        "shop, stock, payments, ledger",
        "Hosts stock1",
        "User user-1",
    ):
        assert part in told, part
    expect(visit.page.get_by_text("1 event tells of a caller that is not among the events")).to_be_visible()


def test_an_event_opens_below_by_mouse_and_by_keys(visit):
    visit.open(f"?page=trace&id={TRACE}")
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("Enter")
    visit.settle()
    expect(visit.page.locator(".opened")).to_contain_text("/stock/17")
    visit.page.locator("button.opener").nth(2).click()
    visit.settle()
    expect(visit.page.locator(".opened")).to_contain_text("/charges")
    visit.page.keyboard.press("k")
    visit.page.keyboard.press("Enter")
    visit.settle()
    expect(visit.page.locator(".opened")).to_contain_text("/stock/17")


def test_it_leads_to_its_user_and_to_its_events(visit):
    visit.open(f"?page=trace&id={TRACE}")
    visit.page.locator(".figures").get_by_role("button", name="user-1").click()
    visit.page.get_by_role("menuitem", name="Open the user's timeline").click()
    visit.settle()
    expect(visit.page.get_by_role("heading", name="User user-1")).to_be_visible()
    visit.page.go_back()
    visit.settle()
    visit.page.get_by_role("link", name="Show as events").click()
    visit.settle()
    assert visit.parameter("q") == f"trace:{TRACE}"
    assert visit.total() == 5


def test_what_is_no_trace_is_said_to_be_none(visit):
    visit.open("?page=trace&id=none")
    expect(visit.page.get_by_role("heading", name="There is no event of this trace")).to_be_visible()
    visit.open("?page=trace")
    expect(visit.page.get_by_role("heading", name="Which trace?")).to_be_visible()


def test_text_that_means_harm_is_text(visit):
    from urllib.parse import quote

    visit.open(f"?page=trace&id={quote(HOSTILE)}")
    assert len(rows(visit.page)) == 2
    expect(visit.page.locator("main img")).to_have_count(0)
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    visit.open(f"?page=trace&id={TRACE}")
    visit.shot(f"trace-{width}-{theme}")
    visit.page.keyboard.press("j")
    visit.page.keyboard.press("Enter")
    assert serious(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
