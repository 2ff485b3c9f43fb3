"""The pages about a user, a session and a client in a real browser: all that they did, in sessions, with the pauses."""

import re

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import HOSTILE, busy, expect, hostile, night, serious, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(
        write(tmp_path_factory.mktemp("life") / "audit", busy() + visitors() + hostile() + night()), open_to_all=True
    )
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def paths(page):
    """The events in their order, each by its summary."""
    return [" ".join(text.split()) for text in page.locator(".event-row .summary").all_inner_texts()]


def figures(page):
    """What is told of the whole life, by name."""
    pairs = page.locator(".figures > div").all_inner_texts()
    return {name: " ".join(rest) for name, *rest in (pair.split("\n") for pair in pairs)}


def choose(page, group, name):
    page.get_by_role("group", name=group).get_by_role("button", name=name).click()


class TestAUser:
    def test_all_of_their_time_is_shown_whatever_the_range_of_other_pages(self, visit):
        visit.open("?page=user&id=user-1&from=now-15m&q=status:5xx&tz=UTC")
        assert paths(visit.page) == ["GET /account", "user_signed_up", "POST /signup"]
        told = figures(visit.page)
        assert told["Events"] == "3"
        assert told["First seen"].startswith("2026-11-03 09:02:00")
        assert told["Last seen"].startswith("2026-11-04 09:00:00")
        expect(visit.page.get_by_role("button", name=re.compile("^Time range"))).to_have_count(0)
        visit.shot("user-1280-light")

    def test_sessions_are_apart_with_the_pause_between_them(self, visit):
        visit.open("?page=user&id=user-1&tz=UTC")
        assert [" ".join(text.split()) for text in visit.page.locator(".visit h2").all_inner_texts()] == [
            "2026-11-04 09:00:00 – 09:00:00",
            "2026-11-03 09:02:00 – 09:02:01",
        ]
        expect(visit.page.locator(".gap")).to_have_text("nothing for 23 h 57 min")
        visit.page.locator(".visit").last.get_by_role("link", name="session first-1").click()
        visit.settle()
        expect(visit.page.get_by_role("heading", name="Session first-1")).to_be_visible()

    def test_what_they_did_before_logging_in_is_theirs_on_demand(self, visit):
        visit.open("?page=user&id=user-1&order=oldest")
        assert "GET /pricing" not in paths(visit.page)
        visit.page.get_by_label("With what was done before logging in").check()
        visit.settle()
        assert visit.parameter("stitched") == "1"
        visit.until(lambda: paths(visit.page)[:2] == ["GET /", "GET /pricing"], "the anonymous pages")
        assert figures(visit.page)["Events"] == "5"

    def test_one_jumps_to_the_first_event_and_to_the_last(self, visit):
        visit.open("?page=user&id=busy")
        assert paths(visit.page)[0] == "GET /jobs/449"
        visit.page.get_by_role("link", name=re.compile("^2026-09-03")).click()
        visit.settle()
        assert visit.parameter("order") == "oldest"
        visit.until(lambda: paths(visit.page)[0] == "GET /jobs/0", "the first event")
        choose(visit.page, "Order", "Newest first")
        visit.settle()
        visit.until(lambda: paths(visit.page)[0] == "GET /jobs/449", "the last event")

    def test_one_jumps_to_any_date_and_goes_on_both_ways(self, visit):
        visit.open("?page=user&id=busy&order=oldest&tz=UTC")
        visit.page.get_by_label("Go to").fill("2026-09-10")
        visit.settle()
        assert visit.parameter("at") == "2026-09-10"
        visit.until(lambda: paths(visit.page)[0] == "GET /jobs/80", "that day's first event")
        visit.page.get_by_role("button", name="Earlier events").click()
        visit.settle()
        visit.until(lambda: paths(visit.page)[0] == "GET /jobs/0", "what was before")
        assert paths(visit.page) == [f"GET /jobs/{number}" for number in range(280)]
        visit.page.get_by_role("button", name="Later events").click()
        visit.settle()
        visit.until(lambda: len(paths(visit.page)) == 450, "the rest")
        expect(visit.page.get_by_text("The last event. 450 events shown.")).to_be_visible()

    def test_pages_are_put_together_without_a_gap_or_a_double(self, visit):
        visit.open("?page=user&id=busy")
        for shown in (400, 450):
            visit.page.get_by_role("button", name="Earlier events").click()
            visit.settle()
            visit.until(lambda many=shown: len(paths(visit.page)) == many, f"{shown} events")
        assert paths(visit.page) == [f"GET /jobs/{number}" for number in reversed(range(450))]
        # A session goes on after two hours of nothing, but as another visit.
        assert visit.page.locator(".gap").all_inner_texts() == ["nothing for 2 h"] * 449
        expect(visit.page.get_by_role("button", name="Earlier events")).to_have_count(0)

    def test_the_chart_of_their_activity_leads_to_a_day(self, visit):
        visit.open("?page=user&id=busy&tz=UTC")
        chart = visit.page.get_by_role("application", name=re.compile("Events over all time"))
        chart.focus()
        visit.page.keyboard.press("Home")
        visit.page.keyboard.press("Enter")
        visit.settle()
        assert visit.parameter("at") == "2026-09-03"
        assert visit.parameter("order") == "oldest"

    def test_only_some_of_their_events_may_be_shown(self, visit):
        visit.open("?page=user&id=user-1")
        field = visit.page.get_by_label("Only events that match")
        field.fill("method:POST")
        field.press("Enter")
        visit.settle()
        visit.until(lambda: paths(visit.page) == ["POST /signup"], "one event")
        field.fill("status:500")
        field.press("Enter")
        visit.settle()
        visit.page.get_by_role("link", name="Show all of it").click()
        visit.settle()
        visit.until(lambda: len(paths(visit.page)) == 3, "all events again")

    def test_an_event_opens_below_and_leads_to_its_surroundings(self, visit):
        visit.open("?page=user&id=user-1")
        visit.page.keyboard.press("j")
        visit.page.keyboard.press("j")
        visit.page.keyboard.press("Enter")
        visit.settle()
        opened = visit.page.locator(".opened")
        expect(opened).to_contain_text("user_signed_up")
        assert visit.parameter("sel")
        visit.page.reload()
        visit.settle()
        opened.get_by_role("link", name=re.compile("Around it")).click()
        visit.settle()
        assert visit.parameter("page") == "events"
        assert visit.parameter("around")

    def test_their_clients_and_agents_are_beside_it(self, visit):
        visit.open("?page=user&id=user-1")
        side = visit.page.get_by_role("complementary", name="Most frequent")
        expect(side).to_contain_text("Firefox/145.0")
        side.get_by_role("link", name="192.0.2.7").click()
        visit.settle()
        expect(visit.page.get_by_role("heading", name="Client 192.0.2.7")).to_be_visible()

    def test_a_user_in_the_table_of_events_leads_here(self, visit):
        visit.open("?q=user:user-1")
        visit.page.locator("tr[data-index='0'] [data-column=user] button").click()
        visit.page.get_by_role("menuitem", name="Open the user's timeline").click()
        visit.settle()
        expect(visit.page.get_by_role("heading", name="User user-1")).to_be_visible()
        visit.page.get_by_role("link", name="Show as events").click()
        visit.settle()
        assert visit.parameter("q") == "user:user-1"

    def test_nobody_is_told_to_be_nobody(self, visit):
        visit.open("?page=user&id=nobody")
        expect(visit.page.get_by_role("heading", name="There is no event of this user")).to_be_visible()
        visit.open("?page=user")
        expect(visit.page.get_by_role("heading", name="Which user?")).to_be_visible()


