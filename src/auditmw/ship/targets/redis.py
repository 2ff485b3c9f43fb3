"""`redis://` appends each event to a Redis stream, and keeps the cursor beside it.

1. A batch is one script, which Redis runs whole or not at all: an XADD for each event, and the cursor. It knows the
   last batch by its token, so one that comes again, because its answer was lost, is not appended again.
2. That is as good as Redis' memory. `appendfsync always` is for power cuts; with less, its last second may be gone. A
   failover loses what the replica had not got: `replicas=N` waits until N have the batch (WAIT), which makes that rare,
   and not impossible, as Redis is no consensus. A cursor that went back with the events is told, not mended.
3. Dead letters that are sent again may come twice: each entry has the event's id.
4. The stream grows until somebody reads and trims it; `maxlen` trims it here, and drops the oldest, read or not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from auditmw.formats.records import record_format
from auditmw.ship.address import Address, AddressError
from auditmw.ship.batch import Batch
from auditmw.ship.target import (
    Accepted,
    Claim,
    CursorKeeper,
    FencedError,
    KeptCursor,
    RetryableError,
    ShipError,
    Target,
    UnusableError,
)

_DEFAULT_PORT = 6379
_MOST_CHARACTERS = 300
_UNUSABLE_WORDS = (
    "WRONGTYPE",
    "ACL failure",
    "can't run this command",
    "no permissions",
    "unknown command",
    "DB index",
    "certificate",
    "[SSL",
)

# KEYS: the stream, the cursor. ARGV: epoch ("" without a cursor), data, token ("" for no events), the stream's length
# (0: any), then id and record of each event. Returns the epoch that was there. Nothing is written where it is higher.
_APPEND = """
local kept = {false, false}
if ARGV[1] ~= '' then kept = redis.call('HMGET', KEYS[2], 'epoch', 'token') end
local epoch = tonumber(kept[1] or '0')
if ARGV[1] ~= '' and epoch > tonumber(ARGV[1]) then return epoch end
if kept[2] ~= ARGV[3] then
    for at = 5, #ARGV, 2 do
        if ARGV[4] == '0' then
            redis.call('XADD', KEYS[1], '*', 'id', ARGV[at], 'event', ARGV[at + 1])
        else
            redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'id', ARGV[at], 'event', ARGV[at + 1])
        end
    end
