"""The shop: a Django site in one file. It asks the stock, and the trace goes along. Served as ``shop:application``."""

import os

import django
import httpx
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

import auditmw
from auditmw.contrib.httpx import hook
from auditmw.resolvers import basic_auth

settings.configure(
    SECRET_KEY="only for this example",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="shop",
    MIDDLEWARE=["auditmw.contrib.django.AuditMiddleware"],
    AUDITMW={
        "directory": os.environ["SHOP_AUDIT_DIRECTORY"],
        "service": "shop",
        "resolver": basic_auth(),
        "exempt": [r"^/ready$"],
    },
)
django.setup()

stock = httpx.Client(base_url=os.environ["STOCK_URL"], event_hooks={"request": [hook]})


def buy(request: HttpRequest, item: str) -> JsonResponse:
    answer = stock.post(f"/items/{item}/take")
    if answer.status_code != 200:
        auditmw.annotate(message=f"there is no {item}")
        return JsonResponse({"bought": None}, status=409)
    auditmw.record("item_bought", target={"type": "item", "id": item}, left=answer.json()["left"])
    return JsonResponse({"bought": item})


def ready(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ready": True})


urlpatterns = [path("buy/<item>", buy), path("ready", ready)]
application = get_wsgi_application()
