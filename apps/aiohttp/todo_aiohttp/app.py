"""Assemble the application."""

from importlib.resources import files

import aiohttp_jinja2
import jinja2
from aiohttp import web

from todo_aiohttp.config import Config
from todo_aiohttp.errors import json_errors
from todo_aiohttp.resources import database_pool, redis_client
from todo_aiohttp.views import HOME, Health, Home, Items, get_tuned_home

_MAX_BODY = 64 * 1024


def create_app(config: Config) -> web.Application:
    """Create the application; it connects to its services when it starts."""
    app = web.Application(middlewares=[json_errors], client_max_size=_MAX_BODY)
    app.cleanup_ctx.extend([database_pool(config), redis_client(config)])
    templates = aiohttp_jinja2.setup(
        app,
        autoescape=True,
        auto_reload=False,
        loader=jinja2.FileSystemLoader(str(files("todo_aiohttp") / "templates")),
    )
    if config.tuned:
        app[HOME] = templates.get_template("home_tuned.html")
        app.router.add_get("/", get_tuned_home, name="home", allow_head=False)
    else:
        app.router.add_view("/", Home, name="home")
    app.router.add_view("/items", Items, name="items")
    app.router.add_view("/health", Health, name="health")
    return app
