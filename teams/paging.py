"""Keyset pages: "older than this one", so that a list costs the same at any age."""

from django.http import HttpRequest


def page_mark(request: HttpRequest, name: str = "before") -> int | None:
    """Return the mark that a page's link carries, None on the first page and for anything that is no number."""
    value = request.GET.get(name, "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < 18 else None
