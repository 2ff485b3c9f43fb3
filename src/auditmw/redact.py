"""What must not be written: secrets are taken out by the name of their field and by their own shape.

1. A value whose name says that it is a secret (``password``, ``X-Api-Key``, ``user[access_token]``) becomes
   ``REDACTED``; names and empty values stay.
2. A string that holds a credential of a known shape (a JWT, a private key, a card number) loses that credential.
3. Nothing of the caller's is changed in place, and what needs no change comes back as the same object.
4. Every step is linear in the length of its input: the input is the attacker's.
"""

from __future__ import annotations

import json
import operator
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote_plus

from auditmw.sensitive import EXACT, HEADERS, PAIRS, TOKENS
from auditmw.shapes import PATH, QUERY, REDACTED, SHORTEST, TEXT, USERINFO, is_card, is_plain, mask

# An OAuth authorization code is called just "code" and is known by its company (RFC 6749 §4.1.2, RFC 9207 §2).
_BESIDE_CODE = {"state", "session_state", "iss"}

_MOST_POINTERS, _DEEPEST_TREE = 64, 128
_TELLS_NOTHING: tuple[Any, ...] = (None, "", [], (), {}, REDACTED)
_NESTED_QUERIES = 2  # ?next=/login?next=/reset?token=...
_MOST_REMEMBERED, _LONGEST_REMEMBERED = 2048, 512  # texts and names; characters of a text
_LONGEST_NAME = 256  # characters; what is longer is no name that could be judged, and is sensitive

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[0-9]{1,2}\Z")
_LAYERED = re.compile(r"[%+?#{\[]")  # what a value needs to be encoded, to be a URL with a query, or to be JSON
# As connection strings, environments and JSON have it; what is assigned ends where a word does.
_ASSIGNED = r"(?![=:/\s])(\"[^\"]*\"|'[^']*'|[^\s,;&'\"()\[\]{}]+)"
_ASSIGNMENT = re.compile(rf"\b([A-Za-z][\w-]{{1,63}})([\"']?\s{{0,4}}[=:]\s{{0,4}}){_ASSIGNED}")
_PARAMETER = re.compile(r";([^;/=?#]+)=([^;/?#]*)")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_Names = Iterable[str]


