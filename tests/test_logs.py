"""The request's context in ordinary logs, and loggers whose events are audit events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import CapturingLogger
from werkzeug.test import create_environ

import auditmw
from auditmw.testing import Recorder, assert_valid


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture
def audit(recorder: Recorder) -> auditmw.Audit:
    return auditmw.Audit(recorder, service="shop")


@pytest.fixture
def in_a_request(audit: auditmw.Audit) -> Callable[[Callable[[], Any]], None]:
    """Calls something inside of a request of alice's."""

    def serve(call: Callable[[], Any]) -> None:
        def app(environ: Any, start_response: Any) -> list[bytes]:
            auditmw.identify("alice", session="s-1")
            call()
            start_response("200 OK", [])
            return []

        auditmw.WSGIAudit(app, audit)(create_environ("/") | {"REMOTE_ADDR": "127.0.0.1"}, lambda *head: None)

    return serve


def ids(event: dict[str, Any]) -> dict[str, str]:
    return {
        "trace_id": event["trace"]["trace_id"],
        "request_id": event["request_id"],
        "user_id": event["actor"]["id"],
        "session_id": event["session"]["id"],
    }


# -------------------------------------------------------------------------------------------------------- ordinary logs


@pytest.fixture
def lines() -> list[Any]:
    return []


@pytest.fixture
def log(lines: list[Any]) -> Any:
    """A structlog logger with our processor, as an application configures one."""

    def keep(logger: Any, method: str, line: dict[str, Any]) -> str:
        lines.append(line)
        return ""

    return structlog.wrap_logger(CapturingLogger(), processors=[auditmw.add_context, keep])


def test_a_structlog_line_carries_the_ids_of_the_event(in_a_request, recorder, log, lines):
    in_a_request(lambda: log.info("working", item=7))
    assert lines == [{"event": "working", "item": 7, **ids(recorder.one())}]


def test_a_line_that_has_an_id_of_its_own_keeps_it(in_a_request, log, lines):
    in_a_request(lambda: log.info("working", user_id="bob"))
    assert lines[0]["user_id"] == "bob"


def test_outside_of_a_request_a_line_stays_as_it_is(log, lines):
    log.info("starting")
    assert lines == [{"event": "starting"}]


def test_nothing_of_a_request_is_left_for_the_next_line(in_a_request, log, lines):
    in_a_request(lambda: None)
    log.info("between")
    assert lines == [{"event": "between"}]


@pytest.fixture
def stdlib(lines: list[Any]) -> Iterator[logging.Logger]:
    """A standard logger whose handler has our filter."""

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Keep()
    handler.addFilter(auditmw.ContextFilter())
    handler.setFormatter(logging.Formatter("%(message)s %(trace_id)s %(request_id)s %(user_id)s %(session_id)s"))
    logger = logging.getLogger("shop.orders")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)


def test_a_standard_log_line_carries_the_ids_of_the_event(in_a_request, recorder, stdlib, lines):
    in_a_request(lambda: stdlib.warning("working"))
    assert lines == [" ".join(["working", *ids(recorder.one()).values()])]


def test_outside_of_a_request_a_standard_line_has_dashes(stdlib, lines):
    stdlib.warning("starting")
    assert lines == ["starting - - - -"]


def test_a_standard_line_that_has_an_id_of_its_own_keeps_it(in_a_request, stdlib, lines):
    in_a_request(lambda: stdlib.warning("working", extra={"user_id": "bob"}))
    assert " bob " in lines[0]


# ----------------------------------------------------------------------------------------------------------- get_logger


def test_an_event_of_the_logger_is_an_audit_event_with_the_requests_context(in_a_request, recorder):
    in_a_request(lambda: auditmw.get_logger().info("file_uploaded", file_size_bytes=5, content_type="text/plain"))
    uploaded, request = recorder.events
    assert uploaded["event"] == "file_uploaded"
    assert uploaded["data"] == {"file_size_bytes": 5, "content_type": "text/plain"}
    assert ids(uploaded) == ids(request)
    assert uploaded["source"]["kind"] == "app"
    assert uploaded["id"] != request["id"]


