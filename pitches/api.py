"""Rounds and pitches for programs, under the same rules as the pages."""

from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger.api_data import AmountField
from ledger.money import CURRENCY
from pitches import services
from pitches.forms.pitch import PitchDraft
from pitches.models import (
    CoApplicant,
    LineItem,
    Milestone,
    Pitch,
    PitchLink,
    PitchRevision,
    QuoteLine,
    RevisionQuality,
    Round,
)
from pitches.selectors.lists import with_ask
from pitches.selectors.pitches import pitches_visible_to, revision_whole
from pitches.selectors.rounds import rounds_visible_to
from teams.access import find_or_404
from teams.api import Invalid, Pages
from teams.models import Scope, User


class RoundSerializer(serializers.ModelSerializer[Round]):
    """A round: its money, its rules, its calendar."""

    currency = serializers.SerializerMethodField()
    cap = AmountField()
    awardable = AmountField()
    ends_on = serializers.DateField(read_only=True)
    fast_lane_limit = AmountField(allow_null=True)

    class Meta:
        model = Round
        fields: ClassVar = [
            "id",
            "name",
            "kind",
            "state",
            "currency",
            "cap",
            "awardable",
            "reserve_share",
            "hurdle",
            "quorum",
            "team_cap",
            "frontier_cap",
            "reviews_per_pitch",
            "fast_lane_limit",
            "recurs_months",
            "unsealed_at",
            "time_zone",
            "submissions_close_at",
            "reviews_close_at",
            "voting_closes_at",
            "answers_due_at",
            "starts_on",
            "ends_on",
            "months",
            "seed_hash",
            "seed",
        ]

    def get_currency(self, round_: Round) -> str:
        """Return the currency of every amount of a round."""
        return CURRENCY


class PitchSerializer(serializers.ModelSerializer[Pitch]):
    """A pitch in a list; `ask` is over the round's months, None before the first submission."""

    number = serializers.CharField(read_only=True)
    team = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    ask = AmountField(allow_null=True)
    revision = serializers.IntegerField(source="current.number", default=None, read_only=True)

    class Meta:
        model = Pitch
        fields: ClassVar = ["id", "number", "title", "team", "round", "state", "ask", "revision", "return_note"]


class LineItemSerializer(serializers.ModelSerializer[LineItem]):
    """One workflow of the ask: calls per month, tokens per call."""

    class Meta:
        model = LineItem
        fields: ClassVar = [
            "workflow",
            "tier",
            "calls_min",
            "calls_target",
            "calls_stretch",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
            "batch_percent",
            "evidence",
        ]


class QuoteLineSerializer(serializers.ModelSerializer[QuoteLine]):
    """What the work costs over the period on one tier, in USD."""

    low = AmountField()
    expected = AmountField()
    high = AmountField()

    class Meta:
        model = QuoteLine
        fields: ClassVar = ["basis", "case", "tier", "low", "expected", "high"]


class MilestoneSerializer(serializers.ModelSerializer[Milestone]):
    """What will be shown by when."""

    class Meta:
        model = Milestone
        fields: ClassVar = ["title", "due_on"]


class CoApplicantSerializer(serializers.ModelSerializer[CoApplicant]):
    """Somebody who applies together with the team."""

    email = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = CoApplicant
        fields: ClassVar = ["email", "role"]


class QualitySerializer(serializers.ModelSerializer[RevisionQuality]):
    """Quality of a tier on the team's own eval, above 0 up to 1; the tiers asked for count as 1."""

    class Meta:
        model = RevisionQuality
        fields: ClassVar = ["tier", "quality", "evidence"]


class LinkSerializer(serializers.ModelSerializer[PitchLink]):
    """A tie to another pitch of the round."""

    number = serializers.CharField(source="other.number", read_only=True)

    class Meta:
        model = PitchLink
        fields: ClassVar = ["kind", "number"]


class AnswerSerializer(serializers.Serializer[Any]):
    """A question of the round as it was asked, with its answer as text."""

    code = serializers.CharField()
    question = serializers.CharField()
    answer = serializers.CharField()


