"""Admin pages that change things only through services, and pages that change nothing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from teams.errors import Refused
from teams.forms import form_refuse


class ServiceAdmin(ModelAdmin):  # type: ignore[misc]  # the package has no types
    """An admin page whose `save_model` calls a service; what the service refuses stands beside the field.

    Everything that was typed stays. Nothing is deleted.
    """

    compressed_fields = True
    warn_unsaved_form = True

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show or save; a refusal rolls back and shows the form again with the message."""
        show = super().changeform_view
        try:
            with transaction.atomic():
                answer: HttpResponse = show(request, object_id, form_url, extra_context)
        except Refused as refusal:
            request.refusal = refusal  # type: ignore[attr-defined]  # for get_form below
            answer = show(request, object_id, form_url, extra_context)
        return answer

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        """Return the form, one that is never valid once a service refused what is in it."""
        form: type[forms.ModelForm[Any]] = super().get_form(request, obj, change, **kwargs)
        refusal = getattr(request, "refusal", None)
        return form if refusal is None else _refused(form, refusal)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: what money or decisions point at stays."""
        return False


def _refused(form: type[forms.ModelForm[Any]], refusal: Refused) -> type[forms.ModelForm[Any]]:
    def clean(self: forms.ModelForm[Any]) -> dict[str, Any] | None:
        data = super(refusing, self).clean()
        form_refuse(self, refusal)
        return data

    refusing: type[forms.ModelForm[Any]] = type(form.__name__, (form,), {"clean": clean})
    return refusing


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]  # the package has no types
    """An admin page on which nothing can be added, changed or deleted, whoever looks."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False."""
        return False
