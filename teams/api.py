"""What every endpoint under /api/v1/ has in common: one shape for errors, pages of a bounded size.

    {"error": {"code": "over_cap", "message": "…", "field": "amount", "fields": {"amount": ["…"]}}}

`code` is stable for programs, `message` is for people; `field` and `fields` are there where an input is wrong.
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.pagination import CursorPagination, LimitOffsetPagination
from rest_framework.response import Response
from rest_framework.views import exception_handler

from teams.errors import NotAllowed, Refused, WrongState


class Pages(LimitOffsetPagination):
    """Fifty rows unless asked for fewer or more, two hundred at the most."""

    default_limit = 50
    max_limit = 200


class Keyset(CursorPagination):
    """Pages that cost the same at any depth: `next` carries an opaque cursor. Fifty rows, two hundred at the most."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    ordering = "-pk"


class Invalid(Refused):
    """Some fields are wrong; `fields` says what, by name."""

    code = "invalid"

    def __init__(self, message: str, fields: Mapping[str, list[str]]) -> None:
        super().__init__(message, field=next(iter(fields), ""))
        self.fields = dict(fields)


def error_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer an exception in our shape; None for what is a fault of ours."""
    if isinstance(error, Refused):
        return Response({"error": _refused(error)}, status=_status(error))
    answer = exception_handler(error, context)
    if answer is not None:
        answer.data = {"error": _of_framework(error, answer.data)}
    return answer


def _status(error: Refused) -> int:
    match error:
        case NotAllowed():
            return status.HTTP_403_FORBIDDEN
        case WrongState():
            return status.HTTP_409_CONFLICT
        case _:
            return status.HTTP_422_UNPROCESSABLE_ENTITY


def _refused(error: Refused) -> dict[str, Any]:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.field:
        body["field"] = error.field
    if isinstance(error, Invalid):
        body["fields"] = error.fields
    return body


def _of_framework(error: Exception, data: Any) -> dict[str, Any]:
    match error:
        case Http404() | exceptions.NotFound():
            return {"code": "not_found", "message": "There is nothing here."}
        case PermissionDenied():
            return {"code": "not_allowed", "message": "You may not do this."}
        case exceptions.ValidationError():
            return _of_validation(data)
        case exceptions.APIException():
            return {"code": str(error.get_codes()), "message": str(error.detail)}
        case _:
            return {"code": "error", "message": "The request could not be answered."}


def _of_validation(data: Any) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        return {"code": "invalid", "message": " ".join(str(message) for message in data)}
    fields = {name: [str(message) for message in messages] for name, messages in data.items()}
    name, messages = next(iter(fields.items()))
    return {"code": "invalid", "message": messages[0], "field": name, "fields": fields}
