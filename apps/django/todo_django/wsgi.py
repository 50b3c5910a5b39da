"""The WSGI application that gunicorn serves."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "todo_django.settings")

application = get_wsgi_application()
import_module(settings.ROOT_URLCONF)  # otherwise the first request of each worker would load the views
