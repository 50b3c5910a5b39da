"""gunicorn reads this file from the directory that it is started in."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the `gunicorn` script does not put it there

from todo_django.profile import DATABASE_CONNECTIONS, TUNED

wsgi_app = "todo_django.wsgi:application"
bind = f":{os.environ.get('PORT', '8000')}"
loglevel = "warning"
graceful_timeout = 5
preload_app = True  # loaded once, and shared by the workers that fork from it, as by aiohttp's servers
control_socket_disable = True  # its default path is one per user, and two servers would share it

if TUNED:
    workers = len(os.sched_getaffinity(0))  # unlike cpu_count(), it knows the cores we are confined to
    worker_class = "gthread"
    # One thread computes while the other waits for a service; more of them only compete for the GIL, and each
    # keeps a database connection to itself.
    threads = max(1, min(2, DATABASE_CONNECTIONS // workers))
    # The kernel may hand nearly every client to one worker; a connection above this limit is not kept alive.
    worker_connections = 2048
    keepalive = 75
    backlog = 4096
else:
    workers = 2  # sync workers: one request at a time, and no keep-alive
