"""The page of events in a real browser, used as a person would: the chart, the query, facets, the table, one event."""

import json
import re

import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from auditmw.viewer import Viewer, ViewerApp
from viewer_browser import EVENTS, Visit, event_id, serving_wsgi, shop, status_of, write

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

HOUR = "2026-11-20T{:02}:00:00Z"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A viewer that is mounted, under a server without events of its own."""
    viewer = ViewerApp(write(tmp_path_factory.mktemp("page") / "audit", shop()), open_to_all=True)
    mounted = DispatcherMiddleware(lambda environ, start: start("404 Not Found", []) or [], {"/a/b": viewer})
    with serving_wsgi(mounted) as address:
        yield f"{address}/a/b/"
    viewer.close()


def expect(locator):
    from playwright.sync_api import expect as expected

    return expected(locator)


def drag(page, first, last):
    """Drag over the chart, from one share of its width to another."""
    box = page.locator(".timeline svg.brushable").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * first, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * last, y, steps=5)
    page.mouse.up()


class TestTheChart:
    def test_it_counts_every_event_of_the_range_by_class(self, visit):
        visit.open()
        assert visit.total() == EVENTS
        legend = visit.page.get_by_role("group", name="Filter by status").get_by_role("button")
        classes = {text.split()[0]: int(text.split()[-1]) for text in legend.all_inner_texts()}
        requests = [number for number in range(EVENTS) if number % 7 != 3]
        assert classes["5xx"] == sum(status_of(number) == 500 for number in requests)
        assert classes["no"] == EVENTS - len(requests)
        visit.shot("events-1280-light")

    def test_dragging_zooms_and_back_undoes_it(self, visit):
        visit.open()
        drag(visit.page, 0.4, 0.6)
        visit.settle()
        assert visit.parameter("from") < visit.parameter("to")
        assert 0 < visit.total() < EVENTS / 3
        visit.page.go_back()
        visit.settle()
        assert visit.parameter("from") is None
        visit.until(lambda: visit.total() == EVENTS, "all events again")

    def test_a_click_on_a_bucket_is_a_range(self, visit):
        visit.open()
        drag(visit.page, 0.5, 0.5)
        visit.settle()
        assert visit.parameter("to").startswith("2026-11-20T")
        assert 0 < visit.total() <= 20

    def test_it_is_driven_by_keys_and_says_what_it_shows(self, visit):
        visit.open()
        chart = visit.page.get_by_role("application")
        assert f"{EVENTS} events over time" in chart.get_attribute("aria-label")
        chart.focus()
        visit.page.keyboard.press("ArrowRight")
        visit.page.keyboard.press("ArrowRight")
        expect(chart.get_by_role("status")).to_contain_text("2026-11-20")
        visit.page.keyboard.press("Enter")
        visit.settle()
        assert visit.parameter("from")

    def test_a_click_on_the_legend_filters_and_another_one_stops_it(self, visit):
        visit.open()
        legend = visit.page.get_by_role("group", name="Filter by status")
        legend.get_by_role("button", name=re.compile("^4xx")).click()
        visit.settle()
        assert visit.parameter("q") == "status:4xx"
        expect(legend.get_by_role("button", name=re.compile("^4xx"))).to_have_attribute("aria-pressed", "true")
        legend.get_by_role("button", name=re.compile("^4xx")).click()
        visit.settle()
        assert visit.parameter("q") is None

    def test_its_colours_may_be_those_of_levels(self, visit):
        visit.open()
        visit.page.get_by_role("group", name="Colours by").get_by_role("button", name="level").click()
        visit.settle()
        expect(visit.page.get_by_role("group", name="Filter by level")).to_contain_text("warning")
        assert visit.parameter("by") == "level"

    def test_its_times_are_those_of_the_chosen_zone(self, visit):
        visit.open(f"?from={HOUR.format(8)}&to={HOUR.format(12)}")
        labels = visit.page.locator(".timeline svg text")
        expect(labels.filter(has_text="10:00")).to_have_count(1)
        expect(visit.page.locator("tr[data-index='0'] [data-column=time]")).to_contain_text("2026-11-20 12:53")
        visit.page.get_by_role("button", name="UTC", exact=True).click()
        visit.settle()
        assert visit.parameter("tz") == "UTC"
        expect(labels.filter(has_text="11:00")).to_have_count(1)
        expect(visit.page.locator("tr[data-index='0'] [data-column=time]")).to_contain_text("2026-11-20 11:53")


class TestTheQuery:
    def test_a_typed_query_is_asked_with_enter_and_stays_in_sight(self, visit):
        visit.open()
        visit.page.keyboard.press("/")
        visit.page.keyboard.type("user:bob status:404")
        visit.page.keyboard.press("Enter")
        visit.settle()
        assert visit.parameter("q") == "user:bob status:404"
        expect(visit.page.get_by_label("Query", exact=True)).to_have_value("user:bob status:404")
        wanted = sum(n % 4 == 1 and status_of(n) == 404 and n % 7 != 3 for n in range(EVENTS))
        visit.until(lambda: visit.total() == wanted, f"{wanted} events")

    def test_fields_and_their_values_are_completed(self, visit):
        visit.open()
        query = visit.page.get_by_label("Query", exact=True)
        query.click()
        query.press_sequentially("us")
        options = visit.page.get_by_role("listbox", name="Completions").get_by_role("option")
        expect(options.filter(has_text=re.compile("^user:")).first).to_be_visible()
        while visit.page.locator("[role=option][aria-selected=true]").all_inner_texts()[:1] != [
            options.filter(has_text=re.compile("^user:")).first.inner_text()
        ]:
            query.press("ArrowDown")
        query.press("Enter")
        expect(query).to_have_value("user:")
        expect(options.filter(has_text="alice")).to_be_visible()
        visit.shot("events-completion")
        query.press("ArrowDown")
        query.press("Tab")
        assert re.match(r"user:\w+", query.input_value())
        query.press("Enter")
        visit.settle()
        assert visit.parameter("q") == query.input_value().strip()

    def test_what_is_wrong_with_it_is_marked_and_the_rest_counts(self, visit):
        visit.open("?q=usr:bob+status:404")
        expect(visit.page.locator("#query-errors")).to_contain_text("did you mean user?")
        assert visit.page.locator(".query-mirror mark").all_inner_texts() == ["usr"]
        assert visit.page.get_by_label("Query", exact=True).get_attribute("aria-invalid") == "true"
        assert 0 < visit.total() < EVENTS
        visit.shot("events-query-error")

    def test_free_text_finds_what_the_application_said(self, visit):
        visit.open('?q="order+3+is+paid"')
        visit.until(lambda: visit.total() == 1, "one event")

    def test_nothing_found_says_what_one_can_do(self, visit):
        visit.open("?q=user:nobody&from=now-1h")
        expect(visit.page.get_by_role("heading", name="No event matches")).to_be_visible()
        visit.shot("events-empty")
        visit.page.get_by_role("link", name="Search in all time").click()
        visit.settle()
        visit.page.get_by_role("link", name="Clear the query").click()
        visit.settle()
        assert visit.total() == EVENTS


class TestFacets:
    def facet(self, visit, name):
        return visit.page.locator(".facet").filter(has=visit.page.get_by_role("button", name=re.compile(f"^{name}\\b")))

    def test_several_values_of_a_field_are_one_or_the_other(self, visit):
        visit.open()
        users = self.facet(visit, "user")
        users.get_by_role("checkbox", name="alice").check()
        visit.settle()
        alice = visit.total()
        users.get_by_role("checkbox", name="bob").check()
        visit.settle()
        assert visit.parameter("q") == "user:alice,bob"
        visit.until(lambda: visit.total() == alice * 2, "alice and bob")
        expect(users.get_by_role("checkbox", name="carol")).to_be_visible()
        self.facet(visit, "status").get_by_role("checkbox", name=re.compile("^404")).check()
        visit.settle()
        assert visit.parameter("q") == "user:alice,bob status:404"
        users.get_by_role("checkbox", name="alice").click()  # after which there is none with it
        visit.settle()
        assert visit.parameter("q") == "status:404 user:bob"

    def test_a_value_is_filtered_out_and_so_is_its_absence(self, visit):
        visit.open()
        users = self.facet(visit, "user")
        users.locator("li", has_text="bob").hover()
        users.get_by_role("button", name="Filter out bob").click()
        visit.settle()
        assert visit.parameter("q") == "-user:bob"
        users.get_by_role("checkbox", name="none").check()
        visit.settle()
        assert visit.parameter("q") == "-user:*"

    def test_all_values_can_be_searched_not_only_the_ones_in_sight(self, visit):
        visit.open()
        paths = self.facet(visit, "path")
        expect(paths.locator("li")).to_have_count(6)
        paths.hover()
        paths.get_by_role("button", name="Search in path").click()
        paths.get_by_role("searchbox").fill("products/19")
        visit.settle()
        expect(paths.locator("li")).to_have_count(1)
        paths.get_by_role("checkbox", name="/products/19").check()
        visit.settle()
        assert visit.parameter("q") == "path:/products/19"

    def test_a_field_is_added_by_name_and_removed(self, visit):
        visit.open()
        added = visit.page.get_by_label("Add a field to the facets")
        added.fill("session")
        added.press("Enter")
        visit.settle()
        sessions = self.facet(visit, "session")
        expect(sessions).to_contain_text("session-")
        visit.page.reload()
        visit.settle()
        expect(sessions).to_contain_text("session-")
        sessions.hover()
        sessions.get_by_role("button", name="Remove session").click()
        expect(sessions).to_have_count(0)

    def test_an_unknown_field_is_refused_with_a_sentence(self, visit):
        visit.open()
        added = visit.page.get_by_label("Add a field to the facets")
        added.fill("usr")
        added.press("Enter")
        expect(visit.page.get_by_role("alert")).to_contain_text("did you mean user?")
        visit.wrong.clear()  # the browser tells a refusal in its console, too

    def test_why_there_are_none_is_said_once(self, visit):
        failure = {"error": {"message": "the disk is on fire", "parameter": None}}
        visit.page.route("**/api/facets?*", lambda route: route.fulfill(status=500, json=failure))
        visit.open()
        expect(visit.page.get_by_role("alert")).to_have_count(1)
        visit.page.unroute("**/api/facets?*")
        for _ in range(2):
            visit.page.get_by_role("alert").get_by_role("button", name="Try again").click()
            visit.settle()
        expect(visit.page.get_by_role("alert")).to_have_count(0)
        expect(self.facet(visit, "path")).to_contain_text("/products/11")
        visit.wrong.clear()

    def test_one_that_was_not_finished_says_so(self, visit):
        def slow(route):
            answered = route.fetch()
            told = answered.json()
            told["answer"][1]["partial"] = {
                "reasons": ["time limit"],
                "covered_from": HOUR.format(11),
                "covered_to": None,
            }
            route.fulfill(response=answered, json=told)

        visit.page.route("**/api/facets?*", slow)
        visit.open()
        expect(self.facet(visit, "status")).to_contain_text("Not finished in time")
        expect(self.facet(visit, "level")).not_to_contain_text("Not finished")


class TestTheTable:
    def test_windows_of_200_are_joined_while_only_rows_in_sight_are_drawn(self, visit):
        visit.open()
        assert len(visit.rows()) < 60
        scroller = visit.page.get_by_role("region", name="Events; scrolls")
        for _ in range(40):
            scroller.evaluate("(element) => element.scrollTo(0, element.scrollHeight)")
            visit.settle()
            if max(visit.rows()) == EVENTS - 1:
                break
        assert max(visit.rows()) == EVENTS - 1
        expect(visit.page.locator(".events-footer")).to_have_text("No older events")
        assert len(visit.rows()) < 60
        assert sum("api/events?" in url for url in visit.requests) == 4

    def test_one_goes_from_window_to_window_by_buttons(self, visit):
        visit.open()
        first = visit.page.locator("tr[data-index='0'] [data-column=time]").inner_text()
        visit.page.get_by_role("link", name="Older events").click()
        visit.settle()
        second = visit.page.locator("tr[data-index='0'] [data-column=time]").inner_text()
        assert second < first
        visit.page.get_by_role("link", name="Newer events").click()
        visit.settle()
        expect(visit.page.locator("tr[data-index='0'] [data-column=time]")).to_have_text(first)
        visit.page.go_back()
        visit.settle()
        expect(visit.page.locator("tr[data-index='0'] [data-column=time]")).to_have_text(second)

    def test_a_click_on_a_value_offers_what_can_be_done_with_it(self, visit):
        visit.open()
        cell = visit.page.locator("tr[data-index] [data-column=user] button").first
        user = cell.inner_text()
        cell.click()
        menu = visit.page.get_by_role("menu")
        assert menu.get_by_role("menuitem").all_inner_texts() == [
            "Filter for this value",
            "Filter it out",
            "Open the user's timeline",
            "Remove the column",
            "Count its values",
            "Copy the value",
        ]
        visit.shot("events-value-menu")
        menu.get_by_role("menuitem", name="Filter it out").click()
        visit.settle()
        assert visit.parameter("q") == f"-user:{user}"
        visit.page.locator("tr[data-index] [data-column=ip] button").first.click()
        menu.get_by_role("menuitem", name="Filter for this value").click()
        visit.settle()
        assert visit.parameter("q").startswith(f"-user:{user} ip:192.0.2.")

    def test_a_value_is_copied(self, visit):
        visit.open("?q=user:alice")
        visit.page.locator("tr[data-index='0'] [data-column=user] button").click()
        visit.page.get_by_role("menuitem", name="Copy the value").click()
        visit.until(lambda: visit.clipboard() == "alice", "the copy")

    def test_columns_come_go_and_change_places(self, visit):
        visit.open()
        titles = visit.page.locator("thead th button span")
        visit.page.get_by_role("button", name="Columns").click()
        visit.page.get_by_label("Find a field").fill("data.order.id")
        visit.page.get_by_role("button", name="data.order.id").click()
        visit.page.get_by_role("button", name="Move data.order.id to the left").click()
        visit.page.get_by_role("dialog").get_by_role("button", name="Remove level").click()
        visit.page.keyboard.press("Escape")
        assert titles.all_inner_texts() == ["time", "status", "summary", "user", "ip", "data.order.id", "dur"]
        expect(visit.page.locator("tr[data-index='0'] [data-column='data.order.id']")).to_have_text(str(EVENTS - 1))
        visit.page.reload()
        visit.settle()
        assert titles.all_inner_texts()[5] == "data.order.id"

    def test_columns_are_dragged_or_moved_by_keys(self, visit):
        visit.open()
        titles = visit.page.locator("thead th button span")
        visit.page.locator("thead th", has_text="user").drag_to(visit.page.locator("thead th", has_text="level"))
        expect(titles.nth(1)).to_have_text("user")
        visit.page.locator("thead th button", has_text="user").focus()
        visit.page.keyboard.press("Alt+ArrowLeft")
        expect(titles.nth(0)).to_have_text("user")
        expect(visit.page.locator("thead th button", has_text="user")).to_be_focused()

    def test_the_order_is_turned_at_the_title_of_the_time(self, visit):
        visit.open()
        visit.page.locator("thead th button", has_text="time").click()
        visit.page.get_by_role("menuitem", name="Oldest first").click()
        visit.settle()
        expect(visit.page.locator("tr[data-index='0'] [data-column=time]")).to_have_text("2026-11-20 09:00:00.000")
        expect(visit.page.locator("thead th", has_text="time")).to_have_attribute("aria-sort", "ascending")

    def test_rows_are_roomier_and_long_values_wrap(self, visit):
        visit.open("?col=time&col=agent&col=session")
        row = visit.page.locator("tr[data-index='1']")
        height = row.bounding_box()["height"]
        visit.page.get_by_role("button", name="Roomy rows").click()
        visit.settle()
        assert row.bounding_box()["height"] > height
        visit.page.get_by_role("button", name="Wrap long values").click()
        visit.settle()
        assert visit.parameter("wrap") == "1"

    def test_the_title_stays_when_rows_scroll(self, visit):
        visit.open()
        before = visit.page.locator("thead th").nth(1).bounding_box()
        visit.page.get_by_role("region", name="Events; scrolls").evaluate("(element) => element.scrollTo(0, 900)")
        visit.settle()
        assert visit.page.locator("thead th").nth(1).bounding_box() == before


class TestOneEvent:
    def test_a_click_shows_its_fields_and_the_address_says_which(self, visit):
        visit.open("?q=status:500")
        visit.page.locator("tr[data-index='0'] [data-column=level]").click(position={"x": 85, "y": 10})
        visit.settle()
        details = visit.page.get_by_role("complementary", name="Event in detail")
        expect(details).to_contain_text("/products/19")
        assert visit.parameter("sel") == event_id(699)
        expect(details.get_by_role("link", name="Trace")).to_have_attribute("href", re.compile(r"page=trace&id=0+ea$"))
        expect(details.get_by_role("link", name="Session")).to_have_attribute(
            "href", re.compile(r"page=session&id=session-139$")
        )
        expect(details.get_by_role("link", name="Client")).to_have_attribute(
            "href", re.compile(r"page=client&id=192\.0\.2\.6$")
        )
        visit.shot("events-details")
        visit.page.reload()
        visit.settle()
        expect(details).to_contain_text("/products/19")
        visit.page.keyboard.press("Escape")
        expect(details).to_have_count(0)

    def test_one_that_is_on_no_row_is_shown_all_the_same(self, visit):
        visit.open(f"?q=status:404&sel={event_id(0)}")
        expect(visit.page.get_by_role("complementary", name="Event in detail")).to_contain_text("alice")
        visit.open("?sel=01a1fa9d-e842-7b02-9a44-1f0e5d7c9b11")
        expect(visit.page.get_by_role("complementary")).to_contain_text("There is no such event")

    def test_it_is_json_and_copied_as_such(self, visit):
        visit.open(f"?sel={event_id(699)}")
        details = visit.page.get_by_role("complementary")
        details.get_by_role("button", name="JSON", exact=True).click()
        expect(details.get_by_role("region", name="JSON")).to_contain_text('"status_code": 500')
        visit.shot("events-json")
        details.get_by_role("button", name="Copy as JSON").click()
        visit.until(lambda: visit.clipboard().startswith("{"), "the copy")
        assert json.loads(visit.clipboard())["id"] == event_id(699)

    def test_a_value_in_it_becomes_a_filter_or_a_column(self, visit):
        visit.open(f"?sel={event_id(699)}")
        details = visit.page.get_by_role("complementary")
        details.locator(".leaf", has_text="status_code").get_by_role("button").click()
        visit.page.get_by_role("menuitem", name="Filter for this value").click()
        visit.settle()
        assert visit.parameter("q") == "status:500"
        details.locator(".branch", has_text="order").locator(".leaf", has_text=re.compile("^id")).last.get_by_role(
            "button"
        ).click()
        visit.page.get_by_role("menuitem", name="Add as a column").click()
        expect(visit.page.locator("thead")).to_contain_text("data.order.id")

    def test_what_is_null_or_empty_is_hidden_until_one_wants_it(self, visit):
        def with_nothing(route):
            answered = route.fetch()
            told = answered.json()
            told["answer"]["entries"][0]["event"]["data"] = {"gift": None, "note": "", "lines": []}
            route.fulfill(response=answered, json=told)

        visit.page.route("**/api/events?*", with_nothing)
        visit.open()
        visit.page.locator("tr[data-index='0'] .opener button").click()
        details = visit.page.get_by_role("complementary")
        expect(details).not_to_contain_text("gift")
        details.get_by_label("Hide what is null or empty").uncheck()
        expect(details).to_contain_text("gift")

    def test_what_happened_around_it(self, visit):
        visit.open("?q=status:500")
        visit.page.locator("tr[data-index='2'] .opener button").click()
        visit.settle()
        visit.page.get_by_role("link", name="Around it").click()
        visit.settle()
        table = visit.page.get_by_role("region", name="Events around one; scrolls")
        expect(table.locator("tr[data-index]")).to_have_count(21)
        expect(table.locator("tr.marked")).to_have_count(1)
        visit.shot("events-around")
        visit.page.get_by_role("button", name="±25").click()
        visit.settle()
        expect(visit.page.locator(".events-footer")).to_contain_text("50 events around it")
        visit.page.get_by_role("button", name="Same trace").click()
        visit.settle()
        expect(visit.page.locator(".events-footer")).to_contain_text("2 events around it")
        visit.page.get_by_role("button", name="All events").click()
        visit.settle()
        assert visit.parameter("around") is None
        assert visit.parameter("q") == "status:500"


class TestKeys:
    def test_j_and_k_move_enter_opens_c_looks_around_escape_closes(self, visit):
        visit.open()
        keys = visit.page.keyboard
        keys.press("j")
        keys.press("j")
        visit.settle()
        keys.press("k")
        visit.settle()
        keys.press("Enter")
        visit.settle()
        row = visit.page.locator("tr[data-index].selected")
        shown = int(row.get_attribute("data-index"))
        keys.press("j")
        visit.settle()
        expect(visit.page.locator("tr.selected")).to_have_attribute("data-index", str(shown + 1))
        assert visit.parameter("sel") == event_id(EVENTS - 2 - shown)
        keys.press("Escape")
        visit.settle()
        assert visit.parameter("sel") is None
        keys.press("c")
        visit.settle()
        assert visit.parameter("around") == event_id(EVENTS - 2 - shown)
        keys.press("Escape")
        visit.settle()
        assert visit.parameter("around") is None

    def test_a_question_mark_explains_the_keys(self, visit):
        visit.open()
        visit.page.keyboard.press("?")
        dialog = visit.page.get_by_role("dialog", name="Keys and queries")
        for key in ("/", "j", "k", "Enter", "c", "Esc"):
            expect(dialog.locator("kbd", has_text=re.compile(f"^{key}$"))).to_be_visible()
        visit.shot("help")
        visit.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)

    def test_the_whole_way_by_keys_alone(self, visit):
        visit.open()
        visit.page.keyboard.press("Tab")
        expect(visit.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        reached = set()
        for _ in range(60):
            visit.page.keyboard.press("Tab")
            named = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
            reached.add(visit.page.evaluate(named))
            if "Skip the filters" in reached:
                visit.page.keyboard.press("Enter")
                reached.remove("Skip the filters")
        assert {"Query", "UTC", "Theme", "Columns", "Export", "Copy link"} <= reached


class TestRangeAndLink:
    def test_a_range_is_chosen_by_name_or_by_its_ends(self, visit):
        visit.open("?tz=UTC")
        visit.page.get_by_role("button", name="Time range").click()
        visit.page.get_by_role("button", name="Last 7 days").click()
        visit.settle()
        assert visit.parameter("from") == "now-7d"
        visit.page.get_by_role("button", name="Time range: Last 7 days").click()
        visit.page.get_by_label("From").fill("2026-11-20 09:00")
        visit.page.get_by_label("To", exact=True).fill("2026-11-20 08:00")
        visit.page.get_by_role("button", name="Apply").click()
        expect(visit.page.get_by_role("alert")).to_contain_text("ends before it begins")
        visit.page.get_by_label("To", exact=True).fill("2026-11-20 10:00")
        visit.shot("range")
        visit.page.get_by_role("button", name="Apply").click()
        visit.settle()
        assert (visit.parameter("from"), visit.parameter("to")) == (HOUR.format(9), HOUR.format(10))
        assert visit.total() == 180

    def test_a_typed_time_is_one_of_the_shown_zone(self, visit):
        visit.open("?tz=Asia/Tokyo")
        visit.page.get_by_role("button", name="Time range").click()
        visit.page.get_by_label("From").fill("2026-11-20 18:00")
        visit.page.get_by_role("button", name="Apply").click()
        visit.settle()
        assert visit.parameter("from") == HOUR.format(9)
        expect(visit.page.get_by_role("button", name="Tokyo")).to_have_attribute("aria-pressed", "true")

    def test_a_copied_link_holds_its_range_and_everything_else(self, visit, browser, base):
        visit.open("?q=user:alice&from=now-400d&col=time&col=user&order=oldest")
        visit.page.get_by_role("button", name="Copy link").click()
        visit.until(lambda: visit.clipboard().startswith("http"), "the copy")
        link = visit.clipboard()
        assert "now" not in link
        other = Visit(browser, base, timezone_id="Asia/Tokyo")
        other.page.goto(link)
        other.settle()
        assert other.parameter("tz") == "Europe/Amsterdam"
        expect(other.page.locator("tr[data-index='0'] [data-column=time]")).to_have_text("2026-11-20 09:00:00.000")
        assert other.page.locator("thead th button span").all_inner_texts() == ["time", "user"]
        other.close()


class TestExport:
    def test_it_counts_first_and_gives_all_matches(self, visit):
        visit.open("?q=user:alice")
        visit.page.get_by_role("button", name="Export").click()
        dialog = visit.page.get_by_role("dialog")
        expect(dialog.get_by_role("status")).to_have_text("175")
        visit.shot("export")
        with visit.page.expect_download() as started:
            dialog.get_by_role("link", name="Export 175").click()
        lines = started.value.path().read_text().splitlines()
        assert len(lines) == 175
        assert {json.loads(line)["actor"]["id"] for line in lines} == {"alice"}

    def test_a_spreadsheet_has_the_chosen_columns(self, visit):
        visit.open("?q=status:500&col=time&col=user")
        visit.page.get_by_role("button", name="Export").click()
        dialog = visit.page.get_by_role("dialog")
        dialog.get_by_label("CSV").check()
        dialog.get_by_label("Columns").fill("time, user, data.order.id")
        with visit.page.expect_download() as started:
            dialog.get_by_role("link", name=re.compile("^Export")).click()
        lines = started.value.path().read_text().splitlines()
        assert lines[0].removeprefix("\ufeff") == "time,user,data.order.id"
        assert len(lines) == 1 + 12

    def test_a_cap_is_said_before(self, browser, tmp_path):
        viewer = ViewerApp(write(tmp_path / "audit", shop()), open_to_all=True, export_cap=100)
        with serving_wsgi(viewer) as address:
            visit = Visit(browser, f"{address}/").open()
            visit.page.get_by_role("button", name="Export").click()
            dialog = visit.page.get_by_role("dialog")
            expect(dialog).to_contain_text("more than 100 events")
            expect(dialog.get_by_role("link", name="Export the newest 100")).to_be_visible()
            visit.close()
        viewer.close()

    def test_who_may_not_export_is_not_offered_it(self, browser, tmp_path):
        directory = write(tmp_path / "audit", shop()[:3])
        viewer = ViewerApp(
            directory, authorize=lambda request: Viewer("anna", restriction="user:alice", may_export=False)
        )
        with serving_wsgi(viewer) as address:
            visit = Visit(browser, f"{address}/").open()
            expect(visit.page.get_by_role("button", name="Columns")).to_be_visible()
            expect(visit.page.get_by_role("button", name="Export")).to_have_count(0)
            expect(visit.page.locator(".viewer")).to_contain_text("anna")
            expect(visit.page.locator(".viewer")).to_contain_text("restricted")
            assert visit.total() == 1
            visit.close()
        viewer.close()


class TestViews:
    def test_the_built_in_ones_and_ones_own(self, visit):
        visit.open("?q=user:carol&col=time&col=user")
        visit.page.get_by_role("button", name="Views").click()
        expect(visit.page.get_by_role("link", name=re.compile("^Errors"))).to_be_visible()
        visit.shot("views")
        visit.page.get_by_role("button", name="Save this view").click()
        visit.page.get_by_label("Name").fill("Carol's <b>day</b>")
        visit.page.get_by_role("button", name="Save", exact=True).click()
        expect(visit.page.get_by_role("dialog")).to_have_count(0)
        visit.open()
        visit.page.get_by_role("button", name="Views").click()
        visit.page.get_by_role("link", name="Carol's <b>day</b>").click()
        visit.settle()
        assert visit.parameter("q") == "user:carol"
        assert visit.page.locator("thead th button span").all_inner_texts() == ["time", "user"]
        visit.page.get_by_role("button", name=re.compile("^Views")).click()
        visit.page.get_by_role("button", name="Open the viewer with Carol's").click()
        visit.open()
        assert visit.parameter("q") == "user:carol"
        visit.open("?view=Errors")
        assert visit.parameter("q")
        visit.page.get_by_role("button", name=re.compile("^Views")).click()
        visit.page.get_by_role("button", name="Delete Carol's").click()
        expect(visit.page.get_by_role("button", name="Delete Carol's")).to_have_count(0)


class TestHonesty:
    def test_a_part_says_that_it_is_one(self, visit):
        def cut(route):
            answered = route.fetch()
            told = answered.json()
            told["answer"]["partial"] = {"reasons": ["time limit"], "covered_from": HOUR.format(10), "covered_to": None}
            route.fulfill(response=answered, json=told)

        visit.page.route("**/api/histogram?*", cut)
        visit.page.route("**/api/events?*", cut)
        visit.open()
        expect(visit.page.locator(".total strong")).to_have_text(f"{EVENTS}+")
        notes = visit.page.locator(".note.warning")
        expect(notes).to_have_count(2)
        expect(notes.first).to_contain_text("the time limit was reached; covers everything since 2026-11-20 11:00:00")
        visit.shot("events-partial")
        visit.page.unroute("**/api/histogram?*")
        notes.first.get_by_role("button", name="Try again").click()
        visit.settle()
        expect(visit.page.locator(".total strong")).to_have_text(f"{EVENTS}")

    def test_a_failure_is_told_and_can_be_tried_again(self, visit):
        failure = {"error": {"message": "the disk is on fire", "parameter": None}}
        visit.page.route("**/api/events?*", lambda route: route.fulfill(status=500, json=failure))
        visit.open()
        expect(visit.page.get_by_role("alert")).to_contain_text("the disk is on fire")
        visit.page.unroute("**/api/events?*")
        visit.page.get_by_role("alert").get_by_role("button", name="Try again").click()
        visit.settle()
        assert len(visit.rows()) > 10
        visit.wrong.clear()

    def test_a_slow_question_can_be_cancelled(self, visit):
        waiting = []
        visit.page.route("**/api/histogram?*", lambda route: waiting.append(route))
        visit.page.goto(visit.base)
        cancel = visit.page.get_by_role("button", name="Cancel")
        visit.until(lambda: waiting, "the question of the chart")
        with visit.page.expect_request("**/api/cancel") as sent:
            cancel.click()
        token = sent.value.post_data_json["token"]
        assert f"token={token}" in waiting[0].request.url
        answered = waiting[0].fetch()
        told = answered.json()
        told["answer"]["partial"] = {"reasons": ["cancelled"], "covered_from": HOUR.format(11), "covered_to": None}
        waiting[0].fulfill(response=answered, json=told)
        visit.settle()
        expect(visit.page.locator(".note.warning")).to_contain_text("it was cancelled")
        expect(cancel).to_have_count(0)

    def test_what_is_read_first_is_asked_first(self, visit):
        visit.open()
        asked = [re.search(r"/api/(\w+)", url)[1] for url in visit.requests if "/api/" in url]
        assert asked == ["config", "events", "histogram", "facets", "facets"]

    def test_a_slow_table_does_not_hold_up_the_chart(self, visit):
        waiting = []
        visit.page.route("**/api/events?*", lambda route: waiting.append(route))
        visit.page.goto(visit.base)
        expect(visit.page.locator(".total strong")).to_have_text(f"{EVENTS}")
        expect(visit.page.locator(".facet li").first).to_be_visible()
        assert visit.rows() == []
        visit.until(lambda: waiting, "the question of the table")
        waiting[0].continue_()
        visit.settle()
        assert len(visit.rows()) > 10

    def test_questions_that_wait_for_their_turn_are_cancelled_as_well(self, visit):
        waiting = []
        visit.page.route("**/api/facets?*", lambda route: waiting.append(route))
        visit.page.route("**/api/histogram?*", lambda route: waiting.append(route))
        visit.page.goto(visit.base)
        visit.until(lambda: len(waiting) == 2, "two questions under way")
        visit.page.get_by_role("button", name="Cancel").click()
        expect(visit.page.get_by_role("alert")).to_contain_text("It was cancelled")
        for route in waiting:
            route.continue_()
        visit.settle()
        assert len(waiting) == 2

    def test_nobody_is_let_in_without_a_word(self, browser, tmp_path):
        viewer = ViewerApp(write(tmp_path / "audit", shop()[:3]), open_to_all=True)
        with serving_wsgi(viewer) as address:
            visit = Visit(browser, f"{address}/")
            refused = {"error": {"message": "who are you?", "parameter": None}}
            visit.page.route("**/api/config?*", lambda route: route.fulfill(status=401, json=refused))
            visit.open()
            expect(visit.page.get_by_role("heading", name="Sign in to see the events")).to_be_visible()
            visit.wrong.clear()
            visit.close()
        viewer.close()
