"""The log formats that an nginx configuration names, read with crossplane: includes and quoting are its work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from auditmw.formats.line import FormatError
from auditmw.formats.lines.nginx_descriptions import COMBINED
from auditmw.formats.nginx import NginxFormat

_NOT_IN_A_NAME = re.compile(r"[^a-z0-9_.+-]+")
_LONGEST_NAME = 50  # with the rest of it, within the schema's limit of `source.format`


class Description(NamedTuple):
    """A `log_format`: its text as nginx sees it, and its `escape`."""

    name: str
    log_format: str
    escape: str = "default"

    def format(self, *, decode_userid: bool = False) -> NginxFormat:
        """Return the format. Raises FormatError for one of which a line could not be read."""
        name = _NOT_IN_A_NAME.sub("_", self.name.lower())[:_LONGEST_NAME]
        return NginxFormat(self.log_format, f"nginx:{name}", self.escape, decode_userid)


def log_formats(path: str | Path) -> dict[str, Description]:
    """Return the formats of an nginx.conf and the files that it includes by their names; `combined` is always there.

    Raises FormatError when crossplane is missing, and for a file that it cannot read.
    """
    try:
        import crossplane
    except ImportError:
        raise FormatError("to read nginx.conf: pip install 'auditmw[import]' brings crossplane") from None
    try:
        found: Mapping[str, Any] = crossplane.parse(str(path), combine=True, comments=False, check_ctx=False)
    except OSError as error:
        raise FormatError(f"cannot read {path}: {error.strerror}") from error
    described = {"combined": Description("combined", COMBINED)}
    for config in found["config"]:
        for arguments in _named(config["parsed"], "log_format"):
            name, *texts = arguments
            escape = texts.pop(0).removeprefix("escape=") if texts and texts[0].startswith("escape=") else "default"
            described[name] = Description(name, "".join(texts), escape)
    if len(described) == 1 and found["errors"]:
        raise FormatError(f"cannot read {path}: {found['errors'][0]['error']}")
    return described


def format_of(path: str | Path, name: str = "", *, decode_userid: bool = False) -> NginxFormat:
    """Return the format of this name, or without one the only one that the configuration adds. Raises FormatError."""
    described = log_formats(path)
    own = [each for each in described if each != "combined"]
    if not name and len(own) == 1:
        name = own[0]
    if name not in described:
        raise FormatError(f"expected one of the formats that {path} names ({', '.join(described)}), not {name!r}")
    return described[name].format(decode_userid=decode_userid)


def _named(block: Iterable[Mapping[str, Any]], directive: str) -> Iterable[list[str]]:
    """Return the arguments of every directive of this name, also within blocks."""
    for statement in block:
        if statement["directive"] == directive:
            yield statement["args"]
        yield from _named(statement.get("block", ()), directive)
