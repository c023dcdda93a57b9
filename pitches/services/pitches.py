"""Pitches: write, submit as numbered revisions, return, withdraw, carry over to another round."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django.db import transaction
from django.db.models.functions import Now

from ledger.models import Tier
from ledger.money import show
from pitches.access import require_member
from pitches.content import PitchContent
from pitches.models import LineItem, Milestone, Pitch, PitchRevision, QuoteLine, Round
from pitches.questions import Basis, Case
from pitches.quotes import Costs, NoModel, Quote
from pitches.selectors.quotes import quote_now
from pitches.services.applicants import applicants_name
from pitches.services.assignments import assignments_make
from pitches.services.attachments import attachments_pin, attachments_take_along
from pitches.services.conflicts import recusals_find
from pitches.services.locks import pitch_locked, round_locked
from pitches.services.notices import tell_screeners, tell_team
from pitches.services.parts import parts_create, parts_require, terms_kept
from pitches.services.resuming import review_resume
from pitches.services.states import pitch_move
from pitches.transitions import CONTINUABLE_PITCH, EDITABLE_PITCH, WITHDRAWABLE_PITCH, PitchState, RoundState
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import Team, User
from teams.services import audit_record

LONGEST_DRAFT = 200_000
SHORTEST_NOTE = 10


class DraftConflict(Refused):
    """Somebody else saved the draft in between."""

    code = "draft_conflict"


@transaction.atomic
def pitch_create(
    *,
    actor: User,
    round_: Round,
    team: Team,
    title: str,
    continues: Pitch | None = None,
    copied_from: Pitch | None = None,
) -> Pitch:
    """Begin a draft for a team in an open round; `continues` names the earlier pitch whose work it goes on with.

    Raises NotAllowed, WrongState, Refused (title_missing).
    """
    require(actor, "pitches.add_pitch", team, message="Only people of the team pitch for it.")
    title = title.strip()
    if not 1 <= len(title) <= 120:
        raise Refused("Give it a title of 1 to 120 characters.", code="title_missing", field="title")
    round_ = round_locked(round_)
    _require_open(round_)
    pitch = Pitch.objects.create(
        round=round_, team=team, owner=actor, title=title, draft={"title": title}, continues=continues
    )
    details: dict[str, object] = {"round": round_.name, "team": team.name}
    if copied_from is not None:
        details |= {"copied_from": copied_from.pk, "continues": continues.pk if continues else None}
    audit_record(actor=actor, verb="pitch.create", target=pitch, details=details)
    return pitch


@transaction.atomic
def draft_save(*, actor: User, pitch: Pitch, typed: Mapping[str, str], version: int) -> Pitch:
    """Keep what was typed, valid or not; `version` is the save that the typist had before their eyes.

    Whom it names as co-applicant may edit it from then on, and is told; only people of the team name them.
    Raises NotAllowed, WrongState, Refused (draft_too_long), DraftConflict.
    """
    pitch = Pitch.objects.select_for_update(of=("self",)).select_related("team", "round", "owner").get(pk=pitch.pk)
    require(actor, "pitches.write_pitch", pitch, message="Only people of the team and co-applicants write a pitch.")
    _require_editable(pitch)
    if pitch.draft_version != version:
        raise DraftConflict("Somebody else saved this draft meanwhile. Reload the page to see their version.")
    draft = {name: value.replace("\x00", "") for name, value in typed.items()}
    if sum(len(name) + len(value) for name, value in draft.items()) > LONGEST_DRAFT:
        raise Refused(f"A draft holds at most {LONGEST_DRAFT:,} characters.", code="draft_too_long")
    if draft == pitch.draft:
        return pitch
    applicants_name(actor=actor, pitch=pitch, draft=draft)
    Pitch.objects.filter(pk=pitch.pk).update(
        draft=draft,
        title=draft.get("title", "").strip()[:120],
        draft_version=version + 1,
        draft_saved_at=Now(),
    )
    pitch.refresh_from_db(fields=["draft", "title", "draft_version", "draft_saved_at"])
    return pitch


@transaction.atomic
def pitch_submit(*, actor: User, pitch: Pitch, content: PitchContent) -> PitchRevision:
    """Submit a pitch as its next revision, with the quote at the rate card of this moment.

    What comes back while its round is in review goes on there at once, where its screening was done.
    Raises NotAllowed, WrongState, Refused (deadline_past, own_sign_off, no_model, nothing_asked, checklist_missing,
    not_explained, question_missing, invalid, named_twice, bad_link, over_limit).
    """
    pitch = pitch_locked(pitch)
    require(actor, "pitches.submit_pitch", pitch, message="Only a lead of the team submits its pitches.")
    _require_editable(pitch)
    _require_accepting(pitch)
    if content.sign_off.pk in {pitch.owner_id, actor.pk}:
        raise Refused(
            "Somebody else than owner and submitter signs off the value.", code="own_sign_off", field="sign_off"
        )
    parts_require(pitch, content)
    quote = _quote(pitch.round, content)
    _require_within_limit(pitch.round, quote)
    revision = _revision_create(actor, pitch, content, quote)
    attachments_pin(revision)
    pitch.current = revision
    pitch.title = content.title
    pitch.return_note = ""
    pitch_move(
        actor=actor,
        pitch=pitch,
        to=PitchState.SUBMITTED,
        verb="pitch.submit",
        reason=f"Revision {revision.number}.",
        details={"revision": revision.number, "rate_card": quote.rate_card_version},
    )
    recusals_find(actor=actor, round_=pitch.round)
    if not review_resume(submitter=actor, pitch=pitch):
        again = "" if revision.number == 1 else f" came back as revision {revision.number}"
        tell_screeners(pitch, f"{pitch.team}: {content.title}{again or ' was submitted'}")
    return revision


def _quote(round_: Round, content: PitchContent) -> Quote:
    try:
        quote = quote_now([item.work for item in content.items], months=round_.months)
    except NoModel as error:
        raise Refused(str(error), code="no_model", field="items") from error
    if quote.total(Case.TARGET).expected <= 0:
        raise Refused("At target the ask is zero: say how many calls there are.", code="nothing_asked", field="items")
    return quote


def _require_within_limit(round_: Round, quote: Quote) -> None:
    limit = round_.fast_lane_limit
    if limit is not None and quote.period_total(Case.TARGET).expected > limit:
        raise Refused(
            f"The fast lane takes asks of at most {show(limit)}; pitch this one for a regular round.",
            code="over_limit",
            field="items",
        )


def _revision_create(actor: User, pitch: Pitch, content: PitchContent, quote: Quote) -> PitchRevision:
    last = pitch.revisions.order_by("-number").values_list("number", flat=True).first() or 0
    revision = PitchRevision.objects.create(
        pitch=pitch,
        number=last + 1,
        submitted_by=actor,
        title=content.title,
        summary=content.summary,
        problem=content.problem,
        value_kind=content.value_kind,
        value_p10=content.value_p10,
        value_p50=content.value_p50,
        value_p90=content.value_p90,
        value_metric=content.value_metric,
        value_method=content.value_method,
        evidence=content.evidence,
        sign_off=content.sign_off,
        accountable=content.accountable or pitch.owner,
        quality_bar=content.quality_bar,
        data_class=content.data_class,
        compliance_note=content.compliance_note,
        latency=content.latency,
        stop_behaviour=content.stop_behaviour,
        workflows="\n".join(item.workflow for item in content.items),
        months=quote.months,
        rate_card_version=quote.rate_card_version,
        **terms_kept(pitch.round, content),
    )
    LineItem.objects.bulk_create(
        LineItem(
            revision=revision,
            position=position,
            workflow=item.workflow,
            tier=item.tier,
            calls_min=item.calls_min,
            calls_target=item.calls_target,
            calls_stretch=item.calls_stretch,
            input_tokens=item.input_tokens,
            cached_tokens=item.cached_tokens,
            output_tokens=item.output_tokens,
            batch_percent=item.batch_percent,
            evidence=item.evidence,
        )
        for position, item in enumerate(content.items, start=1)
    )
    Milestone.objects.bulk_create(
        Milestone(revision=revision, position=position, title=milestone.title, due_on=milestone.due_on)
        for position, milestone in enumerate(content.milestones, start=1)
    )
    QuoteLine.objects.bulk_create(_quote_lines(revision, quote))
    parts_create(revision, content)
    return revision


def _quote_lines(revision: PitchRevision, quote: Quote) -> list[QuoteLine]:
    def lines(basis: Basis, costs_by_tier: Mapping[Tier, Costs]) -> list[QuoteLine]:
        found = []
        for tier, costs in costs_by_tier.items():
            for case, monthly in costs.items():
                cost = monthly.times(quote.months)
                found.append(
                    QuoteLine(
                        revision=revision,
                        basis=basis,
                        case=case,
                        tier=tier,
                        low=cost.low,
                        expected=cost.expected,
                        high=cost.high,
                    )
                )
        return found

    return lines(Basis.ASKED, quote.asked) + lines(Basis.WHOLE, quote.whole)


@transaction.atomic
def pitch_take_in(*, actor: User, pitch: Pitch) -> Pitch:
    """Take a submitted pitch into review. Raises NotAllowed or WrongState."""
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.screen_pitch", pitch, message="Only members without a conflict screen a pitch.")
    _require_round(pitch, RoundState.OPEN, RoundState.REVIEWING)
    if pitch.round.is_fast_lane:
        raise WrongState("A fast lane has no reviews: decide on the pitch.")
    pitch_move(actor=actor, pitch=pitch, to=PitchState.IN_REVIEW, verb="pitch.take_in", reason="It is complete.")
    assignments_make(actor=actor, round_=pitch.round)
    return pitch


@transaction.atomic
def pitch_return(*, actor: User, pitch: Pitch, note: str) -> Pitch:
    """Give a pitch back to its team with a note that says what is missing.

    Raises NotAllowed, WrongState, Refused (note_missing).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.screen_pitch", pitch, message="Only members without a conflict return a pitch.")
    _require_round(pitch, RoundState.OPEN, RoundState.REVIEWING)
    if len(note.strip()) < SHORTEST_NOTE:
        raise Refused("Say what the team should change.", code="note_missing", field="note")
    pitch.return_note = note.strip()
    pitch_move(actor=actor, pitch=pitch, to=PitchState.RETURNED, verb="pitch.return", reason=pitch.return_note)
    tell_team(pitch, f"{pitch} came back with a question", pitch.return_note)
    return pitch


