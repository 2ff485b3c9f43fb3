"""What came of a request: the event's `outcome`, and its level."""

from __future__ import annotations

Outcome = tuple[dict[str, str], str]

SUCCESS: Outcome = ({"result": "success"}, "info")
_CLIENT_DISCONNECTED: Outcome = ({"result": "unknown", "reason": "client_disconnected"}, "warning")


def judge(status: int, complete: bool, client_gone: bool, error: BaseException | None, handled: bool) -> Outcome:
    """Outcome and level of a request that ended.

    `status`: 0 where no response was started. `complete`: it was handed over to its last byte. `error`: what the
    application raised, `handled` when an error page answered it.
    """
    if client_gone and (not isinstance(error, Exception) or tells_of_the_client(error)):
        return _CLIENT_DISCONNECTED
    if not complete:
        if isinstance(error, GeneratorExit):
            return _CLIENT_DISCONNECTED
        if error is None:
            return {"result": "failure", "reason": "incomplete_response" if status else "no_response"}, "error"
        if not isinstance(error, Exception):  # a cancelled task, a worker told to exit, a time-out of gevent
            return {"result": "unknown", "reason": "cancelled" if _is_cancellation(error) else "aborted"}, "warning"
    if error is not None and (status >= 500 or not handled):
        return {"result": "failure", "reason": "exception"}, "error"
    if status < 400:
        return SUCCESS
    return {"result": "failure", "reason": f"http_{status}"}, "warning" if status < 500 else "error"


def tells_of_the_client(error: BaseException) -> bool:
    """Whether the exception says no more than that the client went away, as servers and frameworks put it."""
    names_no_file = isinstance(error, OSError) and error.filename is None
    return names_no_file or "Disconnect" in type(error).__name__


def _is_cancellation(error: BaseException) -> bool:
    """Of asyncio, trio or curio, none of which is imported here."""
    return "Cancel" in type(error).__name__
