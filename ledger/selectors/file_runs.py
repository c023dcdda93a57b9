"""Large files that were sent: the open ones and the latest of the others."""

from ledger.models import FileRun

MOST_FILES = 20


def files_shown() -> list[FileRun]:
    """Return the latest large files, newest first, without what their checks found."""
    runs = FileRun.objects.select_related("feed__provider", "asked_by", "fetch").defer("found")
    return list(runs.order_by("-pk")[:MOST_FILES])
