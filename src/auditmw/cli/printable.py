"""Text from events, made safe for a terminal.

An event's strings were chosen by whoever sent the request: a user agent may hold escape sequences that
clear the screen or set its title, line feeds that forge a second event, or bidirectional controls that
show one thing and mean another (CVE-2021-42574). Everything the command line shows to a human goes
through `printable`; everything it shows as JSON on a terminal goes through `printable_json`.
"""


def printable(text: str) -> str:
    r"""Return `text` with every character that a terminal would act on, or not show, as a visible escape.

    Control, format, private, unassigned and separator characters other than the space become `\x1b`, `\n`,
    `\u202e` and the like (the categories of `str.isprintable`); everything else stays as it is.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def printable_json(text: str) -> str:
    r"""Return the JSON `text` with the same characters as JSON escapes: another spelling of the same value.

    Only for valid JSON on one line: there these characters stand inside strings alone (RFC 8259 §2 allows no
    control character but the line's own white space between tokens).
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _json_escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _json_escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
