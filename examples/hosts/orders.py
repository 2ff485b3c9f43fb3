"""The orders: a Starlette application on the host `orders1`, which the shop asks. Served as ``orders:app``."""

import os

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import auditmw
from auditmw.contrib.httpx import async_hook

stock = httpx.AsyncClient(base_url=os.environ["NEXT_URL"], event_hooks={"request": [async_hook]})


async def order(request: Request) -> JSONResponse:
    item = (await request.json())["item"]
    answer = await stock.post(f"/items/{item}/take")
    if answer.status_code != 200:
        return JSONResponse({"ordered": None}, 409)
    auditmw.record("item_ordered", target={"type": "item", "id": item}, left=answer.json()["left"])
    return JSONResponse({"ordered": item}, 201)


async def ready(request: Request) -> JSONResponse:
    return JSONResponse({"ready": True})


api = Starlette(routes=[Route("/orders", order, methods=["POST"]), Route("/ready", ready)])
here = auditmw.Service("orders", host=os.environ["HOST_NAME"])
app = auditmw.ASGIAudit(api, auditmw.Audit(os.environ["AUDIT_DIRECTORY"], service=here, exempt=[r"^/ready$"]))
