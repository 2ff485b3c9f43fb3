"""What an error of PostgreSQL says about the batch, the server, or us.

By the class of its SQLSTATE (PostgreSQL manual, appendix A). An error while connecting comes without one; then the
server's words decide, and where they are in another language it is tried again soon.
"""

from __future__ import annotations

import psycopg

from auditmw.ship.target import RejectedError, RetryableError, ShipError, UnusableError

_ABOUT_US = ("0A", "26", "28", "2F", "34", "38", "39", "3B", "3D", "3F", "42", "44", "F0", "HV")
_ABOUT_THE_EVENT = ("21", "22", "23", "54", "P0")
_UNUSABLE_WORDS = (
    "password authentication failed",
    "authentication failed",
    "authentication method",
    "no password supplied",
    "pg_hba.conf",
    "does not exist",
    "permission denied",
    "is not permitted to log in",
    "does not support SSL",
    "certificate",
    "SSL error",
    "invalid sslmode",
)
_MOST_CHARACTERS = 300


def ship_error(error: psycopg.Error) -> ShipError:
    """Return what to raise for an error of psycopg."""
    state = error.sqlstate or ""
    reason = _sentence(error)
    if state.startswith(_ABOUT_THE_EVENT):
        return RejectedError(reason)
    if state.startswith(_ABOUT_US) or (not state and _means_us(error)):
        return UnusableError(reason)
    return RetryableError(reason)


def _means_us(error: psycopg.Error) -> bool:
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return False
    text = str(error)
    return not isinstance(error, psycopg.OperationalError) or any(words in text for words in _UNUSABLE_WORDS)


def _sentence(error: psycopg.Error) -> str:
    """Return the server's sentence, with its code and hint, without the details: they may quote the event."""
    told = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    hint = f" (hint: {error.diag.message_hint})" if error.diag.message_hint else ""
    code = f" [{error.sqlstate}]" if error.sqlstate else ""
    return told[:_MOST_CHARACTERS] + code + hint[:_MOST_CHARACTERS]
