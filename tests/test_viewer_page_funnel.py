"""The funnel builder in a real browser: steps are written, bars drawn, each number leads to those whom it counts."""

import re

import pytest

from auditmw.viewer import ViewerApp
from viewer_browser import Visit, serving_wsgi, write
from viewer_visitors import END, PEOPLE, RECORDED, SIGNED, expect, serious, visitors

pytestmark = [pytest.mark.needs("playwright"), pytest.mark.needs("chromium")]

STEPS = "step=path:/&step=path:/signup&step=event:user_signed_up"
FUNNEL = f"?page=funnel&to={END}&{STEPS}"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    viewer = ViewerApp(write(tmp_path_factory.mktemp("funnel") / "audit", visitors()), open_to_all=True)
    with serving_wsgi(viewer) as address:
        yield f"{address}/"
    viewer.close()


def bars(page):
    """What each step says, as one line."""
    return [re.sub(r"\s+", " ", text) for text in page.locator(".funnel > li").all_inner_texts()]


def numbers(page, pattern):
    return page.get_by_role("link", name=re.compile(pattern))


def listed(page):
    return page.get_by_role("region", name="The sessions").locator("tbody tr").all_inner_texts()


class TestTheSteps:
    def test_they_are_written_one_by_one_and_the_bars_appear(self, visit):
        visit.open(f"?page=funnel&to={END}")
        expect(visit.page.get_by_role("heading", name="How many come through?")).to_be_visible()
        visit.page.get_by_label("Step 1", exact=True).fill("path:/")
        visit.page.keyboard.press("Enter")
        visit.page.get_by_label("Step 2", exact=True).fill("path:/signup")
        visit.page.keyboard.press("Enter")
        visit.settle()
        first, second = bars(visit.page)
        assert f"{PEOPLE} sessions" in first
        assert f"{SIGNED} 60 % of all" in second
        assert visit.page.evaluate("new URLSearchParams(location.search).getAll('step')") == ["path:/", "path:/signup"]

    def test_an_example_is_one_click_away(self, visit):
        visit.open(f"?page=funnel&to={END}")
        visit.page.get_by_role("link", name=re.compile("example")).click()
        visit.settle()
        assert len(bars(visit.page)) == 3

    def test_they_are_added_moved_and_removed(self, visit):
        visit.open(FUNNEL)
        visit.page.get_by_role("button", name="Add a step").click()
        expect(visit.page.get_by_label("Step 4", exact=True)).to_be_visible()
        visit.page.get_by_role("button", name="Remove step 4").click()
        visit.page.get_by_role("button", name="Move step 3 up").click()
        visit.settle()
        expect(visit.page.get_by_label("Step 2", exact=True)).to_have_value("event:user_signed_up")
        visit.page.go_back()
        visit.settle()
        expect(visit.page.get_by_label("Step 2", exact=True)).to_have_value("path:/signup")

    def test_there_are_from_two_to_eight(self, visit):
        visit.open(f"?page=funnel&to={END}")
        expect(visit.page.get_by_role("button", name="Remove step 1")).to_be_disabled()
        add = visit.page.get_by_role("button", name="Add a step")
        for _ in range(6):
            add.click()
        expect(visit.page.get_by_label("Step 8", exact=True)).to_be_visible()
        expect(add).to_be_disabled()

    def test_fields_and_values_are_completed(self, visit):
        visit.open(f"?page=funnel&to={END}")
        step = visit.page.get_by_label("Step 1", exact=True)
        step.press_sequentially("path:/si")
        option = visit.page.get_by_role("option", name=re.compile("signup"))
        option.wait_for()
        visit.page.keyboard.press("ArrowDown")
        visit.page.keyboard.press("Enter")
        expect(step).to_have_value(re.compile("^path:/signup"))
        visit.page.keyboard.press("Enter")
        assert visit.parameter("step").startswith("path:/signup")

    def test_what_is_wrong_is_told_at_the_step_and_by_the_answer(self, visit):
        visit.open(f"?page=funnel&to={END}&step=nothing:1&step=path:/")
        expect(visit.page.locator(".builder").get_by_role("alert")).to_contain_text("there is no field 'nothing'")
        expect(visit.page.locator(".note.error")).to_contain_text("step 1")
        visit.wrong.clear()  # the refusal stands in the console, too


