"""URLs of the Django application of apps.py."""

from django.http import HttpResponse
from django.urls import path

from benchmarks.apps import BODY


def item(request, noun, number):
    return HttpResponse(BODY, content_type="application/json")


urlpatterns = [path("api/<str:noun>/<int:number>", item)]
