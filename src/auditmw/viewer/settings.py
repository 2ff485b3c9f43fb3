"""The API around the questions: what the page has to know first, saved views, and the end of a question."""

from __future__ import annotations

from typing import Any

import auditmw
from auditmw.query.language.fields import Field, fields
from auditmw.viewer.asking import Ask
from auditmw.viewer.refusals import Refusal
from auditmw.viewer.saved import json_object


def settings(ask: Ask) -> Any:
    """Return what the page has to know first."""
    viewer, shared = ask.viewer, ask.shared
    return {
        "version": auditmw.__version__,
        "viewer": {
            "name": viewer.name,
            "restricted": viewer.restriction is not None,
            "may_export": viewer.may_export,
        },
        "tail": ask.tail,
        "fields": [_told(field) for field in dict.fromkeys(fields().values())],
        "export_cap": shared.export_cap,
        "time_limit_seconds": shared.time_limit_seconds,
        "views": shared.saved.of(viewer),
    }


def _told(field: Field) -> dict[str, Any]:
    return {
        "name": field.name,
        "path": ".".join((*field.path, *field.rest)),
        "kind": field.kind,
        "description": field.description,
        "choices": field.choices,
        "aliases": field.aliases,
        "column": field.column is not None,
    }


def save_view(ask: Ask) -> Any:
    """Keep a view; return all."""
    return {"views": ask.shared.saved.save(ask.viewer, ask.request.get_data())}


def delete_view(ask: Ask) -> Any:
    """Forget a view; return the others."""
    return {"views": ask.shared.saved.delete(ask.viewer, ask.parameters.required("name"))}


def cancel(ask: Ask) -> Any:
    """End what this viewer asked with a token."""
    token = json_object(ask.request.get_data()).get("token")
    if not isinstance(token, str) or not token:
        raise Refusal(400, "expected token to be the text that a query was asked with", parameter="token")
    return {"cancelled": ask.shared.running.cancel((ask.viewer.name, token))}