class TestTheAnswer:
    def test_it_says_who_came_how_far_and_how_fast(self, visit):
        visit.open(FUNNEL)
        expect(visit.page.locator(".funnel-total")).to_have_text("30 % of 10 sessions came through all 3 steps")
        first, second, third = bars(visit.page)
        assert f"{PEOPLE} sessions" in first
        assert f"{PEOPLE - SIGNED} came no further 40 %" in first
        assert f"{SIGNED} 60 % of all half within 2 min" in second
        assert f"{SIGNED - RECORDED} came no further 50 %" in second
        assert f"{RECORDED} 30 % of all 50 % of step 2" in third
        widths = visit.page.locator(".funnel-bar i").evaluate_all("(bars) => bars.map((bar) => bar.style.width)")
        assert widths == ["100%", "60%", "30%"]
        visit.shot("funnel-1280-light")

    def test_the_filter_and_the_range_count(self, visit):
        visit.open(FUNNEL)
        filtered = visit.page.get_by_label("Only events that match")
        filtered.fill("session:first-1")
        filtered.press("Enter")
        visit.settle()
        assert visit.parameter("q") == "session:first-1"
        assert "1 session " in bars(visit.page)[0]
        visit.open(FUNNEL + "&from=2026-11-05T00:00:00Z")
        assert "7 sessions" in bars(visit.page)[0]

    def test_a_window_leaves_out_who_took_longer(self, visit):
        visit.open(FUNNEL)
        visit.page.get_by_label("Within").fill("30s")
        visit.page.get_by_label("Within").press("Enter")
        visit.settle()
        assert visit.parameter("window") == "30s"
        assert bars(visit.page)[1].startswith("2 path:/signup 0 0 % of all")

    def test_strict_allows_nothing_in_between(self, visit):
        visit.open(FUNNEL)
        visit.page.get_by_label("Nothing in between").check()
        visit.settle()
        assert visit.parameter("strict") == "1"
        assert "0 0 % of all" in bars(visit.page)[1]  # everybody looks at /pricing first

    def test_users_and_clients_are_counted_as_well(self, visit):
        visit.open(f"?page=funnel&to={END}&step=path:/signup&step=path:/account")
        assert f"{SIGNED} sessions" in bars(visit.page)[0]
        assert "0 0 % of all" in bars(visit.page)[1]
        visit.page.get_by_label("Of", exact=True).select_option(label="Users")
        visit.settle()
        assert f"{SIGNED} users" in bars(visit.page)[0]
        assert "4 66.7 % of all half within" in bars(visit.page)[1]

    def test_events_of_nobody_are_told(self, visit):
        visit.open(f"?page=funnel&to={END}&unit=user&step=path:/&step=path:/signup")
        expect(visit.page.get_by_text(f"{PEOPLE} events more belong to no user")).to_be_visible()

    def test_a_breakdown_divides_by_where_they_came_from(self, visit):
        visit.open(FUNNEL)
        visit.page.get_by_label("Break down by").fill("referrer.host")
        visit.page.get_by_label("Break down by").press("Enter")
        visit.settle()
        rows = visit.page.get_by_role("region", name="Steps by referrer.host").locator("tbody tr")
        assert {" ".join(row.split()) for row in rows.all_inner_texts()} == {
            "news.example 5 3 60 % 2 40 %",
            "none 5 3 60 % 1 20 %",
        }
        numbers(visit.page, "^3: list the sessions at step 2 with news.example").click()
        visit.settle()
        assert len(listed(visit.page)) == 3
        expect(
            visit.page.get_by_role("heading", name="3 sessions that reached step 2 with news.example")
        ).to_be_visible()


