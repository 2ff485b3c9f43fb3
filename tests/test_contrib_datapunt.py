"""DataPunt's logger and formatter without a framework, and what becomes of the same calls inside of a request."""

from __future__ import annotations

import datetime
import decimal
import io
import json
import logging
import os
import signal
import sys
import threading
import types
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import auditmw
from auditmw.contrib.datapunt import AUDIT_LOGGER_NAME, AuditLogFormatter, AuditLogger, problems
from auditmw.contrib.datapunt.problems import Problems
from auditmw.contrib.datapunt.settings import check_path, exempt_patterns
from auditmw.contrib.datapunt.streams import WatchedChunks
from auditmw.testing import Recorder, assert_valid

SEVEN = ["http_request", "http_response", "user", "filter", "results", "type", "message"]


@pytest.fixture(autouse=True)
def fresh_logger() -> Iterator[None]:
    problems.renew()
    yield
    for name in (AUDIT_LOGGER_NAME, "tests.datapunt"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


class Lines(logging.Handler):
    """A handler that keeps the records, and what a formatter made of them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))

    @property
    def audits(self) -> list[dict[str, Any]]:
        return [json.loads(line)["audit"] for line in self.lines]


@pytest.fixture
def lines() -> Lines:
    lines = Lines()
    lines.setFormatter(AuditLogFormatter())
    logging.getLogger(AUDIT_LOGGER_NAME).addHandler(lines)
    return lines


def formatted(audit: Any, **more: Any) -> str:
    record = logging.LogRecord("audit_log", logging.INFO, "", 0, "message", (), None)
    vars(record).update(more)
    if audit is not None:
        record.audit = audit
    return AuditLogFormatter().format(record)


# ------------------------------------------------------------------------------------------------------------- the line


def test_the_line_has_seven_keys_in_order_and_null_for_what_was_not_said(capsys):
    AuditLogger().send_log()
    line = capsys.readouterr().out
    assert line.startswith('{"audit": {"http_request": null, "http_response": null, ')
    assert list(json.loads(line)["audit"]) == SEVEN


def test_every_call_sets_its_part_and_returns_the_logger(lines):
    AuditLogger().set_http_request("GET", "https://a.nl/?q=é", "UA").set_http_response(200, "OK", {"A": "b"}).set_user(
        True, "keycloak", "a@b.nl", roles=["admin"], ip="192.0.2.1", realm="employee"
    ).set_filter("person", {"name": "jan"}).set_results([{"id": 1}]).info("first").warning("100% of them").send_log()
    assert lines.audits == [
        {
            "http_request": {"method": "GET", "url": "https://a.nl/?q=é", "user_agent": "UA"},
            "http_response": {"status_code": 200, "reason": "OK", "headers": {"A": "b"}},
            "user": {
                "authenticated": True,
                "email": "a@b.nl",
                "roles": ["admin"],
                "ip": "192.0.2.1",
                "provider": {"name": "keycloak", "realm": "employee"},
            },
            "filter": {"object": "person", "kwargs": {"name": "jan"}},
            "results": [{"id": 1}],
            "type": "WARNING",
            "message": "100% of them",
        }
    ]
    record = lines.records[0]
    assert (record.name, record.levelname, record.getMessage()) == ("audit_log", "WARNING", "100% of them")
    assert list(record.audit) == SEVEN


@pytest.mark.parametrize(
    ("arguments", "named", "filter"),
    [
        pytest.param(["p", {"a": 1}], {}, {"object": "p", "kwargs": {"a": 1}}, id="the code's"),
        pytest.param([], {"object_name": "p", "kwargs": {}}, {"object": "p", "kwargs": {}}, id="the code's, by name"),
        pytest.param(["p", ["a"], "t"], {}, {"object": "p", "fields": ["a"], "terms": "t"}, id="the README's"),
        pytest.param(
            ["p"], {"fields": ["a"], "terms": "t"}, {"object": "p", "fields": ["a"], "terms": "t"}, id="named"
        ),
        pytest.param(["p"], {"terms": "t"}, {"object": "p", "fields": None, "terms": "t"}, id="terms alone"),
        pytest.param(["p"], {"fields": "a"}, {"object": "p", "fields": "a", "terms": None}, id="fields alone"),
    ],
)
def test_a_filter_is_set_as_the_readme_says_and_as_the_code_did(arguments, named, filter):
    assert AuditLogger().set_filter(*arguments, **named).filter == filter


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_every_level_is_logged(lines, level):
    getattr(AuditLogger(), level)("said").send_log()
    assert [(audit["type"], audit["message"]) for audit in lines.audits] == [(level.upper(), "said")]


def test_the_last_level_and_message_win_and_nothing_is_logged_before_it_is_sent(lines):
    audit_log = AuditLogger().error("first").info("last")
    assert lines.records == []
    audit_log.send_log()
    audit_log.send_log()
    assert [audit["message"] for audit in lines.audits] == ["last", "last"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.booleans() | st.none(), inner),
)


@given(JSON)
def test_what_json_has_is_written_as_json_dumps_writes_it(value):
    assert formatted({"results": value}) == json.dumps({"audit": {"results": value}})


class Hostile:
    """Raises whatever is asked of it."""

    def __str__(self) -> str:
        raise ValueError("never")

    __repr__ = __str__


def circular() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def nested(depth: int) -> Any:
    value: Any = "inside"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param(datetime.date(2026, 1, 2), "2026-01-02", id="date"),
        pytest.param(
            datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00+00:00", id="date and time"
        ),
        pytest.param(uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007", id="UUID"),
        pytest.param(decimal.Decimal("1.10"), "1.10", id="Decimal"),
        pytest.param({1}, [1], id="set"),
        pytest.param((1, b"a\xff"), [1, "a\\xff"], id="tuple with bytes"),
        pytest.param({(1, 2): decimal.Decimal(1)}, {"(1, 2)": "1"}, id="key that is no key"),
        pytest.param({None: 1j, 2: True}, {"null": "1j", "2": True}, id="keys that json coerces"),
        pytest.param(Hostile(), "<Hostile>", id="object that raises"),
        pytest.param([10**5000], ["<int>"], id="more digits than Python writes"),
        pytest.param(circular(), [1, "<circular>"], id="circular"),
        pytest.param(types.MappingProxyType({"a": Hostile}), {"a": str(Hostile)}, id="mapping that is no dict"),
    ],
)
def test_what_json_lacks_is_written_as_text_and_no_event_is_lost(lines, value, written):
    AuditLogger().set_results({"value": value, "id": 1}).info("kept").send_log()
    assert lines.audits[0]["results"] == {"value": written, "id": 1}
    assert lines.audits[0]["message"] == "kept"


def test_what_is_nested_too_deep_is_cut(lines):
    AuditLogger().set_results(nested(100_000)).send_log()
    assert "<too deep>" in lines.lines[0]


def test_a_record_without_audit_says_so_and_an_exception_stands_inside_the_json():
    assert formatted(None) == '{"audit": {"message": "LogRecord misses audit attribute"}}'
    try:
        raise ValueError("kaboom")
    except ValueError:
        entry = json.loads(formatted({"message": "m"}, exc_info=sys.exc_info(), stack_info="the stack"))
    assert entry["exc_info"].endswith("ValueError: kaboom")
    assert entry["stack_info"] == "the stack"


# ------------------------------------------------------------------------------------------ loggers and override points


def test_a_subclass_chooses_logger_handler_and_formatter(lines):
    made = []

    class Ours(AuditLogger):
        def get_logger_name(self) -> str:
            return "tests.datapunt"

        def get_log_handler(self) -> logging.Handler:
            made.append(Lines())
            return made[-1]

        def get_log_formatter(self) -> logging.Formatter:
            return logging.Formatter("%(levelname)s %(message)s")

    Ours().info("one").send_log()
    Ours().info("two").send_log()
    assert [handler.lines for handler in made] == [["INFO one", "INFO two"]]
    assert lines.records == []


def test_a_logger_that_has_handlers_keeps_them_and_is_set_so_that_nothing_is_held_back(lines, capsys):
    logger = logging.getLogger(AUDIT_LOGGER_NAME)
    logger.setLevel(logging.CRITICAL)
    AuditLogger().info("one").send_log()
    assert (logger.handlers, logger.propagate, len(lines.records)) == ([lines], False, 1)
    assert capsys.readouterr().out == ""


def test_first_requests_that_come_together_make_one_handler(capsys):
    together, made = threading.Barrier(8), []

    class Ours(AuditLogger):
        def get_log_handler(self) -> logging.Handler:
            made.append(Lines())
            return made[-1]

    def request() -> None:
        together.wait(30)
        Ours().info("one").send_log()

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(handler.lines) for handler in made] == [8]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_forked_while_another_thread_makes_the_handler_makes_its_own():
    making, forked = threading.Event(), threading.Event()

    class Ours(AuditLogger):
        def get_log_handler(self) -> logging.Handler:
            making.set()
            forked.wait(30)
            return Lines()

    thread = threading.Thread(target=Ours)
    thread.start()
    assert making.wait(30)
    child = os.fork()
    if not child:
        signal.alarm(20)  # what waits for the lock of a thread that is not here waits for ever
        AuditLogger().send_log()
        os._exit(0)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("method", "returned", "kind"),
    [
        pytest.param("get_log_handler", None, "handlers", id="a handler that raises"),
        pytest.param("get_log_handler", "no handler", "handlers", id="no handler"),
        pytest.param("get_log_formatter", None, "formatters", id="a formatter that raises"),
        pytest.param("get_log_formatter", "no formatter", "formatters", id="no formatter"),
    ],
)
def test_a_line_whose_handler_or_formatter_cannot_be_made_goes_to_stdout(capsys, caplog, method, returned, kind):
    class Ours(AuditLogger):
        pass

    def make(self: Any) -> Any:
        if returned is None:
            raise OSError("not now")
        return returned

    setattr(Ours, method, make)
    Ours().info("kept").send_log()
    assert json.loads(capsys.readouterr().out)["audit"]["message"] == "kept"
    assert problems.counts == {kind: 1}


def test_a_handler_that_takes_no_formatter_is_replaced_by_stdout(capsys):
    class Stubborn(logging.StreamHandler):
        def setFormatter(self, fmt: Any) -> None:
            raise OSError("not mine")

    class Ours(AuditLogger):
        def get_log_handler(self) -> logging.Handler:
            return Stubborn()

    Ours().info("kept").send_log()
    assert json.loads(capsys.readouterr().out)["audit"]["message"] == "kept"
    assert problems.counts == {"handlers": 1}


def test_a_handler_that_raises_raises_into_nobody_and_is_counted(lines, monkeypatch):
    monkeypatch.setattr(lines, "emit", lambda record: 1 / 0)
    AuditLogger().info("lost").send_log()
    assert problems.counts == {"lines": 1}


def test_problems_are_counted_each_time_and_told_once_a_minute(caplog):
    now = [0.0]
    ours = Problems(lambda: now[0])
    for second in (0, 1, 59, 60, 61):
        now[0] = float(second)
        ours.count("lines", "A line was lost", ValueError("why"))
    assert ours.counts == {"lines": 5}
    assert [record.getMessage() for record in caplog.records] == [
        "A line was lost (1 in this process so far)",
        "A line was lost (4 in this process so far)",
    ]


# ------------------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("path", "why"),
    [
        pytest.param("nowhere.at.all", "ModuleNotFoundError: No module named 'nowhere'", id="no such module"),
        pytest.param("json.nothing", "AttributeError: module 'json' has no attribute 'nothing'", id="no such name"),
        pytest.param("json", "not 'json'", id="no dot"),
        pytest.param("json.", "not 'json.'", id="nothing behind the dot"),
        pytest.param(7, "not 7", id="no text"),
        pytest.param("sys.path", r"what is there is \[", id="no callable"),
        pytest.param("bad path.name", "not 'bad path.name'", id="no path"),
    ],
)
def test_a_path_at_which_no_callable_is_names_the_setting_and_the_path(path, why):
    expected = rf"expected SETTING to be the dotted path of a callable such as 'shop.logs.make', not {path!r}"
    with pytest.raises((TypeError, ValueError), match=expected) as caught:
        check_path("SETTING", path)
    caught.match(why)


@pytest.mark.parametrize("path", [None, "", "json.dumps", "json.decoder.JSONDecoder", "__main__.defined_below"])
def test_a_path_that_is_good_or_not_yet_decided_passes(path):
    check_path("SETTING", path)


def test_a_callable_of_a_module_that_is_still_being_imported_is_looked_up_later(tmp_path, monkeypatch):
    """As that of an application which names a function that stands below the middleware's line."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "datapunt_circular.py").write_text(
        "from auditmw.contrib.datapunt.settings import check_path\n"
        "check_path('SETTING', 'datapunt_circular.who')\n"
        "def who(): ...\n"
    )
    __import__("datapunt_circular")
    check_path("SETTING", "datapunt_circular.who")


