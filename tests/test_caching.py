"""Which responses a cache for several users may keep, and so must not carry the headers that say who is calling."""

from __future__ import annotations

import io
from typing import Any

import pytest

import auditmw
from auditmw.caching import shared_cache_may_keep

CASES = [
    pytest.param([], False, id="nothing is said"),
    pytest.param([("cache-control", "public")], True, id="public"),
    pytest.param([("cache-control", "Public, Max-Age=60")], True, id="case"),
    pytest.param([("cache-control", "max-age=60")], True, id="max-age"),
    pytest.param([("cache-control", "max-age=0")], False, id="max-age 0"),
    pytest.param([("cache-control", "max-age=60, max-age=0")], True, id="the larger of two"),
    pytest.param([("cache-control", "Max-Age=00060")], True, id="leading zeros"),
    pytest.param([("cache-control", "max-age=0, s-maxage=600")], True, id="s-maxage beside max-age 0"),
    pytest.param([("cache-control", "private, max-age=60")], False, id="private"),
    pytest.param([("cache-control", 'public, private="set-cookie", max-age=60')], True, id="private for one field"),
    pytest.param([("cache-control", "no-store")], False, id="no-store"),
    pytest.param([("cache-control", "public, no-store")], False, id="no-store wins"),
    pytest.param([("cache-control", "no-cache")], False, id="no-cache"),
    pytest.param([("cache-control", "no-transform")], False, id="a directive that says nothing about storing"),
    pytest.param([("cache-control", "public, max-age=60"), ("cache-control", "no-transform")], True, id="two fields"),
    pytest.param([("expires", "Wed, 21 Oct 2099 07:28:00 GMT")], True, id="Expires"),
    pytest.param([("expires", "0")], False, id="Expires in the past"),
    pytest.param(
        [("expires", "Wed, 21 Oct 2099 07:28:00 GMT"), ("cache-control", "private")], False, id="Expires, private"
    ),
    pytest.param([("x-accel-expires", "600")], True, id="nginx's own"),
    pytest.param([("x-accel-expires", "0")], False, id="nginx's own, never"),
    pytest.param([("cache-control", "private"), ("cdn-cache-control", "max-age=600")], True, id="a CDN's own"),
    pytest.param([("surrogate-control", "no-store")], False, id="a surrogate's, never"),
]


@pytest.mark.parametrize(("fields", "kept"), CASES)
def test_a_shared_cache_may_keep_what_these_fields_allow(fields, kept):
    assert shared_cache_may_keep(fields) is kept


@pytest.mark.parametrize(("fields", "kept"), CASES)
def test_a_response_that_it_may_keep_says_of_no_user(fields, kept):
    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [(name.title(), value) for name, value in fields])
        return [b"hello"]

    audit = auditmw.Audit(io.BytesIO(), service="shop", resolver=lambda request: auditmw.Identity("alice", session="s"))
    sent: list[str] = []
    auditmw.WSGIAudit(application, audit)(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "127.0.0.1"},
        lambda status, headers, exc_info=None: sent.extend(name for name, _ in headers),
    )
    assert ("X-Userid" in sent, "X-Sessionid" in sent) == (not kept, not kept)
