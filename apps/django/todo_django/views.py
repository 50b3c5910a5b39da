"""The three routes of the contract."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.generic import TemplateView, View

from todo_django import counter
from todo_django.errors import error
from todo_django.forms import ItemForm
from todo_django.models import Item


class JSONErrorsView(View):
    """A view that refuses a method in JSON."""

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer 405, and name the methods that there are."""
        refusal = super().http_method_not_allowed(request, *args, **kwargs)
        response = error(405, "Method not allowed")
        response["Allow"] = refusal["Allow"]
        return response


class HomeView(JSONErrorsView, TemplateView):
    """Every item, and how many times they were shown."""

    http_method_names = ("get",)
    template_name = "home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Read the items before counting: a page that cannot be shown does not count."""
        items = list(Item.objects.order_by("pk"))
        return super().get_context_data(items=items, counter=counter.increment(), **kwargs)


class ItemsView(JSONErrorsView):
    """Where new items are sent."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add the item in the body, which is JSON whatever its content type says."""
        try:
            data = _decoded(request.body)
        except (ValueError, RecursionError):
            return error(400, "Invalid JSON")
        if not data:
            return error(400, "Empty data")
        if not isinstance(data, dict):
            return error(400, "must be an object")
        form = ItemForm(data)
        if not form.is_valid():
            return error(400, form.reasons())
        if not form.cleaned_data["text"]:
            return HttpResponse(status=204)
        item = Item.objects.create(**form.cleaned_data)
        return JsonResponse({"id": item.pk}, status=201)


class HealthView(JSONErrorsView):
    """Whether the server answers; it asks nobody else."""

    http_method_names = ("get",)

    def get(self, _request: HttpRequest) -> JsonResponse:
        """Answer."""
        return JsonResponse({"status": "ok"})


def _decoded(body: bytes) -> Any:
    data = json.loads(body) if body.strip() else None
    # JSON can spell half a surrogate pair, which UTF-8, and so PostgreSQL, cannot: a ValueError here.
    json.dumps(data, ensure_ascii=False).encode()
    return data
