"""Map paths to views, and errors to handlers."""

from django.urls import path

from todo_django.profile import TUNED
from todo_django.views import HealthView, HomeView, ItemsView, TunedHomeView

urlpatterns = [
    path("", TunedHomeView.as_view() if TUNED else HomeView.as_view(), name="home"),
    path("items", ItemsView.as_view(), name="items"),
    path("health", HealthView.as_view(), name="health"),
]

handler400 = "todo_django.errors.bad_request"
handler404 = "todo_django.errors.not_found"
handler500 = "todo_django.errors.server_error"
