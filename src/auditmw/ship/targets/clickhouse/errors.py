"""What ClickHouse's errors mean to a shipper.

An error has a number, which does not change between versions (ErrorCodes.cpp of ClickHouse). 18.16 tells it in the body
only, later versions also in the header X-ClickHouse-Exception-Code.
"""

from __future__ import annotations

import re

from auditmw.ship.http_client import Answer, failure
from auditmw.ship.target import RejectedError, RetryableError, ShipError, TooLargeError, UnusableError
from auditmw.ship.wire import LONGEST_REASON

CODE_HEADER = "X-ClickHouse-Exception-Code"

RETRYABLE = {
    "UNEXPECTED_END_OF_FILE": 3,
    "ATTEMPT_TO_READ_AFTER_EOF": 32,
    "CANNOT_READ_FROM_SOCKET": 95,
    "CANNOT_WRITE_TO_SOCKET": 96,
    "TIMEOUT_EXCEEDED": 159,
    "TOO_SLOW": 160,
    "CANNOT_ALLOCATE_MEMORY": 173,
    "DNS_ERROR": 198,
    "QUOTA_EXCEEDED": 201,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "NO_FREE_CONNECTION": 203,
    "SOCKET_TIMEOUT": 209,
    "NETWORK_ERROR": 210,
    "NO_ZOOKEEPER": 225,
    "ABORTED": 236,
    "MEMORY_LIMIT_EXCEEDED": 241,
    "TABLE_IS_READ_ONLY": 242,
    "NOT_ENOUGH_SPACE": 243,
    "TOO_MANY_PARTS": 252,
    "NO_ACTIVE_REPLICAS": 254,
    "ALL_CONNECTION_TRIES_FAILED": 279,
    "TOO_FEW_LIVE_REPLICAS": 285,
    "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE": 286,
    "REPLICA_IS_NOT_IN_QUORUM": 289,
    "SHARD_HAS_NO_CONNECTIONS": 297,
    "UNKNOWN_STATUS_OF_INSERT": 319,
    "RECEIVED_ERROR_TOO_MANY_REQUESTS": 364,
    "ALL_REPLICAS_ARE_STALE": 369,
    "QUERY_WAS_CANCELLED": 394,
    "CANNOT_SCHEDULE_TASK": 439,
    "DEADLOCK_AVOIDED": 473,
    "NO_REMOTE_SHARD_AVAILABLE": 519,
    "DISTRIBUTED_TOO_MANY_PENDING_BYTES": 574,
    "MEMORY_RESERVATION_FAILED": 778,
    "KEEPER_EXCEPTION": 999,
    "POCO_EXCEPTION": 1000,
}
"""The network, memory, disks, Keeper, quotas, time limits, too many parts or queries: not for ever."""

REJECTED = {
    "CANNOT_PARSE_TEXT": 6,
    "CANNOT_PARSE_QUOTED_STRING": 26,
    "CANNOT_PARSE_INPUT_ASSERTION_FAILED": 27,
    "CANNOT_PARSE_DATETIME": 41,
    "CANNOT_PARSE_NUMBER": 72,
    "INCORRECT_DATA": 117,
    "TOO_LARGE_STRING_SIZE": 131,
    "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO": 395,
    "VIOLATED_CONSTRAINT": 469,
}
"""What is not read as a value, and what a constraint of the operator's, or a `throwIf`, refuses."""

UNKNOWN_TABLE, INCORRECT_DATA, TOO_MANY_PARTS, TOO_MANY_PARTITIONS = 60, 117, 252, 565

_CODE = re.compile(rb"Code: (\d+)")
_SAID = re.compile(r"DB::\w*Exception: (?P<said>.*?)(?:, e\.what\(\)|\.? Stack trace:| ?\(version |$)")


def problem(shown: str, answer: Answer) -> ShipError:
    """Return what to raise for an answer that is an error. What is not known here is no event's fault."""
    code, said = code_of(answer), said_by(answer)
    if code is None:
        return failure(shown, answer)  # it is not ClickHouse that answered
    reason = f"{shown} answered: {said} (code {code})"
    if code == UNKNOWN_TABLE:
        reason += "; in a cluster every node needs its table: name the hosts of all in the URL, or make them yourself"
    if code in {TOO_MANY_PARTS, TOO_MANY_PARTITIONS} and "partitions" in said:
        return TooLargeError(reason)  # events of more months in one INSERT than max_partitions_per_insert_block
    if code in RETRYABLE.values():
        return RetryableError(reason)
    if code in REJECTED.values() and not (code == INCORRECT_DATA and "nknown field" in said):
        return RejectedError(reason)
    return UnusableError(reason)


def code_of(answer: Answer) -> int | None:
    """Return the error's number, None where there is none."""
    told = answer.headers.get(CODE_HEADER, "")
    if told.isdecimal():
        return int(told)
    found = _CODE.search(answer.body[: 16 * LONGEST_REASON])
    return None if found is None else int(found[1])


def said_by(answer: Answer) -> str:
    """Return the server's words, without what only its developers read."""
    text = " ".join(answer.body[: 16 * LONGEST_REASON].decode("utf-8", "replace").split())
    found = _SAID.search(text)
    said = found["said"] if found else text
    return "".join(c if c.isprintable() else "?" for c in said)[:LONGEST_REASON].rstrip(". ")
