"""Keyset pages: "older than this one", so that a list costs the same at any age."""

from django.http import HttpRequest

from teams.typed import whole_in


def page_mark(request: HttpRequest, name: str = "before") -> int | None:
    """Return the mark that a page's link carries, None on the first page and for anything that is no number."""
    return whole_in(request.GET.get(name, ""), None)
