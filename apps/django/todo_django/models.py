"""The one table."""

from django.db import models
from django.db.models.functions import Now


class Item(models.Model):
    """A thing to do. `apps/seed.sql` creates the table, the same for every variant."""

    text = models.TextField()
    date_posted = models.DateField(db_default=Now(), editable=False)

    class Meta:
        managed = False
        db_table = "item"

    def __str__(self) -> str:
        return self.text
