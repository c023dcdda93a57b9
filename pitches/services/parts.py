"""The parts of a revision beyond its own fields: answers, checklist, co-applicants, quality by tier, ties."""

from typing import Any

from pitches.asking import answers_kept, checklist_require
from pitches.content import PitchContent
from pitches.models import CoApplicant, Pitch, PitchLink, PitchRevision, RevisionQuality, Round
from pitches.selectors.applicants import pitches_linkable
from pitches.selectors.asking import terms_of
from teams.errors import Refused


def parts_require(pitch: Pitch, content: PitchContent) -> None:
    """Let a submission go on only when its rows make sense together.

    Raises Refused (own_sign_off, named_twice, bad_link) with the field of the first row that does not.
    """
    _require_once("applicants", "email", [row.user.pk for row in content.applicants])
    _require_once("quality", "tier", [row.tier for row in content.quality])
    _require_once("links", "number", [row.other.pk for row in content.links])
    if content.accountable is not None and content.accountable.pk == content.sign_off.pk:
        raise Refused("Who is accountable does not sign off as well.", code="own_sign_off", field="accountable")
    for place, applicant in enumerate(content.applicants):
        if applicant.user.pk == content.sign_off.pk:
            field = f"applicants-{place}-email"
            raise Refused("Who signs off the value does not apply as well.", code="own_sign_off", field=field)
    linkable = pitches_linkable(pitch, [row.other.pk for row in content.links])
    for place, link in enumerate(content.links):
        if link.other.pk not in linkable:
            raise Refused("There is no such pitch in this round.", code="bad_link", field=f"links-{place}-number")


def _require_once(rows: str, name: str, keys: list[Any]) -> None:
    for place, key in enumerate(keys):
        if key in keys[:place]:
            raise Refused("Named twice.", code="named_twice", field=f"{rows}-{place}-{name}")


def terms_kept(round_: Round, content: PitchContent) -> dict[str, Any]:
    """Return the columns of a revision that keep what its round asked, and the answers.

    Raises Refused (checklist_missing, not_explained, question_missing, invalid) with the field.
    """
    terms = terms_of(round_)
    checklist_require(terms.checklist, content.compliance, content.compliance_note)
    kept = answers_kept(terms.questions, content.own_choices, content.answers)
    return {
        "compliance": {check.code: content.compliance[check.code] for check in terms.checklist},
        "checklist": [{"code": check.code, "text": check.text} for check in terms.checklist],
        "answers": kept,
        "questions": [
            {"code": question.code, "section": question.section, "text": question.text, "kind": question.kind}
            for question in terms.questions
            if question.code in kept
        ],
    }


def parts_create(revision: PitchRevision, content: PitchContent) -> None:
    """Write the rows of a new revision, in its own transaction."""
    CoApplicant.objects.bulk_create(
        CoApplicant(revision=revision, user=row.user, role=row.role, position=position)
        for position, row in enumerate(content.applicants, start=1)
    )
    RevisionQuality.objects.bulk_create(
        RevisionQuality(revision=revision, tier=row.tier, quality=row.quality, evidence=row.evidence)
        for row in content.quality
    )
    PitchLink.objects.bulk_create(PitchLink(revision=revision, kind=row.kind, other=row.other) for row in content.links)
