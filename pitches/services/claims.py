"""Resolved claims: what a claimed value came to, recorded by finance with a reason; the calibration reads them."""

from dataclasses import dataclass
from datetime import date

from django.db import IntegrityError, transaction
from djmoney.money import Money

from ledger.money import CURRENCY
from ledger.selectors import today
from pitches.models import Pitch, ResolvedClaim
from pitches.questions import ValueKind
from pitches.quotes import CENT
from teams.access import require
from teams.errors import Refused, require_reason
from teams.models import Team, User
from teams.services import audit_record


@dataclass(frozen=True, slots=True)
class Outturn:
    """What was claimed and what came of it; `replaces` is an earlier record that was wrong."""

    value_kind: ValueKind
    claimed: Money
    realised: Money
    resolved_on: date
    pitch: Pitch | None = None
    replaces: ResolvedClaim | None = None


@transaction.atomic
def claim_resolve(*, actor: User, team: Team, outturn: Outturn, reason: str) -> ResolvedClaim:
    """Record what a team's claim came to. It counts for its calibration from the next choice on.

    Raises NotAllowed, Refused (reason_missing, invalid, other_team, resolved_already).
    """
    require(actor, "pitches.resolve_claim", message="Only finance records what a claim came to.")
    require_reason(reason, "Say where the realised value was read.")
    _require_sense(team, outturn)
    try:
        with transaction.atomic():
            claim = ResolvedClaim.objects.create(
                team=team,
                value_kind=outturn.value_kind,
                claimed=outturn.claimed.amount,
                realised=outturn.realised.amount,
                resolved_on=outturn.resolved_on,
                pitch=outturn.pitch,
                replaces=outturn.replaces,
                recorded_by=actor,
                reason=reason.strip(),
            )
    except IntegrityError as error:
        raise Refused(
            "This claim is resolved already: replace the record that is there.", code="resolved_already", field="pitch"
        ) from error
    details = {"claimed": str(claim.claimed), "realised": str(claim.realised), "kind": claim.value_kind}
    audit_record(actor=actor, verb="pitch.claim_resolve", target=outturn.pitch or claim, reason=reason, details=details)
    return claim


def _require_sense(team: Team, outturn: Outturn) -> None:
    for field, money in (("claimed", outturn.claimed), ("realised", outturn.realised)):
        if str(money.currency) != CURRENCY or money.amount != money.amount.quantize(CENT):
            raise Refused(f"Write whole cents in {CURRENCY}.", code="invalid", field=field)
    if outturn.claimed.amount <= 0:
        raise Refused("A claim is more than zero.", code="invalid", field="claimed")
    if outturn.realised.amount < 0:
        raise Refused("A realised value is zero or more.", code="invalid", field="realised")
    if outturn.resolved_on > today():
        raise Refused("This day has not come yet.", code="invalid", field="resolved_on")
    if outturn.pitch is not None and outturn.pitch.team_id != team.pk:
        raise Refused("This pitch is another team's.", code="other_team", field="pitch")
    if outturn.replaces is not None and outturn.replaces.team_id != team.pk:
        raise Refused("That record is another team's.", code="other_team", field="replaces")
