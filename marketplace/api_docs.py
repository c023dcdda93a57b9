"""The API described: the schema that programs read, and the page that people read.

The page is Swagger UI from the package `drf-spectacular-sidecar`, so nothing is loaded from elsewhere.
"""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.permissions import IsAuthenticated

from teams.access import UserRequest, members_only

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs."},
                "message": {"type": "string", "description": "For people."},
                "field": {"type": "string", "description": "The input that is wrong."},
                "fields": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
                "details": {"type": "object", "description": "Which budget stopped a call, and how it stands."},
            },
        }
    },
}


class Schema(SpectacularJSONAPIView):
    """The OpenAPI schema of /api/v1/, for everybody who is logged in and for every token."""

    permission_classes = (IsAuthenticated,)


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the package's metaclass
    """Personal tokens in the schema."""

    target_class = "teams.api_access.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return how a token is sent."""
        return {"type": "http", "scheme": "bearer", "description": "A personal token, made under Your account."}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the package's metaclass
    """Quota keys in the schema."""

    target_class = "allocations.api.QuotaKeyAuthentication"
    name = "quota key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return how a key is sent."""
        return {"type": "http", "scheme": "bearer", "description": "A quota key: tank_…"}


def errors_added(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the one shape of errors to every operation of the schema."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR
    reference = {"$ref": "#/components/schemas/Error"}
    answer = {"description": "What was refused, and why.", "content": {"application/json": {"schema": reference}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"].setdefault("default", answer)
    return result


@require_safe
@members_only
def docs(request: UserRequest) -> HttpResponse:
    """Show every endpoint, and let people try it as themselves."""
    return render(request, "api_docs.html")
