"""All pages: each floor brings its own URL list."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from marketplace.home import home

urlpatterns: list[URLPattern | URLResolver] = [
    path("", home, name="home"),
    path("", include("teams.urls")),
    path("ledger/", include("ledger.urls")),
    path("allocations/", include("allocations.urls")),
    path("", include("pitches.urls")),
    path("account/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]
