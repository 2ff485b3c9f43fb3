"""A process that dies at a chosen step: every call that changes a file is a step, and so is every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from auditmw.collect import aside
from auditmw.journal import cursor, smallfile
from auditmw.ship import deadletters, lease, status
from ship_conformance import between

MODULES = (cursor, smallfile, deadletters, lease, status, aside)
STEPS = frozenset({"open", "write", "fsync", "replace", "rename", "unlink", "link", "mkdir"})


class Died(BaseException):
    """The process is gone: nothing catches this but the test."""


class Mortal:
    """Stands in for `os`: the step number `at` (from 1), and every one after it, is not done any more."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.trace: list[str] = []

    def step(self, name: str) -> None:
        """Do one step, or die."""
        self.left -= 1
        self.trace.append(name)
        if self.left <= 0:
            raise Died(name)

    def __getattr__(self, name: str) -> Any:
        function = getattr(os, name)
        if name not in STEPS:
            return function

        def mortal(*arguments: Any, **options: Any) -> Any:
            self.step(name)
            return function(*arguments, **options)

        return mortal


@contextmanager
def mortal(at: int) -> Iterator[Mortal]:
    """Have the process die at step `at`, as far as `auditmw.ship` changes files."""
    stand_in = Mortal(at)
    for module in MODULES:
        module.os = stand_in
    try:
        yield stand_in
    finally:
        for module in MODULES:
            module.os = os


def dying_target(target: Any, life: Mortal) -> Any:
    """A target between whose having a batch and saying so is a step."""
    return between(target, lambda batch: life.step("answer"))
