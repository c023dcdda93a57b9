"""Overrides: a departure from the exact choice, proposed with a reason, priced, and signed by a second member."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from ledger.money import show
from pitches.access import may, require_member
from pitches.choosing import Price, price
from pitches.models import Force, Override, OverrideCategory, Pitch, PitchOption
from pitches.models.choice import SHORTEST_OVERRIDE
from pitches.selection.problem import Infeasible
from pitches.selectors.inputs import forced_of
from pitches.selectors.selection import inputs_of, override_room
from pitches.services.locks import pitch_locked
from pitches.services.notices import tell_members_about
from pitches.transitions import PitchState, RoundState
from teams.errors import SHORTEST_REASON, NotAllowed, Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record


@transaction.atomic
def override_propose(
    *,
    actor: User,
    pitch: Pitch,
    force: Force,
    category: OverrideCategory,
    reason: str,
    option: PitchOption | None = None,
) -> Override:
    """Propose to fund a pitch all the same, or not to fund it; its price is stored.

    Without an option of the pitch it is funded by the one that costs the round least.

    Raises NotAllowed, WrongState, Refused (reason_too_short, other_option, override_standing, no_quorum, no_offer,
    no_change, does_not_fit, over_share).
    """
    pitch = _deciding(actor, pitch, "Only members without a conflict propose an override.")
    reason = reason.strip()
    if len(reason) < SHORTEST_OVERRIDE:
        raise Refused(
            f"Say why in at least {SHORTEST_OVERRIDE} characters: it is published.",
            code="reason_too_short",
            field="reason",
        )
    if option is not None and (option.pitch_id != pitch.pk or force == Force.OUT):
        raise Refused("Choose one of this pitch's own offers, to fund it.", code="other_option", field="option")
    if Override.objects.filter(pitch=pitch, withdrawn_at=None).exists():
        raise Refused("There is an override on this pitch: withdraw it first.", code="override_standing")
    found = _price(pitch, force, option)
    _require_room(pitch, found, without=None)
    override = Override.objects.create(
        round=pitch.round,
        pitch=pitch,
        force=force,
        option=_option(pitch, found),
        category=category,
        reason=reason,
        price=_usd(found.worth),
        cost=_usd(found.moved),
        proposed_by=actor,
    )
    details = {"force": force.value, "category": category.value, "price": str(override.price)}
    audit_record(actor=actor, verb="pitch.override_propose", target=pitch, reason=reason, details=details)
    tell_members_about(pitch, f"An override on {pitch} waits for a second signature", reason, besides=actor)
    return override


@transaction.atomic
def override_sign(*, actor: User, override: Override) -> Override:
    """Sign another member's override: the next choice is bound by it. Its price is computed again.

    Raises NotAllowed, WrongState, Refused (no_change, does_not_fit, over_share).
    """
    pitch = _deciding(actor, override.pitch, "Only members without a conflict sign an override.")
    override = _standing(override)
    if override.proposed_by_id == actor.pk:
        raise NotAllowed("A second member signs an override, not the one who proposed it.")
    if override.signed_at is not None:
        raise WrongState("It is signed already.")
    found = _price(pitch, Force(override.force), override.option)
    _require_room(pitch, found, without=override.pk)
    override.price, override.cost = _usd(found.worth), _usd(found.moved)
    override.signed_by, override.signed_at = actor, datetime.now(UTC)
    override.save()
    details = {"force": override.force, "price": str(override.price), "cost": str(override.cost)}
    audit_record(actor=actor, verb="pitch.override_sign", target=pitch, reason=override.reason, details=details)
    tell_members_about(pitch, f"An override on {pitch} was signed: run the choice again", besides=actor)
    return override


@transaction.atomic
def override_withdraw(*, actor: User, override: Override, reason: str) -> Override:
    """Take an override back, signed or not: by who proposed or signed it, or whoever decides on the pitch.

    Raises NotAllowed, WrongState, Refused (reason_missing).
    """
    pitch = _deciding(actor, override.pitch, "Only members without a conflict withdraw an override.")
    override = _standing(override)
    if actor.pk not in {override.proposed_by_id, override.signed_by_id} and not may(
        actor, "pitches.decide_pitch", pitch
    ):
        raise NotAllowed("It is withdrawn by who proposed or signed it, or by the chair.")
    require_reason(reason, "Say why it is withdrawn.", least=SHORTEST_REASON)
    override.withdrawn_at = datetime.now(UTC)
    override.save()
    details = {"force": override.force, "was_signed": override.signed_at is not None}
    audit_record(actor=actor, verb="pitch.override_withdraw", target=pitch, reason=reason.strip(), details=details)
    return override


def _deciding(actor: User, pitch: Pitch, message: str) -> Pitch:
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.override_pitch", pitch, message=message)
    if pitch.round.state != RoundState.DECIDING or pitch.state != PitchState.SHORTLISTED:
        raise WrongState("Overrides are made once voting has closed and before the decisions are published.")
    return pitch


def _standing(override: Override) -> Override:
    rows = Override.objects.select_for_update(of=("self",)).select_related("option")
    override = rows.get(pk=override.pk)
    if override.withdrawn_at is not None:
        raise WrongState("It was withdrawn.")
    return override


def _price(pitch: Pitch, force: Force, option: PitchOption | None) -> Price:
    inputs = inputs_of(pitch.round)
    judged = inputs.judged[pitch.pk]
    if not judged.has_quorum:
        raise Refused("It has no quorum: no signature stands in for that.", code="no_quorum")
    if not judged.offers:
        raise Refused("There is nothing that it could be awarded.", code="no_offer")
    try:
        found = price(inputs, forced_of(pitch.pk, force, option))
    except Infeasible as error:
        raise Refused(
            "It does not fit: whatever else is left out, a limit of the round is broken.", code="does_not_fit"
        ) from error
    if not found.changes:
        raise Refused("The exact choice says the same without it.", code="no_change")
    return found


def _option(pitch: Pitch, found: Price) -> PitchOption | None:
    return next((option for option in pitch.options.all() if option.offer == found.offer), None)


def _require_room(pitch: Pitch, found: Price, *, without: int | None) -> None:
    room = override_room(pitch.round, without=without)
    if _usd(found.moved) > room.left:
        raise Refused(
            f"It moves {show(_usd(found.moved))}; overrides may move {show(room.limit)} of the cap together, and "
            f"{show(room.left)} of that are left.",
            code="over_share",
        )


def _usd(cents: int) -> Decimal:
    return Decimal(cents) / 100