class TestASessionAndAClient:
    def test_a_session_is_read_from_its_beginning(self, visit):
        visit.open("?page=session&id=first-1&tz=UTC")
        assert paths(visit.page) == ["GET /", "GET /pricing", "POST /signup", "user_signed_up"]
        assert figures(visit.page)["Lasted"] == "2 min 1 s"
        expect(visit.page.get_by_role("complementary").get_by_role("link", name="user-1")).to_be_visible()

    def test_a_client_has_events_of_many_sessions(self, visit):
        visit.open("?page=client&id=192.0.2.66&tz=UTC")
        assert paths(visit.page) == ["GET /robots.txt"] * 5
        assert visit.page.locator(".gap").all_inner_texts() == ["nothing for 1 d"] * 4
        expect(visit.page.get_by_role("complementary")).to_contain_text("Googlebot")

    def test_a_visit_over_midnight_says_which_day_it_is(self, visit):
        visit.open("?page=client&id=192.0.2.99&tz=UTC")
        assert visit.page.locator(".visit").count() == 1
        assert visit.page.locator(".visit-day").all_inner_texts() == ["2026-11-18", "2026-11-17"]
        visit.page.get_by_role("button", name="Local", exact=True).click()
        visit.settle()
        assert visit.page.locator(".visit-day").count() == 0  # in Amsterdam it is after midnight already


class TestHonesty:
    def test_a_part_says_that_it_is_one_and_a_failure_can_be_tried_again(self, visit):
        def cut(route):
            answered = route.fetch()
            told = answered.json()
            told["answer"]["partial"] = {
                "reasons": ["time limit"],
                "covered_from": "2026-11-01T00:00:00Z",
                "covered_to": None,
            }
            route.fulfill(response=answered, json=told)

        visit.page.route("**/api/timeline/user?*", cut)
        visit.open("?page=user&id=user-1")
        expect(visit.page.locator(".life-main .note.warning")).to_contain_text(
            "The timeline. Incomplete: the time limit"
        )
        visit.page.unroute("**/api/timeline/user?*")
        failure = {"error": {"message": "the disk is on fire", "parameter": None}}
        visit.page.route("**/api/timeline/user?*", lambda route: route.fulfill(status=500, json=failure))
        visit.open("?page=user&id=user-2")
        expect(visit.page.get_by_role("alert")).to_contain_text("the disk is on fire")
        visit.page.unroute("**/api/timeline/user?*")
        visit.page.get_by_role("button", name="Try again").click()
        visit.settle()
        assert len(paths(visit.page)) == 3
        visit.wrong.clear()  # the failure stands in the console, too

    def test_text_that_means_harm_is_text(self, visit):
        from urllib.parse import quote

        for page in ("user", "session"):
            visit.open(f"?page={page}&id={quote(HOSTILE)}")
            assert len(paths(visit.page)) == 2
            expect(visit.page.get_by_role("heading", level=1)).to_contain_text("<img src=x onerror=alert(1)>")
            expect(visit.page.locator("main img")).to_have_count(0)
            assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        visit.shot("session-hostile")


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    for name, value in (("user", "user-1"), ("session", "first-1"), ("client", "192.0.2.7")):
        visit.open(f"?page={name}&id={value}")
        visit.page.keyboard.press("j")
        visit.page.keyboard.press("Enter")
        visit.shot(f"{name}-{width}-{theme}")
        assert serious(visit.page) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
