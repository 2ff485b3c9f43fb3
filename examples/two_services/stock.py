"""The stock: a FastAPI service that counts what is there. Served as ``stock:app``."""

import os

from fastapi import FastAPI, HTTPException

import auditmw

api = FastAPI()
items = {"teapot": 3, "cup": 0}


@api.get("/ready")
def ready() -> dict[str, bool]:
    return {"ready": True}


@api.post("/items/{item}/take")
def take(item: str) -> dict[str, int]:
    if not items.get(item):
        raise HTTPException(404, f"no {item}")
    items[item] -= 1
    auditmw.annotate(left=items[item])
    return {"left": items[item]}


audit = auditmw.Audit(os.environ["STOCK_AUDIT_DIRECTORY"], service="stock", exempt=[r"^/ready$"])
app = auditmw.ASGIAudit(api, audit)