@pytest.mark.parametrize(
    ("method", "level"),
    [
        ("debug", "debug"),
        ("info", "info"),
        ("warning", "warning"),
        ("warn", "warning"),
        ("error", "error"),
        ("critical", "critical"),
        ("fatal", "critical"),
        ("exception", "error"),
        ("msg", "info"),
    ],
)
def test_the_method_is_the_level(in_a_request, recorder, method, level):
    in_a_request(lambda: getattr(auditmw.get_logger(), method)("looked"))
    assert recorder.events[0]["level"] == level


def test_what_is_bound_to_the_logger_is_in_its_events(in_a_request, recorder):
    in_a_request(lambda: auditmw.get_logger(shop="east").bind(till=3).info("sold", item=7))
    assert recorder.events[0]["data"] == {"shop": "east", "till": 3, "item": 7}


def test_names_of_the_event_are_fields_and_others_are_data(in_a_request, recorder):
    target = {"type": "file", "name": "a.txt"}
    in_a_request(lambda: auditmw.get_logger().info("file_deleted", target=target, message="gone", reason="user_asked"))
    deleted = recorder.events[0]
    assert (deleted["target"], deleted["message"], deleted["outcome"]["reason"]) == (target, "gone", "user_asked")
    assert "data" not in deleted


@pytest.mark.parametrize(
    "text", ["User alice did something!", "Größe", "", "http_request", "a" * 200, "two\nlines", "\ud800", 7, None]
)
def test_text_that_is_no_event_name_is_the_message_of_a_log_event(in_a_request, recorder, text):
    in_a_request(lambda: auditmw.get_logger().info(text))
    logged = recorder.events[0]
    assert logged["event"] == "log"
    assert isinstance(logged["message"], str)
    if text == "User alice did something!":
        assert logged["message"] == text


def log_and_raise(**how: Any) -> None:
    try:
        raise LookupError("no such file")
    except LookupError as error:
        given = {name: error if value == "the exception" else value for name, value in how.items()}
        auditmw.get_logger().error("file_lost", **given)


@pytest.mark.parametrize("exc_info", [True, "the exception"])
def test_exc_info_is_the_error_of_the_event(in_a_request, recorder, exc_info):
    in_a_request(lambda: log_and_raise(exc_info=exc_info))
    lost = recorder.events[0]
    assert (lost["error"]["type"], lost["error"]["message"]) == ("builtins.LookupError", "no such file")
    assert 'raise LookupError("no such file")' in lost["error"]["stacktrace"]
    assert lost["outcome"]["result"] == "failure"
    assert "exc_info" not in lost.get("data", {})


@pytest.mark.parametrize("exc_info", [(1, 2, 3), (None, None, None), ()], ids=repr)
def test_a_tuple_that_is_no_exception_costs_no_event(in_a_request, recorder, exc_info):
    in_a_request(lambda: auditmw.get_logger().error("file_lost", exc_info=exc_info))
    assert "error" not in next(event for event in recorder.events if event["event"] == "file_lost")


def test_a_text_that_cannot_be_had_costs_no_event(in_a_request, recorder):
    class Nameless:
        def __str__(self) -> str:
            raise RuntimeError("not told")

    in_a_request(lambda: auditmw.get_logger().error(Nameless()))
    (logged,) = (event for event in recorder.events if event["event"] == "log")
    assert logged["message"].endswith("Nameless>")


def test_a_triple_as_exc_info_is_the_error_too(in_a_request, recorder):
    error = LookupError("no such file")
    in_a_request(lambda: auditmw.get_logger().error("file_lost", exc_info=(LookupError, error, None)))
    assert recorder.events[0]["error"]["message"] == "no such file"


def test_exception_means_the_one_being_handled(in_a_request, recorder):
    def fail() -> None:
        try:
            raise LookupError("no such file")
        except LookupError:
            auditmw.get_logger().exception("file_lost")

    in_a_request(fail)
    assert recorder.events[0]["error"]["message"] == "no such file"


def test_exception_outside_of_a_handler_has_no_error(in_a_request, recorder):
    in_a_request(lambda: auditmw.get_logger().exception("file_lost"))
    assert "error" not in recorder.events[0]


