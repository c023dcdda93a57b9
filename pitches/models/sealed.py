"""What keeps ballots closed, and what proves afterwards that none was changed or dropped.

The private half of a round's key is no field: it stands in `pitches_ballot_secret`, a table that the run-time role can
add to and cannot read (`pitches/sql/doors.sql`).
"""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pitches.models.committee import Ballot
from pitches.models.pitch import Pitch
from pitches.models.round import Round


class BallotKey(models.Model):
    """The key that the ballots of a round are sealed to: its public half, X25519. Append-only."""

    round = models.OneToOneField(Round, models.PROTECT, related_name="ballot_key")
    public = models.BinaryField(max_length=32, editable=False)
    made_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"Ballot key of {self.round}"


class BallotReceipt(models.Model):
    """The SHA-256 of an envelope at the moment it was cast, one for each time; the trigger of the ballot writes it."""

    ballot = models.ForeignKey(Ballot, models.PROTECT, related_name="receipts")
    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="ballot_receipts")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="ballot_receipts")
    number = models.PositiveSmallIntegerField(help_text="Counts the envelopes of this member on this pitch.")
    sha256 = models.CharField(max_length=64)
    cast_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["ballot", "number"], name="ballot_receipt_number_unique"),
            models.CheckConstraint(condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="ballot_receipt_is_a_hash"),
        ]

    def __str__(self) -> str:
        return self.sha256
