"""The stock: a Starlette application on the host `stock1`, which the orders ask. Served as ``stock:app``."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import auditmw

items = {"teapot": 30, "cup": 0}


async def take(request: Request) -> JSONResponse:
    item = request.path_params["item"]
    if not items.get(item):
        return JSONResponse({"left": 0}, 404)
    items[item] -= 1
    return JSONResponse({"left": items[item]})


async def ready(request: Request) -> JSONResponse:
    return JSONResponse({"ready": True})


api = Starlette(routes=[Route("/items/{item}/take", take, methods=["POST"]), Route("/ready", ready)])
here = auditmw.Service("stock", host=os.environ["HOST_NAME"])
app = auditmw.ASGIAudit(api, auditmw.Audit(os.environ["AUDIT_DIRECTORY"], service=here, exempt=[r"^/ready$"]))
