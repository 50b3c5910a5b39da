"""Configure gunicorn, which reads this file from the folder that it is started in."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the `gunicorn` script does not put it there

from todo_django.profile import DATABASE_CONNECTIONS, TUNED

wsgi_app = "todo_django.wsgi:application"
bind = f":{os.environ.get('PORT', '8000')}"
loglevel = "warning"
graceful_timeout = 5
preload_app = True  # loaded once and shared by the workers that fork from it, like aiohttp's servers
control_socket_disable = True  # its default path is the same for all servers of a user, so two would share it

if TUNED:
    workers = len(os.sched_getaffinity(0))  # unlike cpu_count(), it counts only the cores that we may use
    worker_class = "gthread"
    # One thread computes while the other waits for a service; more threads would only compete for the GIL, and each
    # keeps a database connection.
    threads = max(1, min(2, DATABASE_CONNECTIONS // workers))
    # The kernel may give nearly every client to one worker; a connection above this limit is not kept alive.
    worker_connections = 2048
    keepalive = 75
    backlog = 4096
else:
    workers = 2  # sync workers: one request at a time, and no keep-alive
