"""Addresses of the metering API, under /api/v1/metering/."""

from django.urls import path

from allocations import api

app_name = "metering_api"
VIEWS = {"admit": api.Admit, "settle": api.Settle, "void": api.Void}
# With a slash at the end, as the rest of the API has it, and without; described once.
urlpatterns = [
    *(path(f"{name}/", view.as_view(), name=name) for name, view in VIEWS.items()),
    *(path(name, view.as_view(schema=None)) for name, view in VIEWS.items()),
]
