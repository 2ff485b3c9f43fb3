"""The API's journeys: funnels and who is in them, retention, conversion, paths."""

from __future__ import annotations

from typing import Any, get_args

from auditmw.query import FunnelDefinition, conversion, funnel, funnel_units, paths, retention
from auditmw.query.journeys.funnel import MAX_STEPS, Outcome
from auditmw.query.journeys.funnel import PAGE_LIMIT as UNITS_LIMIT
from auditmw.query.journeys.paths import MAX_STEPS as MAX_PATH_STEPS
from auditmw.query.journeys.paths import MAX_TOP
from auditmw.query.journeys.periods import Length
from auditmw.query.journeys.units import Unit
from auditmw.viewer.asking import Ask
from auditmw.viewer.refusals import asked

_UNITS: tuple[Unit, ...] = get_args(Unit)
_LENGTHS: tuple[Length, ...] = get_args(Length)
_OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
_STEPS = {f"step {number}": "step" for number in range(1, MAX_STEPS + 1)}


def came_through(ask: Ask) -> Any:
    """Return how many came how far through the steps."""
    top = ask.parameters.number("top", 10, 1, MAX_TOP)
    return ask.answer(funnel, _definition(ask), ask.scope, top=top, roles=_STEPS)


def who_came(ask: Ask) -> Any:
    """Return who came to a step, or no further; `value` is that of a segment, and absent the segment without one."""
    read = ask.parameters
    definition = _definition(ask)
    step = read.number("step_index", 1, 1, len(definition.steps))
    named: dict[str, Any] = {
        "outcome": read.one_of("outcome", _OUTCOMES, "reached"),
        "value": read.text("value"),
        "after": read.text("after"),
        "limit": read.number("limit", 100, 1, UNITS_LIMIT),
    }
    return ask.answer(funnel_units, definition, ask.scope, step=step, **named)


def _definition(ask: Ask) -> FunnelDefinition:
    read = ask.parameters
    steps, unit = read.texts("step"), read.one_of("unit", _UNITS, "session")
    strict, window, breakdown = read.flag("strict"), read.span("window"), read.text("breakdown")
    return asked(lambda: FunnelDefinition(steps, unit, strict, window, breakdown), _STEPS)


def who_came_back(ask: Ask) -> Any:
    """Return who began in each period, and who of them returned."""
    read = ask.parameters
    named: dict[str, Any] = {
        "start": read.text("start"),
        "returning": read.text("returning"),
        "unit": read.one_of("unit", _UNITS, "user"),
        "first_time": read.flag("first_time", default=True),
        "period": read.one_of("period", _LENGTHS, "day"),
        "zone": read.zone(),
        "now": read.now,
    }
    return ask.answer(retention, ask.scope, **named)


def converted(ask: Ask) -> Any:
    """Return how many reached a goal over time."""
    read = ask.parameters
    named: dict[str, Any] = {
        "base": read.text("base"),
        "unit": read.one_of("unit", (*_UNITS, "event"), "session"),
        "period": read.one_of("period", _LENGTHS, "day"),
        "breakdown": read.text("breakdown"),
        "top": read.number("top", 10, 1, MAX_TOP),
        "zone": read.zone(),
        "now": read.now,
    }
    return ask.answer(conversion, read.required("goal"), ask.scope, **named)


def ways(ask: Ask) -> Any:
    """Return where they went next from an anchor, or came from."""
    read = ask.parameters
    named: dict[str, Any] = {
        "unit": read.one_of("unit", _UNITS, "session"),
        "backward": read.flag("backward"),
        "steps": read.number("steps", 3, 1, MAX_PATH_STEPS),
        "top": read.number("top", 10, 1, MAX_TOP),
        "collapse": not read.flag("repeats"),
        "among": read.text("among"),
    }
    return ask.answer(paths, read.required("anchor"), ask.scope, **named)
