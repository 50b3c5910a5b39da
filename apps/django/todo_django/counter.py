"""The counter of pages shown, in Redis."""

from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_KEY = "counter"

# One client for the process: it connects on first use, and its pool serves every thread.
# It never retries: an INCR whose reply was lost may already have counted.
_redis = Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0))


def increment() -> int:
    """Count one more page, and return the new count."""
    return int(_redis.incr(_KEY))
