from celery import shared_task

from todo.models import Item


@shared_task
def count_words(item_id: int) -> None:
    item = Item.objects.get(pk=item_id)
    item.words = len(item.text.split())
    item.save(update_fields=["words"])
