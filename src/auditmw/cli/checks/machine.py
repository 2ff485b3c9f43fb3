"""The machine: is its clock right, and which versions are installed."""

from __future__ import annotations

import ctypes
import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from auditmw.cli.checks.finding import Finding, fail, ok, warn

# adjtimex(2), <sys/timex.h>
TIME_ERROR = 5
STA_UNSYNC = 0x0040
MAX_ERROR_US = 1_000_000
FRAMEWORKS = ("flask", "flask-login", "django", "starlette", "fastapi", "httpx")
SERVERS = ("gunicorn", "uvicorn", "hypercorn", "granian", "waitress", "daphne", "pyuwsgi", "uwsgi", "mod_wsgi")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")


class _Timex(ctypes.Structure):
    """The head of `struct timex`; the rest is room for the kernel to write into."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def check_machine() -> Iterator[Finding]:
    """Yield findings about the clock and the installed packages."""
    yield clock(*kernel_clock())
    yield from _dependencies()
    yield _versions()


def kernel_clock() -> tuple[int, int, int]:
    """Return the kernel's clock state, its status bits and its maximum error in microseconds; state -1 when unknown."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))  # modes=0 only reads
    except (AttributeError, OSError):
        return -1, 0, 0
    return state, timex.status, timex.maxerror


def clock(state: int, status: int, max_error_us: int) -> Finding:
    """Return what the kernel says about its synchronisation; the arguments are those of `kernel_clock`."""
    advice = "run an NTP client (chrony, systemd-timesyncd) on this machine: times are evidence"
    if state < 0:
        return warn("clock", "the kernel does not tell whether its clock is synchronised", advice)
    if state == TIME_ERROR or status & STA_UNSYNC:
        return warn("clock", "the kernel's clock is not synchronised", advice)
    if max_error_us > MAX_ERROR_US:
        return warn("clock", f"the clock may be wrong by {max_error_us / 1e6:.1f} s", advice)
    return ok("clock", f"synchronised, wrong by {max_error_us / 1e3:.0f} ms at most")


def _dependencies() -> Iterator[Finding]:
    for requirement in requires("auditmw") or ():
        needed = _REQUIREMENT.match(requirement)
        if needed is None or "extra" in requirement:
            continue
        name, least = needed.groups()
        found = _version(name)
        if found is None:
            yield fail("versions", f"{name} is not installed", f"pip install '{name}>={least}'")
        elif _numbers(found) < _numbers(least):
            yield fail("versions", f"{name} {found} is older than {least}", f"pip install '{name}>={least}'")


def _versions() -> Finding:
    names = ("auditmw", "orjson", "structlog", "asgiref", "werkzeug", *FRAMEWORKS, *SERVERS)
    found = [f"{name} {number}" for name in names if (number := _version(name))]
    return ok("versions", ", ".join([f"{platform.python_implementation()} {platform.python_version()}", *found]))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", text.partition("+")[0])[:3])
