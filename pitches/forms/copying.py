"""A revision as somebody would have typed it, and the form that begins a pitch from an earlier one."""

from typing import Any

from django import forms

from ledger.money import plain
from pitches.forms.answers import NewPitchForm
from pitches.forms.rows import ItemForm, rows_put
from pitches.models import LineItem, Pitch, PitchRevision
from pitches.selectors.earlier import pitches_to_copy
from teams.models import User

PLAIN = (
    "title",
    "summary",
    "problem",
    "value_kind",
    "value_metric",
    "value_method",
    "evidence",
    "quality_bar",
    "data_class",
    "compliance_note",
    "latency",
    "stop_behaviour",
)


def typed_of(revision: PitchRevision) -> dict[str, str]:
    """Return a revision as the draft that says the same: `PitchDraft(typed_of(revision)).content()` is its content.

    Ties to other pitches are left out: they hold within one round.
    """
    typed = {name: str(getattr(revision, name)) for name in PLAIN}
    typed |= {name: plain(getattr(revision, name)) for name in ("value_p10", "value_p50", "value_p90")}
    typed["sign_off"] = revision.sign_off.email
    typed["accountable"] = revision.accountable.email if revision.accountable else ""
    typed |= {f"compliance-{code}": answer for code, answer in revision.compliance.items()}
    typed |= {f"question-{code}": answer for code, answer in revision.answers.items()}
    typed = {name: text for name, text in typed.items() if text}
    for prefix, rows in _rows(revision).items():
        if rows:
            typed = rows_put(typed, prefix, rows)
    return typed


def _rows(revision: PitchRevision) -> dict[str, list[dict[str, str]]]:
    milestones = revision.milestones.order_by("position")
    applicants = revision.applicants.select_related("user").order_by("position")
    quality = revision.quality.order_by("pk")
    return {
        "items": [_item(item) for item in revision.line_items.order_by("position")],
        "milestones": [{"title": row.title, "due_on": row.due_on.isoformat()} for row in milestones],
        "applicants": [{"email": row.user.email, "role": row.role} for row in applicants],
        "quality": [
            {"tier": row.tier, "percent": plain(row.quality * 100), "evidence": row.evidence} for row in quality
        ],
    }


def _item(item: LineItem) -> dict[str, str]:
    return {name: str(getattr(item, name)) for name in ItemForm.base_fields}


def typed_last(pitch: Pitch) -> dict[str, str]:
    """Return what was last typed for a pitch, or what it last submitted when that came after."""
    revision = pitch.revisions.select_related("sign_off", "accountable").order_by("-number").first()
    if revision is None or (pitch.state == "returned" and pitch.draft_saved_at > revision.submitted_at):
        return dict(pitch.draft)
    return typed_of(revision)


class BeginForm(NewPitchForm):
    """What a draft begins with: a title, or an earlier pitch to copy or to continue."""

    source: "forms.ModelChoiceField[Pitch]" = forms.ModelChoiceField(
        Pitch.objects.none(),
        label="Begin with",
        required=False,
        empty_label="An empty form",
        help_text="An earlier pitch of your teams: its text and its files come along, and you can change all of them.",
    )
    how = forms.ChoiceField(
        label="What the earlier pitch is to this one",
        choices=[
            ("copy", "Copy it: its text and files are used, nothing else"),
            ("continue", "Continue it: the same, and the committee sees what came of it"),
        ],
        widget=forms.RadioSelect,
        initial="copy",
        required=False,
    )
    field_order = ("source", "how", "title", "team", "round")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, user=user, **kwargs)
        self.earlier = pitches_to_copy(user)
        source: Any = self.fields["source"]
        source.queryset, source.label_from_instance = self.earlier, _label
        self.fields["title"].required = False
        self.fields["title"].help_text = "You can change it until you submit. Blank: the title of the earlier pitch."
        if not self.earlier.exists():
            del self.fields["source"], self.fields["how"]
            self.fields["title"].required = True
            self.fields["title"].help_text = "You can change it until you submit."

    def clean(self) -> dict[str, Any]:
        """Ask for a title where no earlier pitch brings one."""
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if not said.get("source") and not said.get("title") and "title" not in self.errors:
            self.add_error("title", forms.ValidationError("Give it a title.", code="required"))
        return said


def _label(pitch: Pitch) -> str:
    return f"{pitch.number} {pitch} ({pitch.team}, {pitch.round}, {pitch.get_state_display().lower()})"
