"""The live tail in a real browser: what is read never moves, what waits is counted, nothing is lost or shown twice."""

import re

import pytest

import auditmw
from auditmw.viewer import ASGIViewerApp, ViewerApp
from viewer_browser import Visit, serving_asgi, serving_wsgi, shop, write

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]


class Shop:
    """A viewer, a visit to it, and an application that goes on writing."""

    def __init__(self, visit, audit):
        self.visit, self.page, self._audit, self._written = visit, visit.page, audit, 0

    def writes(self, number):
        for _ in range(number):
            self._written += 1
            auditmw.record(
                "order_shipped", audit=self._audit, message=f"parcel {self._written}", data={"parcel": self._written}
            )

    def sees(self, parcel):
        """Wait until this parcel is in the first row."""
        row = self.page.locator("tr[data-index='0']").filter(has_text=re.compile(rf"parcel {parcel}\b"))
        row.wait_for(timeout=15_000)

    def parcels(self):
        found = self.page.locator("tr[data-index] .summary-message").all_inner_texts()
        return [int(text.removeprefix("parcel ")) for text in found if text.startswith("parcel")]


@pytest.fixture(params=["sse", "poll"])
def shop_window(request, browser, tmp_path):
    directory = write(tmp_path / "audit", shop())
    viewer = ViewerApp(directory, open_to_all=True)
    audit = auditmw.Audit(directory, service="shop")
    serving = serving_asgi(ASGIViewerApp(viewer)) if request.param == "sse" else serving_wsgi(viewer)
    with serving as address:
        visit = Visit(browser, f"{address}/").open("?live=1")
        way = "tail/stream" if request.param == "sse" else "api/tail?"
        visit.until(lambda: any(way in url for url in visit.requests), f"tailing by {request.param}")
        yield Shop(visit, audit)
        visit.close()
    audit.close()
    viewer.close()


def test_new_events_appear_on_top_by_themselves(shop_window):
    shop_window.writes(3)
    shop_window.sees(3)
    shop_window.writes(2)
    shop_window.sees(5)
    assert shop_window.parcels() == [5, 4, 3, 2, 1]
    shop_window.visit.shot("live")


def test_it_pauses_while_one_scrolls_and_resumes_at_the_top(shop_window):
    page, visit = shop_window.page, shop_window.visit
    shop_window.writes(1)
    shop_window.sees(1)
    scroller = page.get_by_role("region", name="Events; scrolls")
    scroller.evaluate("(element) => element.scrollTo(0, 600)")
    page.get_by_text("Paused while you read").wait_for()
    visit.settle()
    before = page.locator("tr[data-index]").all_inner_texts()
    shop_window.writes(4)
    resume = page.get_by_role("button", name="4 new events")
    resume.wait_for(timeout=15_000)
    visit.shot("live-paused")
    assert page.locator("tr[data-index]").all_inner_texts() == before
    assert scroller.evaluate("(element) => element.scrollTop") == 600
    resume.click()
    shop_window.sees(5)
    assert scroller.evaluate("(element) => element.scrollTop") == 0
    assert page.get_by_text("Paused while you read").count() == 0


def test_it_pauses_while_one_looks_at_an_event(shop_window):
    page = shop_window.page
    page.locator("tr[data-index='4'] .opener button").click()
    page.get_by_text("Paused while you read").wait_for()
    shop_window.writes(2)
    page.get_by_role("button", name="2 new events").wait_for(timeout=15_000)
    assert shop_window.parcels() == []


def test_it_is_stopped_and_started_by_hand(shop_window):
    page, visit = shop_window.page, shop_window.visit
    page.get_by_role("button", name="Pause").click()
    shop_window.writes(1)
    page.get_by_role("button", name="1 new event").click(timeout=15_000)
    shop_window.sees(1)
    page.get_by_role("button", name="Live").click()
    visit.settle()
    assert visit.parameter("live") is None
    shop_window.sees(1)


def test_the_query_holds_for_it_too(shop_window):
    page, visit = shop_window.page, shop_window.visit
    page.get_by_label("Query", exact=True).fill("data.parcel:>1")
    page.get_by_label("Query", exact=True).press("Enter")
    visit.settle()
    page.get_by_role("heading", name="Waiting for events").wait_for()
    shop_window.writes(3)
    shop_window.sees(3)
    assert shop_window.parcels() == [3, 2]


def test_what_it_says_aloud_is_polite(shop_window):
    said = shop_window.page.locator(".live-bar [aria-live=polite]")
    assert said.count() == 1
    shop_window.writes(2)
    shop_window.visit.until(lambda: said.inner_text() == "2 new events", "the announcement", seconds=25)
