"""Pitches: who sees which, what a revision holds, what happened."""

from django.db.models import F, Prefetch, Q, QuerySet, Value

from pitches.models import (
    CoApplicant,
    LineItem,
    Milestone,
    Pitch,
    PitchLink,
    PitchRevision,
    QuoteLine,
    RevisionAttachment,
    RevisionQuality,
)
from pitches.selectors.applicants import applying
from pitches.selectors.conflicts import HasConflict
from pitches.selectors.rounds import rounds_seated
from pitches.selectors.seals import unsealed_to
from pitches.transitions import DECISIONS_PUBLIC, PRIVATE_PITCH
from teams.models import AuditEvent, Role
from teams.selectors import Person, has_role, history_of, standing

STATED = ("team", "team__business_unit", "round", "owner", "current")


def pitches_of_teams(user: Person) -> QuerySet[Pitch]:
    """Return the pitches of somebody's own teams, and those where they are co-applicant, newest first."""
    teams = [pk for pk, _ in standing(user).teams]
    return Pitch.objects.filter(Q(team__in=teams) | applying(user)).select_related(*STATED).order_by("-pk")


def pitches_visible_to(user: Person) -> QuerySet[Pitch]:
    """Return the pitches that somebody may open, newest first.

    Own teams, co-applicants and headed units see all of theirs; once the seal is open, finance and auditors see what
    was submitted anywhere, and the committee what was submitted to its rounds, without what a member is recused from:
    until its round is decided that is closed to them even as finance or auditor. The same rule for one pitch is the
    permission `pitches.view_pitch`.
    """
    own = standing(user)
    inside = Q(team__in=[pk for pk, _ in own.teams]) | Q(team__business_unit__in=own.units) | applying(user)
    shown = ~Q(state__in=PRIVATE_PITCH) & Q(current__isnull=False) & unsealed_to(user)
    seated = list(rounds_seated(user).values_list("pk", flat=True))
    recused = Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), round__in=seated)
    if has_role(user, Role.FINANCE, Role.AUDITOR):
        undecided = recused.exclude(round__state__in=DECISIONS_PUBLIC)
        outside = shown & ~Q(pk__in=undecided.values("pk")) if seated else shown
    else:
        outside = shown & Q(round__in=seated) & ~Q(pk__in=recused.values("pk"))
    # Subqueries and not joins: a join would count an ask once for every seat.
    return Pitch.objects.filter(inside | outside).select_related(*STATED).order_by("-pk")


def is_shown(pitch: Pitch) -> bool:
    """Say whether a pitch was ever submitted, so that people outside the team may see it."""
    return pitch.state not in PRIVATE_PITCH and pitch.current_id is not None


def revision_whole(pitch: Pitch, number: int | None = None) -> PitchRevision | None:
    """Return a revision (by default the current one) with everything that belongs to it in nine queries."""
    revisions = (
        PitchRevision.objects.filter(pitch=pitch)
        .select_related("submitted_by", "sign_off", "accountable", "pitch__owner", "pitch__team__business_unit")
        .prefetch_related(
            Prefetch("line_items", LineItem.objects.order_by("position")),
            Prefetch("milestones", Milestone.objects.order_by("position")),
            Prefetch("quote_lines", QuoteLine.objects.order_by("pk")),
            Prefetch(
                "revision_attachments",
                RevisionAttachment.objects.order_by("position")
                .select_related("attachment")
                .defer("attachment__content"),
            ),
            Prefetch("applicants", CoApplicant.objects.select_related("user").order_by("position")),
            Prefetch("quality", RevisionQuality.objects.order_by("pk")),
            Prefetch("links", PitchLink.objects.select_related("other__current").order_by("pk")),
        )
    )
    if number is None:
        return revisions.filter(pk=pitch.current_id).first() if pitch.current_id else None
    return revisions.filter(number=number).first()


def revisions_of(pitch: Pitch) -> list[PitchRevision]:
    """Return what was submitted so far, newest first."""
    return list(pitch.revisions.select_related("submitted_by").order_by("-number"))


PUBLIC_VERBS = frozenset(
    {
        "pitch.create",
        "pitch.submit",
        "pitch.return",
        "pitch.take_in",
        "pitch.withdraw",
        "pitch.carry_over",
        "pitch.shortlist",
        "pitch.offer",
        "pitch.waitlist",
        "pitch.decline",
        "pitch.defer",
        "pitch.lapse",
        "pitch.fund",
        "pitch.counter",
        "pitch.counter_withdraw",
        "pitch.counter_accept",
        "pitch.counter_refuse",
        "pitch.counter_answer",
        "pitch.promote",
        "pitch.pass_over",
        "pitch.applicant_add",
        "pitch.applicant_remove",
        "pitch.peek",
        "pitch.screen",
        "pitch.wait",
    }
)
"""What the team may read in the history: no conflicts, reviews, ballots or tentative decisions."""


def history_shown(pitch: Pitch) -> list[AuditEvent]:
    """Return what happened to a pitch as its team may read it, newest first."""
    return [event for event in history_of("pitches.pitch", pitch.pk, limit=200) if event.verb in PUBLIC_VERBS]