def test_secrets_are_not_written(in_a_request, recorder):
    secret = "hunter2-hunter2"
    log = auditmw.get_logger
    in_a_request(lambda: log().info("signed_in", password=secret, form={"api_key": secret, "name": "alice"}))
    signed_in = recorder.events[0]
    assert secret not in str(recorder.events)
    assert signed_in["data"]["form"]["name"] == "alice"
    assert set(signed_in["meta"]["redacted"]) == {"/data/password", "/data/form/api_key"}


def test_values_that_no_json_can_hold_are_written_as_well_as_they_can_be(in_a_request, recorder):
    cycle: dict[str, Any] = {}
    cycle["self"] = cycle
    in_a_request(lambda: auditmw.get_logger().info("looked", cycle=cycle, big=2**100, thing=object(), raw=b"\xff"))
    assert recorder.events[0]["event"] == "looked"
    assert len(recorder.events) == 2


def test_a_logger_outside_of_a_request_writes_to_the_only_audit(monkeypatch, audit, recorder):
    monkeypatch.setattr("auditmw.context.only_audit", lambda: audit)
    auditmw.get_logger().info("started", version=3)
    started = recorder.one(event="started")
    assert started["data"] == {"version": 3}
    assert "request_id" not in started


# ----------------------------------------------------------------------------------------------------------- to_journal


def test_a_configured_structlog_writes_its_lines_as_events_too(in_a_request, recorder, lines):
    def keep(logger: Any, method: str, line: dict[str, Any]) -> str:
        lines.append(dict(line))
        return ""

    processors = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        auditmw.to_journal,
        keep,
    ]
    log = structlog.wrap_logger(CapturingLogger(), processors=processors)
    in_a_request(lambda: log.warning("stock_low", item=7))
    event = recorder.events[0]
    assert (event["event"], event["level"], event["data"]) == ("stock_low", "warning", {"item": 7})
    assert (lines[0]["event"], lines[0]["item"], lines[0]["level"]) == ("stock_low", 7, "warning")


# -------------------------------------------------------------------------------------- a team's own structlog pipeline


def pipeline(*processors: Any) -> Any:
    """A structlog logger of a team's own, with our processor after some of theirs."""
    rest = [auditmw.to_journal, structlog.processors.JSONRenderer(default=repr)]
    return structlog.wrap_logger(CapturingLogger(), processors=[structlog.processors.add_log_level, *processors, *rest])


def logged_exception(log: Any) -> None:
    password = "hunter2-hunter2"  # dict_tracebacks shows local variables
    try:
        try:
            raise KeyError("a.txt")
        except KeyError as error:
            raise LookupError(f"no such file\nfor token=abcdefghijklmnop{password[:0]}") from error
    except LookupError:
        log.error("file_lost", exc_info=True, path="a.txt")


@pytest.mark.parametrize(
    "processors",
    [
        pytest.param([], id="exc_info"),
        pytest.param([structlog.processors.format_exc_info], id="as text"),
        pytest.param([structlog.processors.dict_tracebacks], id="as data"),
    ],
)
def test_an_exception_is_the_error_of_the_event_whatever_the_team_made_of_it(in_a_request, recorder, processors):
    in_a_request(lambda: logged_exception(pipeline(*processors)))
    lost = recorder.events[0]
    assert lost["error"]["type"] == "builtins.LookupError"
    assert lost["error"]["message"] == "no such file\nfor token=REDACTED"
    assert lost["error"]["handled"] is True
    trace = lost["error"]["stacktrace"]
    assert trace.index("KeyError: 'a.txt'") < trace.index("direct cause") < trace.index("LookupError: no such file")
    assert "in logged_exception" in trace
    assert lost["data"] == {"path": "a.txt"}
    assert lost["outcome"]["result"] == "failure"
    assert "hunter2-hunter2" not in str(recorder.events)


