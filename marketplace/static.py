"""Static files: ours and those of installed packages, served by Tank itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import plotly
from django.contrib.staticfiles.finders import BaseFinder
from django.core.files.storage import FileSystemStorage, Storage
from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile


class StaticMiddleware(WhiteNoiseMiddleware):  # type: ignore[misc]  # the package has no types
    """WhiteNoise with answers that an asynchronous server can send as they are."""

    @staticmethod
    def serve(static_file: StaticFile, request: HttpRequest) -> HttpResponse:
        """Answer with a file, or the asked part of one, from memory."""
        found = static_file.get_response(request.method, request.META)
        body = b""
        if found.file is not None:
            with found.file as file:
                body = file.read()
        response = HttpResponse(body, status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        return response


class PlotlyFinder(BaseFinder):
    """The one file that pages need from the package `plotly`: plotly/plotly.min.js."""

    name = "plotly.min.js"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.storage = FileSystemStorage(location=Path(plotly.__file__).parent / "package_data")
        self.storage.prefix = "plotly"  # type: ignore[attr-defined]  # where finders keep it

    def find(self, path: str, find_all: bool = False, **kwargs: Any) -> Any:
        """Return where the file is, or nothing."""
        found = [self.storage.path(self.name)] if path == f"plotly/{self.name}" else []
        return found if find_all else next(iter(found), [])

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterable[tuple[str, Storage]]:
        """Return the file and the storage that it is in."""
        return [(self.name, self.storage)]