class Redactor:
    """Decides what is sensitive and takes it out; one for the life of the process, safe to share between threads.

    ``keys`` are further names of sensitive fields and ``allow`` names that are not sensitive though the lists say so:
    each is compared as a whole, whatever its case and separators (``customerBadge`` is ``customer-badge``).
    ``headers`` are further names of headers that are never captured. ``scrub`` is called with each text after the
    built-in rules and returns what may be written; when it raises, the text becomes ``REDACTED``. Names that cannot be
    meant raise ValueError, a ``scrub`` that cannot be called TypeError.
    """

    __slots__ = ("_allow", "_clean", "_exact", "_harmless", "_headers", "_scrub", "_verdicts")

    def __init__(
        self, *, keys: _Names = (), allow: _Names = (), headers: _Names = (), scrub: Callable[[str], str] | None = None
    ) -> None:
        if scrub is not None and not callable(scrub):
            raise TypeError(f"expected scrub to be a function from str to str, not {scrub!r}")
        self._exact = EXACT | _formed(keys, "keys", _words)
        self._allow = _formed(allow, "allow", _words)
        self._headers = HEADERS | _formed(headers, "headers", _header)
        self._scrub = scrub
        self._verdicts: dict[str, bool] = {}
        self._harmless: set[str] = set()  # pairs of queries that may stand as they are
        self._clean: set[str] = set()  # texts that looked suspicious and were not: user agents, referrers

    def sensitive(self, key: str) -> bool:
        """Whether the value of a field of this name must not be written."""
        verdict = self._verdicts.get(key)
        if verdict is None:
            if len(key) > _LONGEST_NAME:
                return True
            if len(self._verdicts) >= _MOST_REMEMBERED:
                self._verdicts.clear()
            verdict = self._verdicts[key] = self._judge(key)
        return verdict

    def _judge(self, key: str) -> bool:
        words = _words(key)
        joined = "".join(words)
        if joined in self._allow:
            return False
        words = [_NUMBER.sub("", word) if word[-1].isdigit() else word for word in words]
        if joined in self._exact or "".join(words) in self._exact:
            return True
        before = ""
        for word in words:
            singular = word.removesuffix("s")
            if not TOKENS.isdisjoint((word, singular)) or not PAIRS.isdisjoint((before + word, before + singular)):
                return True
            before = word + "_"
        return False

    def header(self, name: str) -> bool:
        """Whether a header of this name must not be captured; ``_`` is ``-``, as CGI and many servers have it."""
        return name.lower().replace("_", "-") in self._headers

    def text(self, value: str) -> str:
        """Take credentials of a known shape out of free text; the same object when there are none."""
        if self._scrub is not None:
            return _scrubbed(self._scrub, mask(value))
        if len(value) < SHORTEST or is_plain(value, TEXT) or value in self._clean:
            return value
        clean = mask(value)
        if clean is value and len(value) <= _LONGEST_REMEMBERED:
            if len(self._clean) >= _MOST_REMEMBERED:
                self._clean.clear()
            self._clean.add(value)
        return clean

    def prose(self, value: str) -> str:
        """Redact a message or a traceback: what is assigned to a sensitive name (``password=...``), then the text."""
        clean = _ASSIGNMENT.sub(self._assignment, value)
        return self.text(value if clean == value else clean)

    def _assignment(self, match: re.Match[str]) -> str:
        return match[1] + match[2] + REDACTED if self.sensitive(match[1]) else match[0]

    def passes(self, path: str) -> bool:
        """Whether a path, as it came, is sure to be printable ASCII and to hold no secret: so it is with most."""
        return self._scrub is None and is_plain(path, PATH)

    def path(self, value: str) -> str:
        """Redact a path: its parameters by name (``;jsessionid=...``, RFC 3986 §3.3), then all of it as text."""
        clean = _PARAMETER.sub(self._parameter, value) if ";" in value else value
        return self.text(value if clean == value else clean)

    def _parameter(self, match: re.Match[str]) -> str:
        return f";{match[1]}={REDACTED}" if match[2] and self.sensitive(_decoded(match[1])) else match[0]

    def query(self, raw: str) -> str:
        """Redact a raw query string or form; order, duplicates, separators and percent-encoding stay as they are.

        A name counts as a server reads it, percent-decoded; a value is looked at as it is and decoded, and one that
        holds JSON or a URL with a query of its own is walked too. The same object when nothing changed.
        """
        return raw if self._harmless.issuperset(raw.split("&")) else self._query(raw, _NESTED_QUERIES)

    def _query(self, raw: str, depth: int) -> str:
        if self._scrub is None and depth == _NESTED_QUERIES and "@" not in raw and ";" not in raw:
            known = self._harmless
            for pair in raw.split("&"):
                if pair not in known and not self._is_harmless(pair):
                    break
            else:
                return raw
        return self._judged(raw, depth)

    def _is_harmless(self, pair: str) -> bool:
        """Whether a pair without "@" and ";" may stand as it is whatever its siblings are; most pairs come again."""
        secret = self._verdicts.get(pair.partition("=")[0], True)  # or a name that was not judged yet
        if (secret or "code" in pair or not is_plain(pair, QUERY)) and (
            "code" in _decoded(pair) or self._judged(pair, _NESTED_QUERIES) is not pair
        ):
            return False
        if len(pair) <= _LONGEST_REMEMBERED:
            if len(self._harmless) >= _MOST_REMEMBERED:
                self._harmless.clear()
            self._harmless.add(pair)
        return True

    def _judged(self, raw: str, depth: int) -> str:
        if self._scrub is not None or "code=" in raw or not is_plain(raw, QUERY):
            return self._pairs(raw, depth)
        for pair in raw.split("&"):
            key, _, value = pair.partition("=")
            verdict = self._verdicts.get(key)
            if (self.sensitive(key) if verdict is None else verdict) and value:
                return self._pairs(raw, depth)
        return raw

    def _pairs(self, raw: str, depth: int) -> str:
        oauth = "code" in _decoded(raw) and "code" not in self._allow
        if oauth:
            names = {_decoded(pair.partition("=")[0]) for pair in raw.replace(";", "&").split("&")}
            oauth = not names.isdisjoint(_BESIDE_CODE)
        segments = []
        for segment in raw.split("&"):
            hide, pairs = False, []
            for pair in segment.split(";"):
                key, equals, value = pair.partition("=")
                if equals:
                    hide = self.sensitive(key) or (oauth and _decoded(key) == "code")
                    value = REDACTED if hide and value else self._encoded(value, depth)
                # "; rest" after a secret may be a part of it: forms split at "&" alone (WHATWG URL §5.1).
                key = REDACTED if hide and key and not equals else self._encoded(key, depth)
                pairs.append(key + equals + value)
            segments.append(";".join(pairs))
        clean = "&".join(segments)
        return raw if clean == raw else clean

    def _encoded(self, raw: str, depth: int) -> str:
        """Redact one name or value of a query, also for what it says once it is decoded."""
        clean = self.text(raw)
        if len(clean) < SHORTEST or not _LAYERED.search(clean):
            return clean
        decoded = _decoded(clean)
        if decoded.lstrip()[:1] in ("{", "[") and '"' in decoded and ":" in decoded:
            return self._encoded_json(clean, decoded)
        plain = self._url(decoded, depth - 1) if depth else self.text(decoded)
        return clean if plain is decoded else REDACTED

    def _encoded_json(self, raw: str, decoded: str) -> str:
        try:
            value = json.loads(decoded)
        except (ValueError, RecursionError):
            return raw if self.text(decoded) is decoded else REDACTED
        clean = self.tree(value, "", [])
        return raw if clean is value else quote(json.dumps(clean, separators=(",", ":")))

    def url(self, value: str) -> str:
        """Redact an absolute or relative URL: userinfo, query and fragment by name, then all of it as text.

        The fragment counts because OAuth puts tokens there (RFC 6749 §4.2.2). The same object when nothing changed.
        """
        return self._url(value, _NESTED_QUERIES)

    def _url(self, value: str, depth: int) -> str:
        clean = value
        if "?" in value or "#" in value:
            rest, hash_mark, fragment = value.partition("#")
            path, question_mark, query = rest.partition("?")
            clean = path + question_mark + self._query(query, depth) + hash_mark + self._query(fragment, depth)
        if clean.startswith("//"):
            clean = USERINFO.sub(f"://{REDACTED}@", f":{clean}")[1:]
        clean = self.path(clean) if ";" in clean else self.text(clean)
        return value if clean == value else clean

    def tree(self, value: Any, pointer: str, redacted: list[str]) -> Any:
        """Redact a JSON value (dict with str keys, list, str, int, float, bool, None) and say where.

        ``pointer`` is the JSON pointer of ``value`` in its event; the pointer of each redacted place (RFC 6901) is
        appended to ``redacted`` while that has fewer than 64. What stands under a sensitive name is replaced as a
        whole, unless it is empty or a truth value; any other string is treated as text. What lies deeper than 128
        levels, or holds itself, is not looked at and replaced. Values of other types come back as they came.
        """
        try:
            return self._tree(value, pointer, redacted, {}, _DEEPEST_TREE)
        except Exception:  # deeper than the interpreter's stack, or not JSON: what was not looked at is not written
            return _hide(pointer, redacted)

    def _tree(self, value: Any, pointer: str, redacted: list[str], done: dict[int, Any], depth: int) -> Any:
        if isinstance(value, str):
            clean = self.url(value) if "://" in value else self.text(value)
            return value if clean is value else _hide(pointer, redacted, clean)
        if isinstance(value, int | float):
            card = 10**12 <= value < 10**19 and is_card(str(int(value)))
            return _hide(pointer, redacted) if card else value
        if not isinstance(value, dict | list | tuple) or not value:
            return value
        if id(value) in done:
            return done[id(value)]
        if not depth:
            return _hide(pointer, redacted)
        done[id(value)] = REDACTED  # for what holds itself
        walk: Any = self._dict if isinstance(value, dict) else self._list
        done[id(value)] = clean = walk(value, pointer, redacted, done, depth - 1)
        return clean

    def _list(self, value: Any, pointer: str, redacted: list[str], done: dict[int, Any], depth: int) -> Any:
        clean = [self._tree(item, f"{pointer}/{n}", redacted, done, depth) for n, item in enumerate(value)]
        return value if all(map(operator.is_, clean, value)) else clean

    def _dict(self, value: dict[str, Any], pointer: str, redacted: list[str], done: dict[int, Any], depth: int) -> Any:
        clean: dict[str, Any] = {}
        changed = False
        oauth = "code" not in self._allow and not value.keys().isdisjoint(_BESIDE_CODE)
        for key, item in value.items():
            name = self.text(key)
            while name in clean:  # two redacted names must not become one field
                name = f"{name}-{len(clean)}"
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            hide = self.sensitive(key) or (oauth and key == "code" and isinstance(item, str))
            if hide and not isinstance(item, bool) and item not in _TELLS_NOTHING:
                clean[name] = _hide(place, redacted)
            else:
                clean[name] = self._tree(item, place, redacted, done, depth)
            changed = changed or name is not key or clean[name] is not item
        return clean if changed else value


