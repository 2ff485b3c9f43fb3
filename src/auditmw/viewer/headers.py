"""What every response says to the browser, and what a request must come with that changes something."""

from __future__ import annotations

from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from auditmw.viewer.refusals import Refusal

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""Content-Security-Policy (https://www.w3.org/TR/CSP3/): nothing but our own files, no inline script or style, no HTML
made of strings (Trusted Types), no frames."""

_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_MARK = "X-Auditmw"


def secured(response: Response) -> Response:
    """Return the response with what keeps others out; unless it says otherwise, it is not stored anywhere."""
    for name, value in _HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def check_origin(request: Request) -> None:
    """Refuse what another site makes a browser ask for.

    Browsers say where a request comes from in Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/), except to a host
    that is not trustworthy, over plain HTTP; then in Origin, with all methods but GET and HEAD.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise Refusal(403, f"this cannot be asked for by another site (Sec-Fetch-Site: {site[:40]})")
        return
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise Refusal(403, f"this cannot be asked for by another origin ({origin[:200]})")


def check_change(request: Request) -> None:
    """Refuse to change anything for another site, which can send no header of its own without being allowed to."""
    check_origin(request)
    if request.headers.get(_MARK) != "1":
        raise Refusal(403, f"expected the header {_MARK}: 1 with what changes something")
