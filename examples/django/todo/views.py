import redis
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from todo.models import Item, Project
from todo.tasks import count_words

counter = redis.Redis(host="redis", port=6379, db=0)


@require_http_methods(["GET", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        project = get_object_or_404(Project, name=request.POST.get("project", ""))
        item = Item.objects.create(text=request.POST.get("text", ""), project=project)
        count_words.delay(item.pk)
        return redirect("/")
    counter.incr("counter")
    items = Item.objects.select_related("project").order_by("-created", "-id")[:20]
    return render(request, "home.html", {"items": items})


@require_GET
def health(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok", content_type="text/plain")