def _formed(names: _Names, what: str, form: Callable[[str], Iterable[str]]) -> frozenset[str]:
    """Bring the names that a user gave into the form, joined, that they are compared in."""
    given = list(names) if isinstance(names, Iterable) and not isinstance(names, str | bytes) else [None]
    formed = frozenset("".join(form(name)) if isinstance(name, str) else "" for name in given)
    if "" in formed:
        raise ValueError(f"expected {what} to be a list of names, such as ['x-badge'], not {names!r}")
    return formed


def _header(name: str) -> str:
    return name.lower().replace("_", "-") if _HEADER_NAME.fullmatch(name) else ""


def _words(key: str) -> list[str]:
    key = _decoded(key)
    if not (key.isascii() and key.islower()):
        key = _CAMEL.sub(" ", unicodedata.normalize("NFKC", key)).casefold()
    return [word for word in _BETWEEN_WORDS.split(key) if word]


def _decoded(raw: str) -> str:
    return unquote_plus(raw) if "%" in raw or "+" in raw else raw


def _hide(pointer: str, redacted: list[str], clean: str = REDACTED) -> str:
    if len(redacted) < _MOST_POINTERS:
        redacted.append(pointer)
    return clean


def _scrubbed(scrub: Callable[[str], str], value: str) -> str:
    try:
        clean = scrub(value)
    except Exception:
        return REDACTED  # what the hook could not read is not written
    return value if clean == value else clean if isinstance(clean, str) else REDACTED
