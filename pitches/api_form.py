"""The pitch form for programs: what a round asks, drafts, rows from CSV, estimates and quotes; the pages' own rules.

A draft is a flat mapping of field names to text, exactly as typed, valid or not; rows are named `items-0-workflow` and
so on, with `items-TOTAL_FORMS` as their number. Co-applicants are its rows `applicants-0-email`, `applicants-0-role`.
"""

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger.api_data import AmountField
from ledger.money import CURRENCY
from pitches import services
from pitches.api import PitchList, PitchSerializer
from pitches.api_doors import ReasonBody, StateAnswer, actor_of, said_in, shown_round, state_told, team_pitch
from pitches.asking import Asked, Check, Condition, Terms
from pitches.estimating import call_estimate
from pitches.forms.filling import LONGEST_SAMPLE
from pitches.forms.pitch import MOST_ROWS, PitchDraft, rows_put, rows_typed, typed_from
from pitches.forms.sheet import MOST_BYTES, Sheet, sheet_read
from pitches.models import Pitch, Round
from pitches.questions import Case, QuestionKind, SectionCode
from pitches.quotes import NoModel, Range
from pitches.selectors.asking import terms_of
from pitches.selectors.lists import with_ask
from pitches.selectors.pitches import pitches_visible_to
from pitches.selectors.quotes import quote_now
from pitches.selectors.revisions import QuoteTable, quote_table
from pitches.selectors.rounds import open_rounds
from pitches.transitions import EDITABLE_PITCH
from teams.api import Invalid
from teams.errors import Refused, WrongState
from teams.models import Scope, Team
from teams.selectors import is_member, teams_of

WRITE = "pitches.write_pitch"


# --- What a round asks ----------------------------------------------------------------------------


class ConditionData(serializers.Serializer[Any]):
    """The question is asked when the field has one of the answers."""

    field = serializers.CharField(max_length=40)
    answers = serializers.ListField(child=serializers.CharField(max_length=200))


class QuestionData(serializers.Serializer[Any]):
    """A question of the round; its answer stands in the draft under `answer-CODE`."""

    code = serializers.CharField(max_length=40)
    section = serializers.ChoiceField(SectionCode.choices, default=SectionCode.CASE.value)
    text = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(QuestionKind.choices, default=QuestionKind.TEXT.value)
    help = serializers.CharField(max_length=200, allow_blank=True, default="")
    choices = serializers.ListField(child=serializers.CharField(max_length=200), default=list)
    is_required = serializers.BooleanField(default=True)
    shown_when = ConditionData(allow_null=True, default=None)


class CheckData(serializers.Serializer[Any]):
    """A line of the compliance checklist; with `explain_no` the answer no needs an explanation."""

    code = serializers.CharField(max_length=40)
    text = serializers.CharField(max_length=200)
    explain_no = serializers.BooleanField(default=True)


class TermsData(serializers.Serializer[Any]):
    """Everything that a round asks beyond the form's own fields, in order."""

    questions = QuestionData(many=True)
    checklist = CheckData(many=True)

    def terms(self) -> Terms:
        """Return it for the service; ask `is_valid` first."""
        said = self.validated_data
        checks = tuple(Check(row["code"], row["text"], row["explain_no"]) for row in said["checklist"])
        return Terms(checks, tuple(_asked(row) for row in said["questions"]))


def _asked(row: dict[str, Any]) -> Asked:
    when = row["shown_when"]
    return Asked(
        code=row["code"],
        section=SectionCode(row["section"]),
        text=row["text"],
        kind=QuestionKind(row["kind"]),
        help=row["help"],
        choices=tuple(row["choices"]),
        required=row["is_required"],
        shown_when=Condition(when["field"], tuple(when["answers"])) if when else None,
    )


def _terms(round_: Round) -> dict[str, Any]:
    terms = terms_of(round_)
    questions = [
        {
            **{name: getattr(row, name) for name in ("code", "text", "help")},
            "section": row.section.value,
            "kind": row.kind.value,
            "choices": list(row.choices),
            "is_required": row.required,
            "shown_when": _when(row.shown_when),
        }
        for row in terms.questions
    ]
    checks = [{"code": row.code, "text": row.text, "explain_no": row.explain_no} for row in terms.checklist]
    return dict(TermsData({"questions": questions, "checklist": checks}).data)