class RevisionSerializer(serializers.ModelSerializer[PitchRevision]):
    """What was submitted."""

    value_p10 = AmountField()
    value_p50 = AmountField()
    value_p90 = AmountField()
    sign_off = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    accountable = serializers.SlugRelatedField[Any](slug_field="email", read_only=True)
    answers = serializers.SerializerMethodField()
    line_items = LineItemSerializer(many=True, read_only=True)
    milestones = MilestoneSerializer(many=True, read_only=True)
    co_applicants = CoApplicantSerializer(source="applicants", many=True, read_only=True)
    quality = QualitySerializer(many=True, read_only=True)
    links = LinkSerializer(many=True, read_only=True)
    quote = QuoteLineSerializer(source="quote_lines", many=True, read_only=True)

    class Meta:
        model = PitchRevision
        fields: ClassVar = [
            "number",
            "submitted_at",
            "title",
            "summary",
            "problem",
            "value_kind",
            "value_metric",
            "value_p10",
            "value_p50",
            "value_p90",
            "value_method",
            "evidence",
            "sign_off",
            "accountable",
            "quality_bar",
            "data_class",
            "compliance",
            "compliance_note",
            "checklist",
            "answers",
            "latency",
            "stop_behaviour",
            "months",
            "rate_card_version",
            "line_items",
            "milestones",
            "co_applicants",
            "quality",
            "links",
            "quote",
        ]

    @extend_schema_field(AnswerSerializer(many=True))
    def get_answers(self, revision: PitchRevision) -> list[dict[str, str]]:
        """Return what the round asked, in order, with the answers."""
        said = revision.answers
        return [
            {"code": row["code"], "question": row["text"], "answer": said[row["code"]]} for row in revision.questions
        ]


class PitchWhole(PitchSerializer):
    """A pitch with what was submitted; `content` is None before the first submission."""

    content = RevisionSerializer(read_only=True, allow_null=True)

    class Meta(PitchSerializer.Meta):
        fields: ClassVar = [*PitchSerializer.Meta.fields, "content"]


class RoundList(ListAPIView[Round]):
    """The rounds that the caller may see, newest first."""

    read_scope = Scope.PITCHES_READ
    serializer_class = RoundSerializer
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Round]:
        """Return them."""
        return rounds_visible_to(self.request.user)


class RoundDetail(RetrieveAPIView[Round]):
    """One round."""

    read_scope = Scope.PITCHES_READ
    serializer_class = RoundSerializer

    def get_object(self) -> Round:
        """Return it; raises Http404 for a round that the caller may not see."""
        user = self.request.user
        return find_or_404(rounds_visible_to(user), user, "pitches.view_round", pk=self.kwargs["pk"])


class PitchList(ListAPIView[Pitch]):
    """The pitches that the caller may see, newest first."""

    read_scope = Scope.PITCHES_READ
    serializer_class = PitchSerializer
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Pitch]:
        """Return them."""
        return with_ask(pitches_visible_to(self.request.user))


def _pitch(request: Request, pk: int, permission: str) -> Pitch:
    return find_or_404(with_ask(pitches_visible_to(request.user)), request.user, permission, pk=pk)


class PitchDetail(APIView):
    """One pitch with its current revision."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=PitchWhole)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the pitch; 404 for one that the caller may not see."""
        pitch = _pitch(request, pk, "pitches.view_pitch")
        revision = revision_whole(pitch)
        content = RevisionSerializer(revision).data if revision else None
        return Response({**PitchSerializer(pitch).data, "content": content})


class PitchSubmit(APIView):
    """Submit the draft as it stands."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=None, responses={201: RevisionSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Answer with the new revision; the draft's faults are errors by field."""
        pitch = _pitch(request, pk, "pitches.change_pitch")
        draft = PitchDraft(pitch.draft, pitch)
        if not draft.is_valid():
            raise Invalid("The draft is not complete.", draft.messages())
        services.pitch_submit(actor=cast(User, request.user), pitch=pitch, content=draft.content())
        revision = revision_whole(_pitch(request, pk, "pitches.view_pitch"))
        return Response(RevisionSerializer(revision).data, status=201)
