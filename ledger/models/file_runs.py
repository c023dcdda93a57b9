"""Large files of figures: checked in the background, then imported there once a person says so."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ledger.models.feeds import Feed, FeedBody, FeedFetch


class FileRunState(models.TextChoices):
    """How far a file is that was sent."""

    CHECK = "check", "Being checked"
    CHECKED = "checked", "Waits for its import"
    IMPORT = "import", "Being imported"
    DONE = "done", "Imported"
    FAILED = "failed", "Failed"
    LEFT = "left", "Left"


FILES_AT_WORK = (FileRunState.CHECK, FileRunState.IMPORT)
OPEN_FILES = (FileRunState.CHECK, FileRunState.CHECKED, FileRunState.IMPORT)


class FileRun(models.Model):
    """A file that somebody sent and that is too large for a request: `lines_read` of its `lines` are read.

    Who works at runs holds an advisory lock, which ends with the process: a run that is at work and whose lock is free
    waits for a worker, or has lost it. Its bytes are kept while it is open; an import keeps them for good, in its page.
    """

    feed = models.ForeignKey(Feed, models.PROTECT, related_name="file_runs")
    name = models.CharField(max_length=200, help_text="The file's.")
    sha256 = models.CharField(max_length=64, help_text="Of the file's bytes.")
    size = models.PositiveIntegerField(help_text="Bytes.")
    body = models.ForeignKey(FeedBody, models.PROTECT, null=True, related_name="+")
    first_day = models.DateField(null=True, help_text="UTC, of a period that was named.")
    last_day = models.DateField(null=True, help_text="UTC, included.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    state = models.CharField(max_length=8, choices=FileRunState, default=FileRunState.CHECK)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="How often its check, or its import, began.")
    lines = models.PositiveIntegerField(help_text="How many the file has.")
    lines_read = models.PositiveIntegerField(default=0)
    found = models.JSONField(null=True, help_text="What the check found; ledger/services/file_found.py.")
    checked_at = models.DateTimeField(null=True)
    import_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    ended_at = models.DateTimeField(null=True)
    words = models.TextField(blank=True, help_text="Why it ended without an import, for people.")
    fetch = models.ForeignKey(FeedFetch, models.PROTECT, null=True, related_name="file_runs")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["feed"],
                condition=Q(state__in=[state.value for state in OPEN_FILES]),
                name="file_run_one_open",
            ),
            models.CheckConstraint(condition=Q(state__in=FileRunState.values), name="file_run_state_known"),
            models.CheckConstraint(
                condition=Q(first_day=None, last_day=None)
                | Q(first_day__isnull=False, last_day__isnull=False, last_day__gte=models.F("first_day")),
                name="file_run_days_in_order",
            ),
            models.CheckConstraint(condition=Q(lines_read__lte=models.F("lines")), name="file_run_read_within_lines"),
            models.CheckConstraint(
                condition=Q(found__isnull=True, checked_at=None) | Q(found__isnull=False, checked_at__isnull=False),
                name="file_run_found_has_time",
            ),
            models.CheckConstraint(
                condition=Q(body=None, ended_at__isnull=False) | Q(body__isnull=False, ended_at=None),
                name="file_run_has_its_bytes_until_it_ends",
            ),
            models.CheckConstraint(
                condition=Q(state="check", ended_at=None, fetch=None, words="", found__isnull=True, import_by=None)
                | Q(state="checked", ended_at=None, fetch=None, words="", found__isnull=False, import_by=None)
                | Q(state="import", ended_at=None, fetch=None, words="", found__isnull=False, import_by__isnull=False)
                | Q(state="done", ended_at__isnull=False, fetch__isnull=False, words="", found__isnull=False)
                | Q(state__in=["failed", "left"], ended_at__isnull=False, fetch=None) & ~Q(words=""),
                name="file_run_ends_with_a_fetch_or_words",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_open(self) -> bool:
        """Say whether it has not ended."""
        return self.state in OPEN_FILES

    @property
    def is_at_work(self) -> bool:
        """Say whether a worker has it, or is to have it."""
        return self.state in FILES_AT_WORK
