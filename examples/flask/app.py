"""Recipes, and the ingredients of all that were chosen: a shopping list."""

import os

from flask import Flask, Response, abort, jsonify, request
from psycopg_pool import ConnectionPool
from shopping import list_ingredients

app = Flask(__name__)
pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=1, max_size=4, open=True)


@app.get("/health")
def health() -> Response:
    return jsonify(status="ok")


@app.get("/recipes/<int:recipe_id>")
def recipe(recipe_id: int) -> Response:
    with pool.connection() as connection:
        row = connection.execute("SELECT name, ingredients FROM recipe WHERE id = %s", [recipe_id]).fetchone()
    if row is None:
        abort(404)
    return jsonify(name=row[0], ingredients=row[1])


@app.get("/shopping-list")
def shopping_list() -> Response:
    first, last = request.args.get("from", 1, int), request.args.get("to", 50, int)
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT ingredients FROM recipe WHERE id BETWEEN %s AND %s ORDER BY id", [first, last]
        ).fetchall()
    return jsonify(ingredients=list_ingredients([ingredients for (ingredients,) in rows]))
