"""What is refused, and how: JSON for the API, a small page for a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TypeVar

import orjson
from werkzeug.wrappers import Response

from auditmw.archive.error import ArchiveError
from auditmw.query import QueryError, UnusableQueryError

T = TypeVar("T")

_ADVICE = {
    401: "Sign in first, or open the whole link that auditmw printed when it was started.",
    404: "There is no such page here.",
    503: "Try again in a moment.",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><h1>{title}</h1><p>{message}</p><p>{advice}</p></html>
"""


class Refusal(Exception):  # noqa: N818 -- it is an answer, and no error of ours
    """A request that is not answered: with which status, why, and which parameter is wrong.

    `errors` are those of a query in that parameter, with their places in its text.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        parameter: str | None = None,
        errors: Sequence[QueryError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.parameter = parameter
        self.errors = errors
        self.headers = headers or {}

    def as_json(self) -> Response:
        """Return it as the API answers it."""
        told: dict[str, object] = {"message": self.message, "parameter": self.parameter}
        if self.errors:
            told["errors"] = [error._asdict() for error in self.errors]
        body = orjson.dumps({"error": told})
        return Response(body, self.status, self.headers, content_type="application/json")

    def as_page(self) -> Response:
        """Return it as a person in front of a browser sees it."""
        response = Response(status=self.status, headers=self.headers, content_type="text/html; charset=utf-8")
        title = response.status
        message, advice = escape(self.message), _ADVICE.get(self.status, "")
        response.data = _PAGE.format(title=escape(title), message=message, advice=advice).encode()
        return response


def asked(question: Callable[[], T], roles: dict[str, str] | None = None) -> T:
    """Return the answer to a question, and refuse what it says makes no sense.

    `roles`: the parameter that each role of an `UnusableQueryError` came in.
    """
    try:
        return question()
    except UnusableQueryError as error:
        parameter = (roles or {}).get(error.role, error.role.partition(" ")[0])
        raise Refusal(400, str(error), parameter=parameter, errors=error.errors) from error
    except OverflowError as error:
        raise Refusal(400, "expected times from year 1 to 9999") from error
    except (KeyError, IndexError):
        raise
    except (ValueError, LookupError) as error:
        raise Refusal(400, str(error)) from error
    except (OSError, ArchiveError, TimeoutError) as error:
        raise Refusal(503, f"the events cannot be read: {getattr(error, 'strerror', None) or error}") from error
