"""Products, by Flask: a connection for each thread, kept."""

import os
import threading
from typing import Any

import psycopg
from flask import Flask, Response, jsonify

app = Flask(__name__)
_local = threading.local()


def connection() -> "psycopg.Connection[tuple[Any, ...]]":
    """This thread's own."""
    if not hasattr(_local, "connection"):
        _local.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    found: psycopg.Connection[tuple[Any, ...]] = _local.connection
    return found


@app.get("/health")
def health() -> str:
    """Asks nobody."""
    return "ok"


@app.get("/products")
def products() -> Response:
    """All of them."""
    rows = connection().execute("SELECT id, name, price FROM product ORDER BY id").fetchall()
    return jsonify([{"id": key, "name": name, "price": price} for key, name, price in rows])