@pytest.mark.parametrize("given", ["^health", None, {"a"}, 7])
def test_exempt_urls_that_are_no_list_are_refused(given):
    with pytest.raises(TypeError, match=r"expected EXEMPT_URLS to be a list of regular expressions, not .*put it in a"):
        exempt_patterns("EXEMPT_URLS", given)


@pytest.mark.parametrize("given", [["^ok", "("], [7], [b"^ok"], ["a{99999999999}"], ["(" * 5000 + ")" * 5000]])
def test_an_exempt_url_that_is_no_regular_expression_is_named(given):
    with pytest.raises(ValueError, match=r"expected a regular expression in EXEMPT_URLS, not ('\(+|7|b'\^ok'|'a)"):
        exempt_patterns("EXEMPT_URLS", given)


# -------------------------------------------------------------------------------------------------------------- streams


def test_a_stream_is_handed_over_as_it_comes_and_its_end_is_told():
    told: list[Any] = []
    assert list(WatchedChunks(iter([b"a", b"b"]), told.append)) == [b"a", b"b"]
    assert told == [None]


def test_a_stream_that_fails_tells_its_exception():
    def failing() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("kaboom")

    told: list[Any] = []
    with pytest.raises(ValueError, match="kaboom"):
        list(WatchedChunks(failing(), told.append))
    assert repr(told) == "[ValueError('kaboom')]"


