"""Workers killed with SIGKILL under load: the small version of ``python -m benchmarks.kill``."""

import dataclasses

import pytest
from benchmarks import kill

KILLS = 5


@pytest.mark.parametrize("intent", [False, True], ids=["without-intent", "with-intent"])
@pytest.mark.parametrize("server", [pytest.param(name, marks=pytest.mark.needs(name)) for name in kill.SERVERS])
def test_every_response_that_was_received_whole_has_its_event(server, intent, tmp_path):
    report = kill.run(server, KILLS, tmp_path, intent=intent)

    assert (report.lost, report.twice, report.unaccounted) == ((), (), ())
    assert report.responses >= KILLS  # each kill waited for a response, so an empty run cannot pass
    assert report.events >= report.responses
    assert report.damaged <= KILLS  # a write that is killed between two pages leaves a part of a line, and that is told


LEDGER = ["id-1", "id-2"]
BEGUN = ["/1", "/2", "/3"]


def _event(number):
    return {"request_id": f"id-{number}", "url": {"path": f"/{number}"}}


@pytest.mark.parametrize(
    ("events", "lost", "twice", "unaccounted"),
    [
        pytest.param([1, 2, 3], (), (), (), id="all-there"),
        pytest.param([1, 3], ("id-2",), (), ("/2",), id="a-received-response-without-event"),
        pytest.param([1, 2, 2, 3], (), ("id-2", "/2"), (), id="an-event-twice"),
        pytest.param([1, 2], (), (), ("/3",), id="a-begun-request-without-event"),
    ],
)
def test_the_comparison_names_what_is_lost_and_what_is_twice(events, lost, twice, unaccounted):
    found = kill.compare(LEDGER, BEGUN, [_event(number) for number in events])

    assert {"lost": lost, "twice": twice, "unaccounted": unaccounted} == found


def test_a_report_with_anything_lost_is_not_good():
    report = kill.Report("gunicorn", True, 5, 0, 9, 9, 9, 0, 0, (), (), (), 1.0)

    assert report.good
    for kind in ("lost", "twice", "unaccounted"):
        assert not dataclasses.replace(report, **{kind: ("id-1",)}).good
