"""A shop for customers only: they log in by a form, and their session is in the database."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

_FORM = '<form method="post"><input name="user"><input name="csrf" value="{token}"></form>'
Page = Callable[[Request, int], Awaitable[Response]]


async def health(_request: Request) -> PlainTextResponse:
    """Asks nobody."""
    return PlainTextResponse("ok")


async def show_login(_request: Request) -> HTMLResponse:
    """The form, with a token that is in a cookie as well."""
    token = secrets.token_hex(8)
    reply = HTMLResponse(_FORM.format(token=token))
    reply.set_cookie("csrf", token)
    return reply


async def log_in(request: Request) -> Response:
    """Open a session for a customer who exists."""
    async with request.form() as form:
        user, token = str(form.get("user")), form.get("csrf")
    if token is None or token != request.cookies.get("csrf"):
        return PlainTextResponse("the form is too old", 403)
    session = secrets.token_hex(16)
    query = "INSERT INTO session (id, customer_id) SELECT $1, id FROM customer WHERE name = $2"
    if await request.app.state.pool.execute(query, session, user) != "INSERT 0 1":
        return PlainTextResponse("no such customer", 401)
    reply = RedirectResponse("/products", 303)
    reply.set_cookie("sid", session, httponly=True)
    return reply


def for_customers(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """Let only those in who have a session."""

    async def guarded(request: Request) -> Response:
        query = "SELECT customer_id FROM session WHERE id = $1"
        customer = await request.app.state.pool.fetchval(query, request.cookies.get("sid", ""))
        return await page(request, customer) if customer is not None else PlainTextResponse("log in first", 401)

    return guarded


async def list_products(request: Request, _customer: int) -> JSONResponse:
    """The newest products."""
    rows = await request.app.state.pool.fetch("SELECT id, name, price FROM product ORDER BY id DESC LIMIT 20")
    return JSONResponse([dict(row) for row in rows])


async def show_product(request: Request, _customer: int) -> Response:
    """One product, with its reviews."""
    pool, number = request.app.state.pool, request.path_params["number"]
    row = await pool.fetchrow("SELECT id, name, price FROM product WHERE id = $1", number)
    if row is None:
        return PlainTextResponse("no such product", 404)
    reviews = await pool.fetch("SELECT text FROM review WHERE product_id = $1 ORDER BY id", number)
    return JSONResponse({**row, "reviews": [review["text"] for review in reviews]})


async def search(request: Request, _customer: int) -> JSONResponse:
    """Products by a part of their name."""
    query = "SELECT id, name FROM product WHERE name LIKE '%' || $1 || '%' ORDER BY id LIMIT 10"
    return JSONResponse([dict(row) for row in await request.app.state.pool.fetch(query, request.query_params["q"])])


async def show_cart(request: Request, customer: int) -> JSONResponse:
    """What is in the customer's cart."""
    query = (
        "SELECT product_id, count(*) FROM cart WHERE customer_id = $1 GROUP BY product_id ORDER BY product_id LIMIT 20"
    )
    return JSONResponse([list(row) for row in await request.app.state.pool.fetch(query, customer)])


async def add_to_cart(request: Request, customer: int) -> JSONResponse:
    """Put a product into it."""
    number = int((await request.json())["product"])
    await request.app.state.pool.execute("INSERT INTO cart VALUES ($1, $2)", customer, number)
    return JSONResponse({"product": number}, 201)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The pool lives as long as the server."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as pool:
        app.state.pool = pool
        yield


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/login", show_login),
        Route("/login", log_in, methods=["POST"]),
        Route("/products", for_customers(list_products)),
        Route("/products/{number:int}", for_customers(show_product)),
        Route("/search", for_customers(search)),
        Route("/cart", for_customers(show_cart)),
        Route("/cart", for_customers(add_to_cart), methods=["POST"]),
    ],
    lifespan=lifespan,
)