@transaction.atomic
def pitch_withdraw(*, actor: User, pitch: Pitch, reason: str) -> Pitch:
    """Take a pitch out of its round for good. Raises NotAllowed, WrongState, Refused (reason_missing)."""
    pitch = pitch_locked(pitch)
    require(actor, "pitches.withdraw_pitch", pitch, message="Only a lead of the team withdraws its pitches.")
    require_reason(reason, "Give a reason; it stays in the history.")
    if pitch.state not in WITHDRAWABLE_PITCH:
        raise WrongState(f"A pitch that is {pitch.get_state_display().lower()} cannot be withdrawn.")
    if pitch.round.state == RoundState.DECIDING and pitch.state == PitchState.SHORTLISTED:
        raise WrongState("The committee is deciding; an offer can be declined when it comes.")
    pitch_move(actor=actor, pitch=pitch, to=PitchState.WITHDRAWN, verb="pitch.withdraw", reason=reason.strip())
    return pitch


@transaction.atomic
def pitch_carry_over(*, actor: User, pitch: Pitch, round_: Round) -> Pitch:
    """Move a draft that missed its round to an open one; a returned or deferred pitch continues there as a new draft.

    Returns the pitch to go on with. Raises NotAllowed or WrongState.
    """
    target = round_locked(round_)
    pitch = pitch_locked(pitch)
    require(actor, "pitches.change_pitch", pitch, message="Only people of the team move its pitches.")
    if pitch.state not in CONTINUABLE_PITCH:
        raise WrongState(f"A pitch that is {pitch.get_state_display().lower()} cannot be carried over.")
    _require_open(target)
    if _is_accepting(pitch):
        raise WrongState("Its own round still takes it.")
    if pitch.state == PitchState.DRAFT:
        before = pitch.round.name
        pitch.round = target
        pitch.save()
        details = {"from": before, "to": target.name}
        audit_record(actor=actor, verb="pitch.carry_over", target=pitch, details=details)
        return pitch
    onward = Pitch.objects.create(
        round=target, team=pitch.team, owner=pitch.owner, title=pitch.title, draft=pitch.draft
    )
    attachments_take_along(actor=actor, source=pitch, pitch=onward)
    audit_record(actor=actor, verb="pitch.create", target=onward, details={"continues": pitch.pk, "round": target.name})
    applicants_name(actor=actor, pitch=onward, draft=onward.draft)
    reason = f"Continued as {onward.number} in {target.name}."
    pitch_move(actor=actor, pitch=pitch, to=PitchState.WITHDRAWN, verb="pitch.withdraw", reason=reason)
    return onward


def _require_editable(pitch: Pitch) -> None:
    if pitch.state not in EDITABLE_PITCH:
        raise WrongState(f"A pitch that is {pitch.get_state_display().lower()} cannot be edited.")


def _require_open(round_: Round) -> None:
    if round_.state != RoundState.OPEN or round_.submissions_close_at <= datetime.now(UTC):
        raise WrongState(f"The round {round_.name} does not take pitches now.", code="deadline_past")


def _is_accepting(pitch: Pitch) -> bool:
    round_ = pitch.round
    if pitch.state == PitchState.RETURNED and round_.state in {RoundState.OPEN, RoundState.REVIEWING}:
        return True  # it was in time the first time
    return round_.state == RoundState.OPEN and round_.submissions_close_at > datetime.now(UTC)


def _require_accepting(pitch: Pitch) -> None:
    if not _is_accepting(pitch):
        raise WrongState(f"The round {pitch.round.name} does not take pitches now.", code="deadline_past")


def _require_round(pitch: Pitch, *states: RoundState) -> None:
    if pitch.round.state not in states:
        raise WrongState(f"The round {pitch.round.name} is {pitch.round.get_state_display().lower()}.")
