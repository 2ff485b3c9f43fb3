"""Access by a token: whoever opens the link that has it gets a cookie, and from then on needs no token."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import parse_qsl, urlencode

from werkzeug.wrappers import Request, Response

import auditmw
from auditmw.viewer.people import Viewer

PARAMETER = "token"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>auditmw</title>
<meta http-equiv="refresh" content="0; url={url}"><p><a href="{url}">Go on to the audit log</a></p></html>
"""


class TokenAccess:
    """Lets in who has the token: an `authorize` for `ViewerApp`.

    `token`: a secret of 16 and more characters; None makes one. `name`: of the viewer that has it. `cookie`: its name;
    two viewers on one host, whatever their ports, need two. `secure`: it goes over TLS only.

    Raises ValueError for a token that is too short.
    """

    def __init__(
        self, token: str | None = None, *, name: str = "serve", cookie: str = "auditmw", secure: bool = False
    ) -> None:
        self.token = secrets.token_urlsafe(24) if token is None else token
        if len(self.token) < 16:
            raise ValueError(f"expected a token of at least 16 characters, not {len(self.token)}")
        self.viewer = Viewer(name)
        self._cookie, self._secure = cookie, secure
        self._pass = hashlib.sha256(b"auditmw viewer cookie\0" + self.token.encode()).hexdigest()

    def __call__(self, request: auditmw.Request) -> Viewer | None:
        """Return the viewer for a request with the cookie, or with ``Authorization: Bearer TOKEN``."""
        if _same(request.cookies.get(self._cookie), self._pass):
            return self.viewer
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return self.viewer if scheme.lower() == "bearer" and _same(given.strip(), self.token) else None

    def exchange(self, request: Request) -> Response | None:
        """Return the answer to the link with the token: the cookie, and on to the same place without the token.

        None for any other request. It is a page that goes on by itself, and no redirect: a browser does not send a
        strict cookie with a redirect that another site began, such as a terminal in the browser.
        """
        given = request.args.get(PARAMETER)
        if request.method not in ("GET", "HEAD") or request.path != "/" or not _same(given, self.token):
            return None
        rest = [
            (name, value)
            for name, value in parse_qsl(request.query_string.decode("latin-1"), True)
            if name != PARAMETER
        ]
        url = "./" + (f"?{urlencode(rest)}" if rest else "")
        response = Response(_PAGE.format(url=url.replace("&", "&amp;")), content_type="text/html; charset=utf-8")
        path = request.root_path.rstrip("/") + "/"
        response.set_cookie(self._cookie, self._pass, path=path, httponly=True, samesite="Strict", secure=self._secure)
        return response


def _same(given: str | None, secret: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
