"""The viewer among a Django project's URLs: Django's own requests, users and responses."""

import asyncio
import gc
import json
import sys
import types

import pytest

pytest.importorskip("django")

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import connection
from django.http import HttpResponseRedirect
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path

import auditmw
import django_site
from auditmw.contrib.django_viewer import viewer_urls
from auditmw.viewer import Viewer
from viewer_site import ACME, all_events, write


@pytest.fixture(autouse=True, scope="module")
def project():
    django_site.ready()
    yield
    connection.close()
    gc.collect()


@pytest.fixture
def directory(tmp_path):
    return write(tmp_path / "audit", all_events())


@pytest.fixture
def site(directory):
    """Sets up a project with a viewer; returns its URLs' clients."""
    settings = []

    def made(authorize, *, urls=None, **options):
        module = types.ModuleType("viewer_project_urls")
        module.urlpatterns = urls or viewer_urls("audit", directory, authorize=authorize, **options)
        sys.modules["viewer_project_urls"] = module
        middleware = [*django_site.MIDDLEWARE[2:], "django.middleware.csrf.CsrfViewMiddleware"]
        changed = override_settings(ROOT_URLCONF="viewer_project_urls", MIDDLEWARE=middleware)
        changed.enable()
        settings.append(changed)
        return Client(enforce_csrf_checks=True)

    yield made
    for changed in settings:
        changed.disable()
    sys.modules.pop("viewer_project_urls", None)


def of_user(request):
    if not request.user.is_authenticated:
        return HttpResponseRedirect(f"/login?next={request.get_full_path()}")
    return Viewer(request.user.get_username(), restriction="data.tenant:acme")


def test_the_page_sends_to_the_login_and_the_api_says_so(site):
    client = site(of_user)
    assert client.get("/audit/?q=x").headers["Location"] == "/login?next=/audit/?q=x"
    response = client.get("/audit/api/count")
    assert response.status_code == 401
    assert json.loads(response.content)["error"]["message"].startswith("you are not signed in")


def test_a_user_of_django_is_the_viewer(site):
    client = site(of_user)
    client.force_login(get_user_model().objects.get(username="alice"))
    assert json.loads(client.get("/audit/api/config").content)["answer"]["viewer"]["name"] == "alice"
    assert json.loads(client.get("/audit/api/count").content)["answer"]["value"] == 13


def test_an_exception_of_django_is_djangos_to_answer(site):
    def refuse(request):
        raise PermissionDenied

    assert site(refuse).get("/audit/").status_code == 403


def test_nobody_is_401(site):
    assert site(lambda request: None).get("/audit/").status_code == 401


def test_without_its_slash_and_below_an_include(site, directory):
    client = site(None, urls=[path("a/", include(viewer_urls("b", directory, authorize=lambda request: ACME)))])
    assert client.get("/a/b?q=x").headers["Location"] == "b/?q=x"
    assert client.get("/a/b/api/count").status_code == 200
    assert client.get("/a/bc").status_code == 404
    assert client.get("/a/b/api/nothing").status_code == 404


def test_changes_need_no_token_of_django_but_the_pages_header(site):
    client = site(lambda request: ACME)
    body = json.dumps({"name": "Mine"})
    assert client.post("/audit/api/views", body, content_type="application/json").status_code == 403
    headers = {"X-Auditmw": "1"}
    saved = client.post("/audit/api/views", body, content_type="application/json", headers=headers)
    assert saved.status_code == 200, saved.content
    assert client.delete("/audit/api/views?name=Mine", headers=headers).status_code == 200
    large = client.post("/audit/api/views", "x" * 70_000, content_type="application/json", headers=headers)
    assert large.status_code == 413


def test_an_export_is_a_stream_under_wsgi_and_under_asgi(site):
    client = site(lambda request: Viewer("anna"))
    response = client.get("/audit/api/export")
    assert response.streaming
    assert [json.loads(line) for line in response.getvalue().splitlines()] == all_events()

    async def ask():
        answered = await AsyncClient().get("/audit/api/export")
        return b"".join([chunk async for chunk in answered.streaming_content])

    assert [json.loads(line) for line in asyncio.run(ask()).splitlines()] == all_events()


def test_the_settings_say_which_directory_and_which_audit(site, directory):
    with override_settings(AUDITMW={"directory": str(directory), "service": "shop"}):
        client = site(None, urls=viewer_urls("audit", authorize=lambda request: ACME))
        assert json.loads(client.get("/audit/api/count").content)["answer"]["value"] == 13
    viewed = [event for event in auditmw.read(directory) if event["event"] == "auditmw.viewed"]
    assert [event["service"]["name"] for event in viewed] == ["shop"]
    assert viewed[0]["data"]["viewer"] == "anna"


@pytest.mark.parametrize("given", [None, {"service": "shop"}, {"directory": 7, "service": "shop"}], ids=repr)
def test_without_a_directory_there_is_no_viewer(given):
    with override_settings(AUDITMW=given), pytest.raises(ImproperlyConfigured):
        viewer_urls("audit", authorize=lambda request: ACME)


def test_it_is_closed_until_somebody_says_who_may_look(directory):
    with pytest.raises(ValueError, match="expected authorize="):
        viewer_urls("audit", directory)