def test_a_stream_that_is_closed_closes_what_it_is_made_of():
    told: list[Any] = []
    file = io.BytesIO(b"a\nb\n")
    watched = WatchedChunks(file, told.append)
    assert next(watched) == b"a\n"
    watched.close()
    assert (file.closed, told) == (True, [None])


# --------------------------------------------------------------------------------------- inside of a request of a shell


def serve(recorder: Recorder, view: Any, status: str = "200 OK", **options: Any) -> dict[str, Any]:
    from werkzeug.test import Client

    def app(environ: Any, start_response: Any) -> list[bytes]:
        view()
        start_response(status, [("Content-Type", "text/plain")])
        return [b"hello"]

    Client(auditmw.WSGIAudit(app, auditmw.Audit(recorder, service="shop", **options))).get("/")
    event = recorder.one()
    assert_valid(event)
    return event


def test_what_is_said_is_in_the_requests_own_event(lines):
    def view() -> None:
        AuditLogger().set_user(True, "keycloak", "a@b.nl", roles=["admin"], realm="employee").set_filter(
            "person", {"name": "jan"}
        ).set_results([{"id": 1}]).warning("Searched persons").send_log()

    event = serve(Recorder(), view)
    assert event["message"] == "Searched persons"
    assert event["level"] == "warning"
    assert event["filter"] == {"object": "person", "kwargs": {"name": "jan"}}
    assert event["results"] == [{"id": 1}]
    assert event["actor"] == {
        "id": "a@b.nl",
        "email": "a@b.nl",
        "type": "user",
        "authenticated": True,
        "provider": "keycloak",
        "realm": "employee",
        "roles": ["admin"],
    }
    assert len(lines.lines) == 1


