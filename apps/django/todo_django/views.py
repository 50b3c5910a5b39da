"""The three routes of the contract."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import get_template
from django.views.generic import TemplateView, View

from todo_django import counter
from todo_django.errors import error
from todo_django.forms import ItemForm
from todo_django.models import Item


class JSONErrorsView(View):
    """A view that refuses a method with a JSON reply."""

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Reply with status 405 and the methods that are allowed."""
        refusal = super().http_method_not_allowed(request, *args, **kwargs)
        response = error(405, "Method not allowed")
        response["Allow"] = refusal["Allow"]
        return response


class HomeView(JSONErrorsView, TemplateView):
    """The page with every item, and how many times the page was shown."""

    http_method_names = ("get",)
    template_name = "home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Collect the page's data. Items are read before the page is counted: a page that fails must not count."""
        items = list(Item.objects.order_by("pk"))
        return super().get_context_data(items=items, counter=counter.increment(), **kwargs)


class TunedHomeView(JSONErrorsView):
    """The same page from tuples: without model instances, and without the template's slow filter for dates."""

    http_method_names = ("get",)

    def get(self, _request: HttpRequest) -> HttpResponse:
        """Render the page. Items are read before the page is counted, as above."""
        rows = Item.objects.order_by("pk").values_list("pk", "text", "date_posted")
        items = [(pk, text, date_posted.isoformat()) for pk, text, date_posted in rows]
        page = get_template("home_tuned.html").render({"items": items, "counter": counter.increment()})
        return HttpResponse(page)


class ItemsView(JSONErrorsView):
    """The collection of items, to which clients add."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Add the item in the body, which is read as JSON regardless of its content type."""
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
    """The health check, which uses neither PostgreSQL nor Redis."""

    http_method_names = ("get",)

    def get(self, _request: HttpRequest) -> JsonResponse:
        """Report that the server is up."""
        return JsonResponse({"status": "ok"})


def _decoded(body: bytes) -> Any:
    data = json.loads(body) if body.strip() else None
    # JSON can contain half a surrogate pair, which UTF-8, and so PostgreSQL, cannot encode: this raises ValueError.
    json.dumps(data, ensure_ascii=False).encode()
    return data