end
if ARGV[1] ~= '' then redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'data', ARGV[2]) end
if ARGV[1] ~= '' and ARGV[3] ~= '' then redis.call('HSET', KEYS[2], 'token', ARGV[3]) end
return epoch
"""


@dataclass(frozen=True)
class Settings:
    """What the URL says.

    `client`: for redis.Redis. `replicas`: how many are to have a batch before it counts, waited for `wait_seconds` at
    most. `maxlen`: about how many entries the stream keeps, 0 for all. `shown`: the URL without the password.
    """

    client: dict[str, Any]
    stream: str
    replicas: int
    wait_seconds: float
    maxlen: int
    shown: str


class RedisTarget(CursorKeeper):
    """Appends to one stream: entries with the fields `id` and `event`."""

    def __init__(self, settings: Settings, format: str | None) -> None:
        self.format = None if format is None else record_format(format)
        self._settings = settings
        self._client = redis.Redis(**settings.client)

    def send(self, batch: Batch) -> Accepted:
        """Append the batch."""
        if len(batch):
            self._append(batch, ["", ""], "")
        return Accepted(len(batch))

    def send_with_cursor(self, batch: Batch, cursor: KeptCursor) -> Accepted:
        """Append the batch and keep the cursor, both or none; a batch that is there already is not appended again."""
        epoch = self._append(batch, [cursor.epoch, cursor.data], cursor.name)
        if epoch > cursor.epoch:
            raise FencedError(f"another shipper has taken over {cursor.name} (epoch {epoch}); this one stops")
        lost = f"{self._settings.shown} has lost what it had, events too: {cursor.name} was at epoch {epoch}"
        return Accepted(len(batch), note=lost if epoch < cursor.epoch else "")

    def claim(self, name: str) -> Claim:
        """Return the next epoch of a cursor, and what was kept with it."""
        key = self._cursor_key(name)
        epoch, data = self._execute([("HINCRBY", key, "epoch", 1), ("HGET", key, "data")])
        return Claim(int(epoch), data)

    def close(self) -> None:
        """Close the connections."""
        with suppress(Exception):
            self._client.close()

    def _cursor_key(self, name: str) -> str:
        """Where a cursor is: beside the stream, also in a cluster (hash tags)."""
        return f"{{{self._settings.stream}}}:cursor:{name}"

    def _append(self, batch: Batch, kept: list[Any], name: str) -> int:
        """Run the script; return the epoch that was there."""
        keys = [self._settings.stream, self._cursor_key(name)]
        arguments = [*kept, batch.token if len(batch) else "", self._settings.maxlen]
        for entry in batch:
            arguments += entry.id.encode("utf-8", "surrogatepass"), entry.record
        (epoch,) = self._execute([("EVAL", _APPEND, len(keys), *keys, *arguments)])
        return int(epoch)

    def _execute(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send commands at once, and WAIT on the same connection: it is about what that one wrote."""
        settings = self._settings
        pipeline: Any = self._client.pipeline(transaction=False)
        try:
            with pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                if settings.replicas:
                    pipeline.execute_command("WAIT", settings.replicas, int(settings.wait_seconds * 1000))
                results: list[Any] = pipeline.execute(raise_on_error=False)  # it would quote the script
                _raise_first(results)
        except (exceptions.RedisError, OSError) as error:
            raise ship_error(error) from error
        if settings.replicas and (reached := results.pop()) < settings.replicas:
            raise RetryableError(
                f"expected {settings.replicas} replicas to have the batch within "
                f"{settings.wait_seconds:g} s, not {reached}"
            )
        return results


def _raise_first(results: list[Any]) -> None:
    for result in results:
        if isinstance(result, Exception):
            raise result


def ship_error(error: Exception) -> ShipError:
    """Return what to raise for an error of Redis, or on the way to it: none of them is about an event."""
    told = " ".join(str(error).split())[:_MOST_CHARACTERS] or type(error).__name__
    refused = isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError))
    if refused or any(words in told for words in _UNUSABLE_WORDS):
        return UnusableError(told)
    return RetryableError(told)


def open_target(address: Address, format: str | None) -> Target:
    """`redis://user:password@host:port/0?stream=auditmw&replicas=1`, or `rediss://` with TLS."""
    if len(address.hosts) > 1 or (address.path and not address.path.isdigit()):
        raise AddressError(f"expected {address.scheme}://host:port/number of a database, not {address.shown!r}")
    wait_seconds = address.seconds("wait", 5.0)
    client: dict[str, Any] = {
        "host": address.host,
        "port": address.port or _DEFAULT_PORT,
        "db": int(address.path or 0),
        "username": address.user,
        "password": address.password,
        "socket_connect_timeout": address.seconds("connect_timeout", 10.0),
        "socket_timeout": address.seconds("timeout", 30.0) + wait_seconds,
        "retry": Retry(NoBackoff(), 0),  # the shipper's business
    }
    if address.scheme == "rediss":
        client |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        files = {"ssl_ca_certs": "ca", "ssl_certfile": "certificate", "ssl_keyfile": "key"}
        client |= {parameter: address.text(option, "") or None for parameter, option in files.items()}
    settings = Settings(
        client=client,
        stream=address.text("stream", "auditmw"),
        replicas=_whole_or_none(address, "replicas"),
        wait_seconds=wait_seconds,
        maxlen=_whole_or_none(address, "maxlen"),
        shown=address.shown,
    )
    address.done()
    return RedisTarget(settings, format)


def _whole_or_none(address: Address, option: str) -> int:
    given = address.whole(option, 1)
    return given if option in address.options else 0
