"""Options: made by the system for every pitch on the ballot, once, when voting closes."""

from collections.abc import Iterable
from decimal import Decimal

from ledger.models import Tier
from pitches.models import OptionLine, OptionOrigin, Pitch, PitchOption, PitchRevision, RevisionQuality, Round
from pitches.options import ASKED, Ask, Made, OptionCode, options
from pitches.questions import Basis, Case, Latency
from pitches.transitions import PitchState
from teams.models import User
from teams.services import audit_record


def qualities_of(revisions: Iterable[PitchRevision]) -> dict[tuple[int, str], Decimal]:
    """Return the qualities that teams measured on their own evals, beside 1 for what they asked, in one query.

    By revision id and tier; a tier that was not measured is left out.
    """
    rows = RevisionQuality.objects.filter(revision__in=[revision.pk for revision in revisions])
    return {(pk, tier): quality for pk, tier, quality in rows.values_list("revision_id", "tier", "quality")}


def options_make(*, actor: User, round_: Round) -> list[PitchOption]:
    """Make the offers of every pitch on the ballot that has none yet; call it with the round locked.

    Run twice it does it once. Amounts are USD over the round's months.
    """
    pitches = list(
        Pitch.objects.filter(round=round_, state=PitchState.SHORTLISTED, options=None)
        .select_related("current")
        .prefetch_related("current__line_items", "current__quote_lines")
        .order_by("pk")
    )
    measured = qualities_of(pitch.submitted for pitch in pitches)
    made = [
        (_option(pitch, offer), offer)
        for pitch in pitches
        for offer in options(ask_of(pitch.submitted, _own(measured, pitch.submitted)))
    ]
    found = PitchOption.objects.bulk_create(option for option, _ in made)
    OptionLine.objects.bulk_create(
        OptionLine(option=option, tier=tier, amount=amount)
        for option, offer in made
        for tier, amount in offer.lines.items()
    )
    if found:
        audit_record(actor=actor, verb="round.options", target=round_, details={"options": len(found)})
    return found


def _own(measured: dict[tuple[int, str], Decimal], revision: PitchRevision) -> dict[Tier, Decimal]:
    return {tier: measured[revision.pk, tier.value] for tier in Tier if (revision.pk, tier.value) in measured}


def ask_of(revision: PitchRevision, measured: dict[Tier, Decimal]) -> Ask:
    """Return what options are made from: the revision's kept quote, its calls, its value and measured qualities."""
    items = list(revision.line_items.all())
    return Ask(
        value=revision.value_p50,
        latency=Latency(revision.latency),
        calls={case: sum(getattr(item, f"calls_{case.value}") for item in items) for case in Case},
        quote={
            (Basis(line.basis), Case(line.case), Tier(line.tier)): line.expected for line in revision.quote_lines.all()
        },
        measured=measured,
        batches_an_item=any(item.tier == Tier.BATCH for item in items),
    )


def _option(pitch: Pitch, offer: Made) -> PitchOption:
    return PitchOption(
        round_id=pitch.round_id,
        pitch=pitch,
        revision=pitch.submitted,
        code=offer.code,
        tier=offer.tier,
        label=_label(offer),
        cost=offer.cost,
        value=offer.value,
        quality=offer.quality,
        is_measured=offer.is_measured,
        origin=OptionOrigin.ASKED if offer.code in ASKED else OptionOrigin.SYSTEM,
    )


def _label(offer: Made) -> str:
    if offer.code in {OptionCode.CHEAPER, OptionCode.CASCADE}:
        return f"{'All' if offer.code == OptionCode.CHEAPER else 'Easy calls'} on {offer.tier.label.lower()}"
    return str(offer.code.label)
