"""Pages that fill the rows of an ask: from a CSV file, from a sample call, from what a key used."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from ledger.models import Tier
from pitches import services
from pitches.estimating import CACHED_FROM, CallEstimate, call_estimate
from pitches.forms.filling import KeyForm, SampleForm, SheetForm
from pitches.forms.pitch import MOST_ROWS, rows_put, rows_typed
from pitches.forms.sheet import COLUMNS, MOST_BYTES, NEEDED, TEMPLATE, Problem, Sheet
from pitches.models import Pitch
from pitches.questions import Case, Evidence
from pitches.quotes import NoModel, Range, Work
from pitches.selectors.measured import KeyMeasure, TierUse, key_measure, keys_of_team
from pitches.selectors.quotes import quote_now
from pitches.transitions import EDITABLE_PITCH
from pitches.views.pitches import pitch_or_404
from teams.access import UserRequest, members_only
from teams.errors import Refused, WrongState
from teams.forms import form_refuse, form_status
from teams.typed import whole_in


def _pitch(request: UserRequest, pk: int, permission: str = "pitches.write_pitch") -> Pitch:
    pitch = pitch_or_404(request, pk, permission)
    if pitch.state not in EDITABLE_PITCH:
        raise Http404
    return pitch


def _rows_save(request: UserRequest, pitch: Pitch, rows: list[dict[str, str]], *, replace: bool) -> None:
    """Put rows into the draft as it was when the page was opened. Raises Refused (too_many, draft_conflict)."""
    kept = [] if replace else rows_typed(pitch.draft, "items")
    if len(kept) + len(rows) > MOST_ROWS:
        raise Refused(f"A pitch has at most {MOST_ROWS} workflows; {len(kept)} are there.", code="too_many")
    typed = rows_put(pitch.draft, "items", [*kept, *rows])
    services.draft_save(actor=request.user, pitch=pitch, typed=typed, version=_version(request))


def _version(request: UserRequest) -> int:
    return whole_in(request.POST.get("version", ""), -1, digits=8)


def _to_rows(request: UserRequest, pitch: Pitch, count: int) -> HttpResponse:
    messages.success(request, f"{count} workflow{'' if count == 1 else 's'} filled in. Check the numbers.")
    return redirect(reverse("pitches:edit", args=[pitch.pk]) + "#items")


@members_only
def items_template(request: UserRequest, pk: int) -> HttpResponse:
    """Answer with a CSV file that has the header and one example."""
    _pitch(request, pk)
    headers = {"Content-Disposition": 'attachment; filename="workflows.csv"'}
    return HttpResponse(TEMPLATE, content_type="text/csv; charset=utf-8", headers=headers)


@members_only
def items_import(request: UserRequest, pk: int) -> HttpResponse:
    """Check a CSV file and show what it says; import it, all or nothing."""
    pitch = _pitch(request, pk)
    if request.method != "POST":
        return _import_page(request, pitch, SheetForm(), None)
    form = SheetForm(request.POST, request.FILES)
    if not form.is_valid():
        return _import_page(request, pitch, form, None)
    sheet, replace = form.sheet(), form.cleaned_data["mode"] == "replace"
    # What was uploaded stands in the text field from now on: a browser forgets a file between two pages.
    again = SheetForm({"text": form.lines, "mode": form.cleaned_data["mode"]})
    if sheet.is_good and request.POST.get("intent") == "import":
        try:
            _rows_save(request, pitch, sheet.rows, replace=replace)
        except Refused as error:
            form_refuse(again, error)
        else:
            return _to_rows(request, pitch, len(sheet.rows))
    elif sheet.is_good and not replace:
        kept = len(rows_typed(pitch.draft, "items"))
        if kept + len(sheet.rows) > MOST_ROWS:
            sheet.problems.append(Problem(1, "", f"With the {kept} that are there, more than {MOST_ROWS} rows."))
    return _import_page(request, pitch, again, sheet)


def _import_page(request: UserRequest, pitch: Pitch, form: SheetForm, sheet: Sheet | None) -> HttpResponse:
    status = 422 if sheet is not None and not sheet.is_good else form_status(form)
    context = {
        "pitch": pitch,
        "form": form,
        "sheet": sheet,
        "columns": [(name, name in NEEDED) for name in COLUMNS],
        "most_rows": MOST_ROWS,
        "most_bytes": MOST_BYTES,
    }
    return render(request, "pitches/items_import.html", context, status=status)


@members_only
def estimate(request: UserRequest, pk: int) -> HttpResponse:
    """Estimate a workflow from a sample call; nothing of the sample is kept."""
    pitch = _pitch(request, pk)
    form = SampleForm(request.POST or None)
    context: dict[str, Any] = {"pitch": pitch, "form": form, "cached_from": CACHED_FROM}
    if request.method == "POST" and form.is_valid():
        found = call_estimate(**{name: form.cleaned_data[name] for name in ("fixed", "prompt", "answer")})
        if request.POST.get("intent") == "use":
            try:
                _rows_save(request, pitch, [_estimated_row(form, found)], replace=False)
            except Refused as error:
                form_refuse(form, error)
            else:
                return _to_rows(request, pitch, 1)
        context |= {"found": found, **_estimate_costs(form, found)}
    part = request.htmx and request.POST.get("intent") != "use"
    template = "pitches/parts/estimate.html" if part else "pitches/estimate.html"
    return render(request, template, context, status=form_status(form))


def _estimated_row(form: SampleForm, found: CallEstimate) -> dict[str, str]:
    said = form.cleaned_data
    return {
        "workflow": said["workflow"],
        "tier": said["tier"],
        "calls_target": str(said["calls_target"]),
        "input_tokens": str(found.input.expected),
        "cached_tokens": str(found.cached.expected),
        "output_tokens": str(found.output.expected),
        # One sample says how long a text is, not how many there will be.
        "evidence": Evidence.GUESS.value,
    }


def _estimate_costs(form: SampleForm, found: CallEstimate) -> dict[str, Any]:
    tier, calls = Tier(form.cleaned_data["tier"]), form.cleaned_data["calls_target"]

    def month(place: str) -> Range:
        tokens_in, cached, out = (getattr(part, place) for part in (found.input, found.cached, found.output))
        work = Work(tier, dict.fromkeys(Case, calls), tokens_in, cached, out)
        return quote_now([work], months=1).total(Case.TARGET)

    try:
        return {"month": Range(month("low").low, month("expected").expected, month("high").high)}
    except NoModel as error:
        return {"problem": str(error)}


@members_only
def from_key(request: UserRequest, pk: int) -> HttpResponse:
    """Show what one of the team's keys used, and fill rows with it."""
    pitch = _pitch(request, pk, "pitches.change_pitch")
    keys = keys_of_team(pitch.team)
    form = KeyForm(request.POST or request.GET or None, keys=keys)
    context: dict[str, Any] = {"pitch": pitch, "form": form, "has_keys": keys.exists()}
    if form.is_bound and form.is_valid():
        measure = key_measure(form.cleaned_data["key"], days=form.cleaned_data["days"])
        if request.method == "POST":
            try:
                return _use_measured(request, pitch, measure)
            except Refused as error:
                form_refuse(form, error)
        context["measure"] = measure
    return render(request, "pitches/from_key.html", context, status=form_status(form))


def _use_measured(request: UserRequest, pitch: Pitch, measure: KeyMeasure) -> HttpResponse:
    wanted = request.POST.get("tier", "")
    uses = [use for use in measure.tiers if wanted in {"all", use.tier.value}]
    if not uses:
        raise WrongState("This key used nothing there.")
    _rows_save(request, pitch, [_measured_row(measure, use) for use in uses], replace=False)
    return _to_rows(request, pitch, len(uses))


def _measured_row(measure: KeyMeasure, use: TierUse) -> dict[str, str]:
    name = measure.key.name if len(measure.tiers) == 1 else f"{measure.key.name}, {use.tier.label.lower()}"
    return {
        "workflow": name[:80],
        "tier": use.tier.value,
        "calls_target": str(use.calls_a_month),
        "input_tokens": str(use.input),
        "cached_tokens": str(use.cached),
        "output_tokens": str(use.output),
        "evidence": Evidence.MEASURED.value,
    }
