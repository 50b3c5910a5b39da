import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
app = Celery("project", broker="redis://redis:6379/1")
app.autodiscover_tasks()
