"""A Django site as written against DataPunt's package; test_contrib_datapunt_django.py runs it, its names changed.

python django_shop.py SETTINGS REQUEST...   (JSON: further settings; the arguments of a test client's `generic`)
"""

import json
import logging
import sys

import django
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client
from django.urls import include, path

settings.configure(
    SECRET_KEY="only for tests",
    ROOT_URLCONF="__main__",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "rest_framework",
        "django_audit_log",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django_audit_log.middleware.AuditLogMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    LOGGING_CONFIG=None,
    REST_FRAMEWORK={"UNAUTHENTICATED_USER": None, "DEFAULT_AUTHENTICATION_CLASSES": []},
    USE_TZ=True,
    **json.loads(sys.argv[1]),
)
django.setup()

from django.contrib.auth.models import Group, User  # noqa: E402  (after the setup, as in any site)
from django.core.management import call_command  # noqa: E402
from django_audit_log.rest_framework.viewsets import AuditLogViewSet  # noqa: E402
from rest_framework import filters, routers, serializers  # noqa: E402


class UserSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ("id", "username", "email")


class UserViewSet(AuditLogViewSet):
    queryset = User.objects.order_by("pk")
    serializer_class = UserSerializer
    filter_backends = (filters.SearchFilter,)
    search_fields = ("email",)


class ListedUserViewSet(UserViewSet):
    audit_log_list_response = True


def plain(request):
    return HttpResponse("plain")


async def plain_async(request):
    return HttpResponse("plain")


def items(request):
    request.audit_log.set_filter("Item", {"name": request.GET["q"]}).set_results([{"id": 1}]).warning("Searched items")
    return HttpResponse("[]", content_type="application/json")


def boom(request):
    raise ValueError("kaboom")


def stream(request):
    return StreamingHttpResponse(chunk for chunk in ("some ", "more"))


def named(request):
    request.audit_log.set_user(True, "keycloak", "eva@b.nl", roles=["clerk"], ip="192.0.2.7", realm="employee")
    request.audit_log.error("Named")
    return HttpResponse("named")


router = routers.SimpleRouter()
router.register("users", UserViewSet, basename="users")
router.register("listed", ListedUserViewSet, basename="listed")
urlpatterns = [
    path("plain", plain),
    path("plain-async", plain_async),
    path("items", items),
    path("boom", boom),
    path("stream", stream),
    path("named", named),
    path("health/live", plain),
    path("", include(router.urls)),
]


class Prefixed(logging.StreamHandler):
    def format(self, record):
        return f"{record.name}|{record.levelname}|{record.getMessage()}|{super().format(record)}"


def make_handler():
    return Prefixed(sys.stdout)


class OnlyKeys(logging.Formatter):
    def format(self, record):
        return json.dumps(list(record.audit))


def make_formatter():
    return OnlyKeys()


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    jan = User.objects.create_user("jan", email="jan@amsterdam.nl", password="a password")
    jan.groups.add(Group.objects.create(name="inspectors"))
    for arguments in sys.argv[2:]:
        asked = {"method": "GET", **json.loads(arguments)}
        client = Client(raise_request_exception=False)
        if asked.pop("logged_in", False):
            client.force_login(jan, backend="django.contrib.auth.backends.ModelBackend")
        b"".join(client.generic(**asked))
