"""Django's settings. `DATABASE_URL`, `REDIS_URL` and `TODO_PROFILE` come from the environment.

There is no `SECRET_KEY`, because nothing is signed, and no middleware: without sessions or cookies a forged request can
do no more than a genuine one, so CSRF protection would protect nothing.
"""

import os

import dj_database_url

from todo_django.profile import TUNED

DEBUG = False
# The benchmark reaches the server by a container's name or an address, and no answer depends on the Host header.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = ["todo_django"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "todo_django.urls"
WSGI_APPLICATION = "todo_django.wsgi.application"

# Published: a new connection for each request. Tuned: one for each thread, for as long as the thread lives.
DATABASES = {
    "default": dj_database_url.config(
        default="postgresql://postgres@localhost/todo",
        conn_max_age=None if TUNED else 0,
    )
}
# Unless the time zone is already set, Django sends a SELECT to set it on each new connection.
DATABASES["default"]["OPTIONS"] = {"options": "-c TimeZone=UTC"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Loaders need not be named for caching: with DEBUG off, Django wraps these in the cached loader.
        "APP_DIRS": True,
    }
]

USE_I18N = False
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    # A client's mistake is not an error of ours.
    "loggers": {
        "django": {"handlers": ["stderr"], "level": "ERROR", "propagate": False},
        "django.security": {"level": "CRITICAL"},
    },
}
