"""The shop that the customers see: a Flask application on the host `web1`. Served as ``shop:application``."""

import os

import httpx
from flask import Flask

import auditmw
from auditmw.contrib.flask import FlaskAudit
from auditmw.contrib.httpx import hook
from auditmw.resolvers import basic_auth

application = Flask(__name__)
orders = httpx.Client(base_url=os.environ["NEXT_URL"], event_hooks={"request": [hook]})


@application.post("/buy/<item>")
def buy(item: str) -> tuple[dict[str, str], int]:
    answer = orders.post("/orders", json={"item": item})
    if answer.status_code != 201:
        auditmw.annotate(message=f"there is no {item}")
        return {"bought": "nothing"}, 409
    return {"bought": item}, 200


@application.get("/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}


here = auditmw.Service("shop", host=os.environ["HOST_NAME"])
FlaskAudit(
    application,
    auditmw.Audit(os.environ["AUDIT_DIRECTORY"], service=here, resolver=basic_auth(), exempt=[r"^/ready$"]),
)
