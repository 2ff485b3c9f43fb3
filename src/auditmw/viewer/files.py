"""The page and its files, as the build left them in static/."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path

from werkzeug.wrappers import Request, Response

from auditmw.viewer.refusals import Refusal

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOR_EVER = "private, max-age=31536000, immutable"  # a name has the hash of the content in it


def index(request: Request) -> Response:
    """Return the page."""
    if "index.html" not in _names(STATIC):
        raise Refusal(503, "the page is not built: run `npm ci && npm run build` in viewer-ui/")
    return _file(request, STATIC / "index.html")


def static(request: Request, name: str) -> Response:
    """Return one of the page's files; only names that are in the folder are there."""
    if name not in _names(STATIC) or name == "index.html":
        raise Refusal(404, "there is no such file")
    response = _file(request, STATIC / name)
    response.headers["Cache-Control"] = _FOR_EVER
    return response


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir() if path.suffix in _TYPES and path.is_file()}
    except FileNotFoundError:
        return set()


def _file(request: Request, path: Path) -> Response:
    plain, packed = _content(path, path.stat().st_mtime_ns)
    packs = request.accept_encodings["gzip"] > 0
    response = Response(packed if packs else plain, content_type=_TYPES[path.suffix])
    response.headers["Vary"] = "Accept-Encoding"
    if packs:
        response.headers["Content-Encoding"] = "gzip"
    return response


@lru_cache(maxsize=32)
def _content(path: Path, _modified_ns: int) -> tuple[bytes, bytes]:
    content = path.read_bytes()
    return content, gzip.compress(content, mtime=0)
