"""Send every error as JSON: `{"error": REASON}`. Django calls the handlers that `urls` names."""

import sys

from django.core.exceptions import RequestDataTooBig
from django.db import Error as DatabaseFailure
from django.http import HttpRequest, JsonResponse


def error(status: int, reason: str) -> JsonResponse:
    """Make the reply for an error."""
    return JsonResponse({"error": reason}, status=status)


def bad_request(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Reply to a request that Django itself refuses."""
    if isinstance(exception, RequestDataTooBig):
        return error(413, "Body too large")
    return error(400, "Bad request")


def not_found(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 - Django's keyword
    """Reply to an unknown path."""
    return error(404, "Not found")


def server_error(_request: HttpRequest) -> JsonResponse:
    """Report whether the database failed; Django has already logged the exception."""
    in_database = isinstance(sys.exc_info()[1], DatabaseFailure)
    return error(500, "Database failure" if in_database else "Server failure")