class TestWhoIsBehindANumber:
    @pytest.mark.parametrize(
        ("number", "expected"),
        [
            ("^10: list the sessions at step 1", [f"first-{person}" for person in reversed(range(PEOPLE))]),
            ("^4: list the sessions that came no further than step 1", ["first-9", "first-8", "first-7", "first-6"]),
            ("^6: list the sessions at step 2", [f"first-{person}" for person in reversed(range(SIGNED))]),
            ("^3: list the sessions that came no further than step 2", ["first-5", "first-4", "first-3"]),
            ("^3: list the sessions at step 3", ["first-2", "first-1", "first-0"]),
        ],
        ids=["all", "dropped at 1", "at 2", "dropped at 2", "through"],
    )
    def test_it_lists_exactly_those_whom_it_counts(self, visit, number, expected):
        visit.open(FUNNEL)
        numbers(visit.page, number).click()
        visit.settle()
        assert [row.split()[0] for row in listed(visit.page)] == expected
        expect(visit.page.get_by_role("status").filter(has_text="shown")).to_contain_text(
            f"{len(expected)} of {len(expected)} sessions shown"
        )

    def test_each_leads_to_its_page_and_back_again(self, visit):
        visit.open(FUNNEL)
        numbers(visit.page, "came no further than step 2").click()
        visit.settle()
        visit.page.get_by_role("link", name="first-4").click()
        visit.settle()
        expect(visit.page.get_by_role("heading", name="Session first-4")).to_be_visible()
        visit.page.go_back()
        visit.settle()
        assert len(listed(visit.page)) == 3

    def test_it_says_when_each_step_was_taken(self, visit):
        visit.open(FUNNEL + "&at=3")
        first = listed(visit.page)[0]
        assert "2026-11-04 10:00:00" in first
        assert "+2 min" in first
        visit.page.get_by_role("button", name="UTC", exact=True).click()
        visit.settle()
        assert "2026-11-04 09:00:00" in listed(visit.page)[0]

    def test_more_is_shown_page_by_page(self, visit):
        def three(route):
            route.continue_(url=route.request.url.replace("limit=100", "limit=3"))

        visit.page.route("**/api/funnel/units?*", three)
        visit.open(FUNNEL + "&at=1")
        told = visit.page.get_by_role("status").filter(has_text="shown")
        expect(told).to_contain_text("3 of 10 sessions shown")
        for shown in (6, 9, 10):
            visit.page.get_by_role("button", name="Show more").click()
            expect(told).to_contain_text(f"{shown} of 10 sessions shown")
        expect(visit.page.get_by_role("button", name="Show more")).to_have_count(0)
        assert len({row.split()[0] for row in listed(visit.page)}) == PEOPLE


class TestHonesty:
    def test_a_part_says_that_it_is_one(self, visit):
        def cut(route):
            answered = route.fetch()
            told = answered.json()
            told["answer"]["partial"] = {"reasons": ["time limit"], "covered_from": END, "covered_to": None}
            route.fulfill(response=answered, json=told)

        visit.page.route("**/api/funnel?*", cut)
        visit.open(FUNNEL)
        expect(visit.page.locator(".note.warning")).to_contain_text(
            "The funnel. Incomplete: the time limit was reached"
        )
        visit.page.unroute("**/api/funnel?*")
        visit.page.get_by_role("button", name="Try again").click()
        visit.settle()
        expect(visit.page.locator(".note.warning")).to_have_count(0)

    def test_a_slow_question_can_be_cancelled(self, visit):
        waiting = []
        visit.page.route("**/api/funnel?*", lambda route: waiting.append(route))
        visit.page.goto(visit.base + FUNNEL)
        with visit.page.expect_request("**/api/cancel") as sent:
            visit.page.get_by_role("button", name="Cancel").click()
        assert f"token={sent.value.post_data_json['token']}" in waiting[0].request.url
        waiting[0].fulfill(status=409, json={"error": {"message": "the query was cancelled", "parameter": None}})
        visit.settle()
        expect(visit.page.locator(".note.error")).to_contain_text("the query was cancelled")
        visit.wrong.clear()  # the refusal stands in the console, too


@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible_and_fits(browser, base, theme, width):
    visit = Visit(browser, base, width=width, theme=theme)
    visit.open(FUNNEL + "&breakdown=referrer.host&at=2")
    visit.shot(f"funnel-{width}-{theme}")
    assert serious(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.close()
