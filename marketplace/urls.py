"""All pages: each floor brings its own URL list."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from marketplace.api_docs import Schema, docs
from marketplace.home import home

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("", include("teams.urls")),
    path("ledger/", include("ledger.urls")),
    path("api/v1/", include("ledger.api_urls")),
    path("api/v1/metering/", include("allocations.api_urls")),
    path("api/v1/schema/", Schema.as_view(), name="api_schema"),
    path("api/v1/docs/", docs, name="api_docs"),
    path("allocations/", include("allocations.urls")),
    path("", include("pitches.urls")),
    path("account/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
