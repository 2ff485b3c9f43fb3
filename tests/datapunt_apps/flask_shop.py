"""A Flask application as written against DataPunt's package; test_contrib_datapunt_flask.py runs it, one line changed.

python flask_shop.py SETTINGS REQUEST...    (JSON: app.config["AUDIT_LOG"]; the arguments of a test client's `open`)
"""

import json
import logging
import sys

from flask import Flask, Response, abort, g, jsonify, request
from flask_audit_log.middleware import AuditLogMiddleware

app = Flask("shop")
app.config["AUDIT_LOG"] = json.loads(sys.argv[1])
AuditLogMiddleware(app)


@app.get("/items")
def items():
    g.audit_log.set_filter("Item", {"name": request.args["q"]}).set_results([{"id": 1}]).warning("Searched items")
    response = Response("[]", content_type="application/json")
    response.set_cookie("one", "1")
    response.set_cookie("other", "2")
    return response


@app.get("/plain")
def plain():
    return "plain"


@app.get("/boom")
def boom():
    raise ValueError("kaboom")


@app.get("/gone")
def gone():
    abort(410)


@app.post("/orders")
def order():
    g.audit_log.set_results({"order": 17})
    g.audit_log.info("Ordered 100% of them")
    return jsonify(order=17), 201


@app.get("/stream")
def stream():
    return Response((chunk for chunk in ("some ", "more")), content_type="text/plain")


@app.get("/named")
def named():
    g.audit_log.set_user(True, "keycloak", "eva@b.nl", roles=["clerk"], ip="192.0.2.7", realm="employee").error("Named")
    return "named"


@app.get("/health/live")
def live():
    return "alive"


def who():
    return {
        "authenticated": True,
        "provider": "keycloak",
        "realm": "employee",
        "email": "a@b.nl",
        "roles": ["admin"],
    }


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
    for arguments in sys.argv[2:]:
        app.test_client().open(**json.loads(arguments)).get_data()