def _when(condition: Condition | None) -> dict[str, Any] | None:
    return {"field": condition.field, "answers": list(condition.answers)} if condition else None


class RoundTerms(APIView):
    """What a round asks: for everybody who sees the round; set while it is prepared."""

    read_scope = Scope.PITCHES_READ
    write_scope = Scope.PITCHES_WRITE

    @extend_schema(responses=TermsData)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with questions and checklist."""
        return Response(_terms(shown_round(request, pk)))

    @extend_schema(request=TermsData, responses=TermsData)
    def put(self, request: Request, pk: int) -> Response:
        """Replace both."""
        round_, form = shown_round(request, pk), TermsData(data=request.data)
        said_in(form)
        services.terms_set(actor=actor_of(request), round_=round_, terms=form.terms())
        return Response(_terms(round_))


# --- Drafts ---------------------------------------------------------------------------------------


class PitchBody(serializers.Serializer[Any]):
    """A new draft: the round's id, the team's short name, a title."""

    round = serializers.IntegerField(min_value=1)
    team = serializers.SlugField(max_length=80)
    title = serializers.CharField(max_length=120)


class Pitches(PitchList):
    """The pitches that the caller may see, newest first; a new one is begun as a draft."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=PitchBody, responses={201: PitchSerializer})
    def post(self, request: Request) -> Response:
        """Begin a draft."""
        said, actor = said_in(PitchBody(data=request.data)), actor_of(request)
        round_, team = open_rounds().filter(pk=said["round"]).first(), _team(request, said["team"])
        if round_ is None:
            raise Refused("This round takes no new pitches.", code="not_open", field="round")
        made = services.pitch_create(actor=actor, round_=round_, team=team, title=said["title"])
        return Response(PitchSerializer(with_ask(pitches_visible_to(actor)).get(pk=made.pk)).data, status=201)


def _team(request: Request, slug: str) -> Team:
    team = teams_of(request.user).filter(slug=slug).first()
    if team is None:
        raise Refused("You belong to no such team.", code="other_team", field="team")
    return team


class SectionData(serializers.Serializer[Any]):
    """How many answers of a section are missing or wrong."""

    section = serializers.CharField()
    open = serializers.IntegerField()


class DraftData(serializers.Serializer[Any]):
    """A draft as it stands: `version` goes with the next save, `errors` say by field what stops a submission."""

    version = serializers.IntegerField()
    saved_at = serializers.DateTimeField(allow_null=True)
    typed = serializers.DictField(child=serializers.CharField())
    progress = SectionData(many=True)
    faults = serializers.DictField(child=serializers.ListField(child=serializers.CharField()))


class DraftBody(serializers.Serializer[Any]):
    """A whole draft, and the version that the caller had before their eyes."""

    version = serializers.IntegerField(min_value=0)
    typed = serializers.DictField(child=serializers.CharField(allow_blank=True, trim_whitespace=False))


class DraftTaken(WrongState):
    """Somebody else saved the draft in between: read it again, then save."""

    code = services.DraftConflict.code


def _editable(request: Request, pk: int) -> Pitch:
    pitch = team_pitch(request, pk, WRITE)
    if pitch.state not in EDITABLE_PITCH:
        raise WrongState("This pitch is not being written.")
    return pitch


def _typed(request: Request, pitch: Pitch, sent: dict[str, str]) -> dict[str, str]:
    terms = terms_of(pitch.round)
    typed = typed_from(sent, terms)
    if unknown := sorted(name for name, text in sent.items() if text and name not in typed):
        raise Invalid("There is no such field.", {name: ["There is no such field."] for name in unknown})
    if is_member(request.user, pitch.team):
        return typed
    # A co-applicant is not asked who applies; the answer stays what the team made it.
    return rows_put(typed, "applicants", rows_typed(pitch.draft, "applicants"))


def _save(request: Request, pitch: Pitch, typed: dict[str, str], version: int) -> Pitch:
    try:
        return services.draft_save(actor=actor_of(request), pitch=pitch, typed=typed, version=version)
    except services.DraftConflict as error:
        raise DraftTaken(error.message) from error