def test_a_readme_filter_has_no_empty_members_in_the_event():
    event = serve(Recorder(), lambda: AuditLogger().set_filter("person", terms="jan").annotate())
    assert event["filter"] == {"object": "person", "terms": "jan"}


@pytest.mark.parametrize(
    ("said", "status", "level"),
    [
        pytest.param(None, "500 NO", "error", id="nothing said of a failure"),
        pytest.param("info", "500 NO", "error", id="a failure is not made light of"),
        pytest.param("critical", "500 NO", "critical", id="a failure is made more of"),
        pytest.param("info", "404 NO", "info", id="a level that was said wins"),
        pytest.param("debug", "200 OK", "debug", id="debug"),
        pytest.param(None, "404 NO", "warning", id="nothing said"),
    ],
)
def test_the_level_of_the_event_is_what_was_said_unless_the_server_failed(said, status, level):
    def view() -> None:
        audit_log = AuditLogger().set_http_response(int(status[:3]), status)
        if said is not None:
            getattr(audit_log, said)("said")
        audit_log.annotate()

    assert serve(Recorder(), view, status)["level"] == level


def test_a_user_who_is_only_found_does_not_replace_the_one_that_the_view_names():
    def view() -> None:
        auditmw.identify("user-42")
        audit_log = AuditLogger()
        audit_log.found_user({"email": "a@b.nl", "authenticated": True, "roles": [], "provider": {}}, "a@b.nl")

    assert serve(Recorder(), view)["actor"]["id"] == "user-42"


def test_what_was_told_is_not_told_again():
    recorder = Recorder()
    audit = auditmw.Audit(recorder, service="shop")
    kept: list[AuditLogger] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        kept.append(AuditLogger().info("said"))
        kept[0].annotate()
        yield b"hello"
        kept[0].annotate()  # after the event

    from werkzeug.test import Client

    Client(auditmw.WSGIAudit(app, audit)).get("/").get_data()
    assert recorder.one()["message"] == "said"
    assert audit.health()["status"] == "ok"


# -------------------------------------------------------------------------------------------------- beside the original


@given(results=JSON, message=st.text(), level=st.sampled_from(["info", "warning", "error", "critical"]))
def test_the_original_logs_the_same_lines(results, message, level):
    pytest.importorskip("audit_log")
    from audit_log.formatter import AuditLogFormatter as TheirFormatter
    from audit_log.logger import AuditLogger as TheirLogger

    written = []
    for logger, formatter in ((TheirLogger, TheirFormatter), (AuditLogger, AuditLogFormatter)):
        lines = Lines()
        lines.setFormatter(formatter())
        log = logging.getLogger(AUDIT_LOGGER_NAME)
        log.handlers[:] = [lines]
        audit_log = logger().set_http_request("GET", "/", "UA").set_http_response(200, "OK")
        audit_log.set_user(False, "", "").set_filter("a", {"b": 1}).set_results(results)
        getattr(audit_log, level)(message).send_log()
        written.append(lines.lines)
    assert written[0] == written[1]