@pytest.mark.parametrize(
    ("rendered", "error"),
    [
        ("ValueError: no", {"type": "builtins.ValueError", "message": "no"}),
        ("KeyboardInterrupt", {"type": "builtins.KeyboardInterrupt", "message": ""}),
        (
            'Traceback (most recent call last):\n  File "x", line 1, in f\nshop.Sold: out\nof it',
            {"type": "shop.Sold", "message": "out\nof it"},
        ),
        ("the shop is closed", None),
        ("Timeout: 3", None),
        ("Traceback (most recent call last):\n", None),
        ("", None),
        ([], None),
        ([1], None),
        ([{"exc_type": None}], {"type": "None", "message": ""}),
        ([{"exc_type": "A", "frames": 7}], None),
        ({"type": "A"}, None),
        (7, None),
    ],
)
def test_only_what_is_a_rendered_exception_becomes_an_error(in_a_request, recorder, rendered, error):
    in_a_request(lambda: pipeline().info("looked", exception=rendered))
    looked = recorder.events[0]
    if error is None:
        assert "error" not in looked
        assert looked["data"] == {"exception": rendered}
    else:
        assert {key: looked["error"][key] for key in error} == error
        assert "data" not in looked


def test_the_ids_that_add_context_adds_are_not_written_twice(in_a_request, recorder):
    in_a_request(lambda: pipeline(auditmw.add_context).info("looked", item=7))
    looked = recorder.events[0]
    assert looked["data"] == {"item": 7}
    assert looked["actor"]["id"] == "alice"


def test_an_id_of_the_lines_own_is_kept(in_a_request, recorder):
    in_a_request(lambda: pipeline().info("looked", user_id="bob"))
    assert recorder.events[0]["data"] == {"user_id": "bob"}


def test_lines_of_the_standard_library_become_events_through_the_processor_formatter(in_a_request, recorder, lines):
    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    chain = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder(), auditmw.to_journal]
    handler = Keep()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=chain,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logger = logging.getLogger("shop.stock")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        in_a_request(lambda: logger.warning("stock of %s is low", "tea", extra={"left": 3}))
    finally:
        logger.removeHandler(handler)
    low = recorder.events[0]
    assert (low["event"], low["message"], low["level"]) == ("log", "stock of tea is low", "warning")
    assert low["data"] == {"left": 3}
    assert ids(low) == ids(recorder.events[1])
    assert '"event": "stock of tea is low"' in lines[0]


def test_a_journal_that_fails_costs_the_team_no_line(lines):
    class Broken:
        def write(self, body: bytes) -> int:
            raise OSError(28, "No space left on device")

    audit = auditmw.Audit(Broken(), service="shop")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        structlog.wrap_logger(
            CapturingLogger(), processors=[auditmw.to_journal, lambda *line: lines.append(line[2]) or ""]
        ).info("sold")
        start_response("200 OK", [])
        return []

    auditmw.WSGIAudit(app, audit)(create_environ("/"), lambda *head: None)
    assert lines == [{"event": "sold"}]
    assert audit.health()["counts"]["lost"] == 2


def test_a_journal_that_fails_and_logs_into_itself_does_so_once(lines):
    """auditmw says in a log of the standard library what it lost, and that log may lead back here."""

    class Broken:
        def write(self, body: bytes) -> int:
            raise OSError(28, "No space left on device")

    class Back(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())
            auditmw.to_journal(None, "warning", {"event": record.getMessage()})

    audit = auditmw.Audit(Broken(), service="shop")
    handler = Back()
    logger = logging.getLogger("auditmw")
    logger.addHandler(handler)
    try:
        auditmw.WSGIAudit(lambda environ, start: (start("200 OK", []), [])[1], audit)(
            create_environ("/"), lambda *head: None
        )
    finally:
        logger.removeHandler(handler)
    assert [line for line in lines if "lost" in line] == lines[:1]
    assert audit.health()["counts"]["lost"] >= 1


def test_the_asynchronous_methods_of_a_logger_carry_the_context(audit, recorder):
    log = structlog.wrap_logger(
        CapturingLogger(),
        processors=[auditmw.to_journal, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        auditmw.identify("alice")
        await log.ainfo("sold", item=7)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def serve() -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("127.0.0.1", 1)}

        async def ignore(message: Any) -> None:
            return None

        await auditmw.ASGIAudit(app, audit)(scope, None, ignore)

    asyncio.run(serve())
    sold, request = recorder.events
    assert (sold["event"], sold["actor"]["id"], sold["data"]) == ("sold", "alice", {"item": 7})
    assert sold["trace"]["trace_id"] == request["trace"]["trace_id"]