def _draft(pitch: Pitch) -> dict[str, Any]:
    draft = PitchDraft(pitch.draft, pitch)
    told = {
        "version": pitch.draft_version,
        "saved_at": pitch.draft_saved_at,
        "typed": pitch.draft,
        "progress": [{"section": row.section.code.value, "open": row.open} for row in draft.progress()],
        "faults": draft.messages(),
    }
    return dict(DraftData(told).data)


class PitchDraftView(APIView):
    """What was typed into the form so far."""

    read_scope = Scope.PITCHES_READ
    write_scope = Scope.PITCHES_WRITE

    @extend_schema(responses=DraftData)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with it, for the team and its co-applicants."""
        return Response(_draft(_editable(request, pk)))

    @extend_schema(request=DraftBody, responses=DraftData)
    def put(self, request: Request, pk: int) -> Response:
        """Save it whole; `draft_conflict` (409) when somebody else saved in between."""
        pitch, said = _editable(request, pk), said_in(DraftBody(data=request.data))
        return Response(_draft(_save(request, pitch, _typed(request, pitch, said["typed"]), said["version"])))


# --- Rows from a CSV ------------------------------------------------------------------------------


class ImportBody(serializers.Serializer[Any]):
    """Line items as CSV with a header line; `dry_run` only checks them."""

    text = serializers.CharField(max_length=MOST_BYTES, trim_whitespace=False)
    version = serializers.IntegerField(min_value=0)
    replace = serializers.BooleanField(default=True, help_text="Or keep the rows that are there and add these.")
    dry_run = serializers.BooleanField(default=False)


class ProblemData(serializers.Serializer[Any]):
    """What is wrong, on which line and in which column; no column: with the line as a whole."""

    line = serializers.IntegerField()
    column = serializers.CharField()
    message = serializers.CharField()


class ImportData(serializers.Serializer[Any]):
    """What a file says: all of it is imported, or with a problem nothing."""

    imported = serializers.BooleanField()
    rows = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    problems = ProblemData(many=True)
    version = serializers.IntegerField(help_text="The version of the draft now.")


class ItemsImport(APIView):
    """Line items of a draft from a CSV file."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ImportBody, responses={200: ImportData, 422: ImportData})
    def post(self, request: Request, pk: int) -> Response:
        """Check the lines and import them, all or nothing; 422 with the problems."""
        pitch, said = _editable(request, pk), said_in(ImportBody(data=request.data))
        sheet = sheet_read(said["text"])
        kept = [] if said["replace"] else rows_typed(pitch.draft, "items")
        if sheet.is_good and len(kept) + len(sheet.rows) > MOST_ROWS:
            words = f"A pitch has at most {MOST_ROWS} workflows; {len(kept)} are there."
            raise Refused(words, code="too_many", field="text")
        is_done = sheet.is_good and not said["dry_run"]
        if is_done:
            typed = rows_put(pitch.draft, "items", [*kept, *sheet.rows])
            pitch = _save(request, pitch, typed, said["version"])
        code = status.HTTP_200_OK if sheet.is_good else status.HTTP_422_UNPROCESSABLE_ENTITY
        return Response(_imported(pitch, sheet, is_done), status=code)


def _imported(pitch: Pitch, sheet: Sheet, is_done: bool) -> dict[str, Any]:
    told = {"imported": is_done, "rows": sheet.rows, "problems": sheet.problems, "version": pitch.draft_version}
    return dict(ImportData(told).data)


# --- Estimates and quotes -------------------------------------------------------------------------


class SampleBody(serializers.Serializer[Any]):
    """A sample call; `fixed` is what stands before every prompt. Nothing of it is kept."""

    fixed = serializers.CharField(max_length=LONGEST_SAMPLE, allow_blank=True, trim_whitespace=False, default="")
    prompt = serializers.CharField(max_length=LONGEST_SAMPLE, trim_whitespace=False)
    answer = serializers.CharField(max_length=LONGEST_SAMPLE, trim_whitespace=False)


class TokensData(serializers.Serializer[Any]):
    """A number of tokens: at least about, expected, at most about."""

    low = serializers.IntegerField()
    expected = serializers.IntegerField()
    high = serializers.IntegerField()


class EstimateData(serializers.Serializer[Any]):
    """Tokens of one call: what goes in, of that the part from the cache, and what comes out."""

    input = TokensData()
    cached = TokensData()
    output = TokensData()


class TokenEstimate(APIView):
    """How many tokens a call is, estimated from a sample."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=SampleBody, responses=EstimateData)
    def post(self, request: Request, pk: int) -> Response:
        """Answer with the estimate."""
        _editable(request, pk)
        return Response(EstimateData(call_estimate(**said_in(SampleBody(data=request.data)))).data)


class QuoteBody(serializers.Serializer[Any]):
    """A draft to price instead of the one that is saved."""

    typed = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False), allow_null=True, default=None
    )


class RangeData(serializers.Serializer[Any]):
    """A cost in USD: cheapest model, expected, dearest model."""

    low = AmountField()
    expected = AmountField()
    high = AmountField()


class TierQuoteData(serializers.Serializer[Any]):
    """What the whole work costs on one tier a month and over the period, by case, and what is asked of it; USD."""

    tier = serializers.CharField()
    asked = AmountField()
    month = serializers.DictField(child=RangeData())
    period = serializers.DictField(child=RangeData())


class QuoteData(serializers.Serializer[Any]):
    """A quote at the rate card of this moment; `unpriced` rows were begun and cannot be priced yet."""

    currency = serializers.CharField()
    months = serializers.IntegerField()
    rate_card_version = serializers.IntegerField()
    ask = AmountField()
    asked_month = serializers.DictField(child=RangeData())
    asked_period = serializers.DictField(child=RangeData())
    tiers = TierQuoteData(many=True)
    unpriced = serializers.IntegerField()


class DraftQuote(APIView):
    """What a draft costs, without saving anything."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=QuoteBody, responses=QuoteData)
    def post(self, request: Request, pk: int) -> Response:
        """Price what was sent, or the draft as it is saved."""
        pitch, said = _editable(request, pk), said_in(QuoteBody(data=request.data))
        typed = pitch.draft if said["typed"] is None else _typed(request, pitch, said["typed"])
        draft = PitchDraft(typed, pitch)
        if not draft.works:
            raise Refused("There is no row yet that can be priced.", code="nothing_asked", field="items")
        try:
            table = quote_table(quote_now(draft.works, months=pitch.round.months))
        except NoModel as error:
            raise Refused(str(error), code="no_model", field="items") from error
        return Response(_quoted(table, draft.unpriced))


def _quoted(table: QuoteTable, unpriced: int) -> dict[str, Any]:
    told = {
        "currency": CURRENCY,
        "months": table.months,
        "rate_card_version": table.rate_card_version,
        "ask": table.ask,
        "asked_month": _cases(table.asked_month),
        "asked_period": _cases(table.asked_period),
        "tiers": [
            {"tier": row.tier.value, "asked": row.asked, "month": _cases(row.month), "period": _cases(row.period)}
            for row in table.tiers
        ],
        "unpriced": unpriced,
    }
    return dict(QuoteData(told).data)


def _cases(costs: Any) -> dict[str, Range]:
    return {case.value: costs[case] for case in Case}


# --- Out of a round, or on to the next ------------------------------------------------------------


class PitchWithdraw(APIView):
    """A pitch leaves its round for good."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=ReasonBody, responses=StateAnswer)
    def post(self, request: Request, pk: int) -> Response:
        """Withdraw it as a lead of its team."""
        pitch, said = team_pitch(request, pk, "pitches.view_pitch"), said_in(ReasonBody(data=request.data))
        made = services.pitch_withdraw(actor=actor_of(request), pitch=pitch, reason=said["reason"])
        return Response(state_told(made))


class CarryBody(serializers.Serializer[Any]):
    """The open round that a draft goes on in."""

    round = serializers.IntegerField(min_value=1)


class CarriedAnswer(StateAnswer):
    """The draft as it goes on, and its round."""

    round = serializers.IntegerField()


class PitchCarryOver(APIView):
    """A draft that missed its round goes on in another one."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=CarryBody, responses=CarriedAnswer)
    def post(self, request: Request, pk: int) -> Response:
        """Carry it over."""
        pitch, said = team_pitch(request, pk, "pitches.change_pitch"), said_in(CarryBody(data=request.data))
        target = get_object_or_404(open_rounds(), pk=said["round"])
        made = services.pitch_carry_over(actor=actor_of(request), pitch=pitch, round_=target)
        return Response({**state_told(made), "round": made.round_id})
