"""The committee's work for programs: seats, steps, conflicts, screening, reviews and ballots; the pages' own rules.

What a member is recused from is not there for them, and what a ballot says is in no answer.
"""

from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from pitches import services
from pitches.api_doors import (
    PAGE,
    CommitteeList,
    Paged,
    StateAnswer,
    actor_of,
    desk_pitch,
    desk_round,
    page_told,
    said_in,
    shown_round,
    state_told,
)
from pitches.models import (
    Ballot,
    Choice,
    Expertise,
    Pitch,
    Recusal,
    RecusalType,
    Review,
    Round,
)
from pitches.selectors.conflicts import (
    answers_of,
    conflicted_ids,
    declarable,
    judged_by,
    recusals_of,
    undeclared,
)
from pitches.selectors.desk import desk_of
from pitches.selectors.receipts import own_receipts, receipts_listed
from pitches.selectors.scores import review_before, reviews_shown_to
from pitches.selectors.seals import sealed_ids
from pitches.services import ConflictAnswer, Mark
from pitches.transitions import BALLOTS_REVEALED, DECISIONS_PUBLIC, PitchState
from teams.models import Scope, User

# --- Conflicts of interest -----------------------------------------------------------------------


class DeclaredSerializer(serializers.Serializer[Any]):
    """A pitch to declare about; `declared` is whether the caller did, `conflict_type` null where there is none."""

    pitch = serializers.IntegerField()
    number = serializers.CharField()
    title = serializers.CharField()
    declared = serializers.BooleanField()
    conflict_type = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class ConflictBody(serializers.Serializer[Any]):
    """A conflict about one pitch, and why."""

    conflict_type = serializers.ChoiceField(RecusalType.choices)
    reason = serializers.CharField(max_length=2000)


class DeclarationRow(serializers.Serializer[Any]):
    """What the caller says about one pitch: a type with its reason, or null for no conflict."""

    pitch = serializers.IntegerField(min_value=1)
    conflict_type = serializers.ChoiceField(RecusalType.choices, allow_null=True, default=None)
    reason = serializers.CharField(max_length=2000, allow_blank=True, default="")


class DeclarationBody(serializers.Serializer[Any]):
    """A declaration for a whole round: every pitch that the caller said nothing about yet needs an answer."""

    answers = DeclarationRow(many=True)

    def validate_answers(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Refuse two answers about one pitch."""
        if len({row["pitch"] for row in rows}) < len(rows):
            raise serializers.ValidationError("Say one thing about each pitch.")
        return rows

    def answers_by_pitch(self) -> dict[int, ConflictAnswer]:
        """Return the answers by pitch id; ask `is_valid` first."""
        return {row["pitch"]: _conflict_answer(row) for row in self.validated_data["answers"]}


def _conflict_answer(row: dict[str, Any]) -> ConflictAnswer:
    if row["conflict_type"] is None:
        return ConflictAnswer()
    return ConflictAnswer(RecusalType(row["conflict_type"]), row["reason"])


class DeclarationAnswered(serializers.Serializer[Any]):
    """A declaration that was made."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    answers = serializers.IntegerField(help_text="About how many pitches.")


class RoundDeclaration(CommitteeList):
    """What the caller declared about the pitches of a round."""

    write_scope = Scope.COMMITTEE_WRITE
    serializer_class = DeclaredSerializer

    def get_queryset(self) -> Any:
        """Return the pitches from which the caller is not recused, with what they said."""
        round_ = desk_round(self.request, self.kwargs["pk"], "pitches.sit_round")
        answers = answers_of(actor_of(self.request), round_)
        return [_declared(pitch, answers.get(pitch.pk)) for pitch in declarable(self.request.user, round_)]

    @extend_schema(request=DeclarationBody, responses={201: DeclarationAnswered})
    def post(self, request: Request, pk: int) -> Response:
        """Declare; reviews and ballots open with it."""
        round_ = desk_round(request, pk, "pitches.sit_round")
        form = DeclarationBody(data=request.data)
        said_in(form)
        answers = form.answers_by_pitch()
        made = services.declaration_make(actor=actor_of(request), round_=round_, answers=answers)
        made.refresh_from_db()
        told = {"id": made.pk, "at": made.at, "answers": len(answers)}
        return Response(DeclarationAnswered(told).data, status=201)


def _declared(pitch: Pitch, answer: Any) -> dict[str, Any]:
    return {
        "pitch": pitch.pk,
        "number": pitch.number,
        "title": pitch.submitted.title,
        "declared": answer is not None,
        "conflict_type": (answer.type or None) if answer else None,
        "reason": answer.reason if answer else "",
    }


class ConflictSerializer(serializers.Serializer[Any]):
    """A conflict that was noted; `may_judge` says whether the caller can waive or dismiss it."""

    id = serializers.IntegerField()
    pitch = serializers.IntegerField()
    number = serializers.CharField()
    member = serializers.EmailField()
    kind = serializers.CharField()
    type = serializers.CharField()
    state = serializers.CharField()
    reason = serializers.CharField()
    plan = serializers.CharField()
    decided_by = serializers.EmailField(allow_null=True)
    may_judge = serializers.BooleanField()


def _conflict(recusal: Recusal, judged: frozenset[int], reader: User) -> dict[str, Any]:
    plain = ("kind", "type", "state", "reason", "plan")
    return {
        "id": recusal.pk,
        "pitch": recusal.pitch_id,
        "number": recusal.pitch.number,
        "member": recusal.member.email,
        **{name: getattr(recusal, name) for name in plain},
        "decided_by": recusal.decided_by.email if recusal.decided_by else None,
        "may_judge": recusal.pitch_id in judged and recusal.member_id != reader.pk,
    }


def _hidden(user: User, round_: Round) -> frozenset[int]:
    return conflicted_ids(user, round_) | sealed_ids(user, round_)


class RoundConflicts(CommitteeList):
    """The conflicts noted in a round, without those about pitches that the caller is recused from; their own stay."""

    serializer_class = ConflictSerializer

    def get_queryset(self) -> Any:
        """Return them by pitch."""
        user, round_ = actor_of(self.request), desk_round(self.request, self.kwargs["pk"])
        hidden, judged = _hidden(user, round_), judged_by(user, round_)
        shown = [row for row in recusals_of(round_) if row.pitch_id not in hidden or row.member_id == user.pk]
        return [_conflict(row, judged, user) for row in shown]


class JudgeBody(serializers.Serializer[Any]):
    """What becomes of a declared conflict: waived with a plan that contains it, or dismissed as none."""

    judgement = serializers.ChoiceField(["waive", "dismiss"])
    plan = serializers.CharField(max_length=2000)


class ConflictJudge(APIView):
    """A judgement on a declared conflict."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=JudgeBody, responses=ConflictSerializer)
    def post(self, request: Request, pk: int, recusal: int) -> Response:
        """Waive or dismiss it; 404 for one about a pitch that the caller is recused from."""
        user, round_ = actor_of(request), desk_round(request, pk)
        rows = Recusal.objects.select_related("pitch", "member").exclude(pitch__in=_hidden(user, round_))
        found = get_object_or_404(rows, pitch__round=round_, pk=recusal)
        said = said_in(JudgeBody(data=request.data))
        judge = services.recusal_waive if said["judgement"] == "waive" else services.recusal_dismiss
        made = judge(actor=user, recusal=found, plan=said["plan"])
        return Response(ConflictSerializer(_conflict(made, judged_by(user, round_), user)).data)


class PitchConflict(APIView):
    """A conflict that the caller declares about one pitch: it is closed to them from then on."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=ConflictBody, responses={201: ConflictSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Step aside."""
        pitch, said = desk_pitch(request, pk), said_in(ConflictBody(data=request.data))
        made = services.recusal_declare(
            actor=actor_of(request),
            pitch=pitch,
            reason=said["reason"],
            conflict_type=RecusalType(said["conflict_type"]),
        )
        return Response(ConflictSerializer(_conflict(made, frozenset(), actor_of(request))).data, status=201)


# --- Into review, and back to the team -----------------------------------------------------------


class NoteBody(serializers.Serializer[Any]):
    """What the team should change."""

    note = serializers.CharField(max_length=4000)


class PitchTakeIn(APIView):
    """A submitted pitch goes into review."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=None, responses=StateAnswer)
    def post(self, request: Request, pk: int) -> Response:
        """Take it in."""
        pitch = desk_pitch(request, pk)
        return Response(state_told(services.pitch_take_in(actor=actor_of(request), pitch=pitch)))


class PitchReturn(APIView):
    """A pitch goes back to its team."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=NoteBody, responses=StateAnswer)
    def post(self, request: Request, pk: int) -> Response:
        """Return it with a note."""
        pitch, said = desk_pitch(request, pk), said_in(NoteBody(data=request.data))
        return Response(state_told(services.pitch_return(actor=actor_of(request), pitch=pitch, note=said["note"])))


# --- Reviews --------------------------------------------------------------------------------------


class ReviewMark(serializers.Serializer[Any]):
    """A score from 1 to 9 on a criterion, and the sentence that explains it."""

    criterion = serializers.IntegerField(min_value=1)
    score = serializers.IntegerField()
    sentence = serializers.CharField(max_length=400, allow_blank=True)


class ReviewBody(serializers.Serializer[Any]):
    """A review of the revision that was read; expertise 1 outsider, 2 knows the field, 3 has done it."""

    revision = serializers.IntegerField(min_value=1)
    marks = ReviewMark(many=True)
    expertise = serializers.ChoiceField(Expertise.values)
    comment = serializers.CharField(max_length=4000, allow_blank=True, default="")


class CriterionAsked(serializers.Serializer[Any]):
    """What reviewers score, and how much it weighs."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    question = serializers.CharField()
    weight = serializers.IntegerField()


class ReviewSerializer(serializers.Serializer[Any]):
    """One member's review of the current revision."""

    reviewer = serializers.EmailField()
    expertise = serializers.IntegerField()
    comment = serializers.CharField()
    submitted_at = serializers.DateTimeField()
    marks = ReviewMark(many=True)


class ReviewBefore(serializers.Serializer[Any]):
    """The caller's own review of an earlier revision, to begin from; it counts for nothing now."""

    revision = serializers.IntegerField()
    expertise = serializers.IntegerField()
    comment = serializers.CharField()
    marks = ReviewMark(many=True)


class ReviewsRead(Paged):
    """The criteria, and a page of the reviews that the caller may read: none before their own is in."""

    revision = serializers.IntegerField()
    own_is_in = serializers.BooleanField()
    own_before = ReviewBefore(allow_null=True)
    criteria = CriterionAsked(many=True)
    results = ReviewSerializer(many=True)


def _review(review: Review) -> dict[str, Any]:
    return {"reviewer": review.reviewer.email, "submitted_at": review.submitted_at, **_said(review)}


def _said(review: Review) -> dict[str, Any]:
    marks = [
        {"criterion": row.criterion_id, "score": row.score, "sentence": row.sentence}
        for row in sorted(review.scores.all(), key=lambda row: row.criterion_id)
    ]
    return {"expertise": review.expertise, "comment": review.comment, "marks": marks}


def _before(reader: User, pitch: Pitch, *, own_is_in: bool) -> dict[str, Any] | None:
    review = None if own_is_in else review_before(reader, pitch)
    return {"revision": review.revision.number, **_said(review)} if review else None


class PitchReviews(APIView):
    """The reviews of a pitch: blind until the caller's own is in."""

    read_scope = Scope.COMMITTEE_READ
    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(responses=ReviewsRead, parameters=PAGE)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with what may be read, the review that came in first in front."""
        pitch, reader = desk_pitch(request, pk), actor_of(request)
        shown = reviews_shown_to(reader, pitch, pitch.round)
        own_is_in = any(review.reviewer_id == reader.pk for review in shown)
        told = {
            "revision": pitch.submitted.number,
            "own_is_in": own_is_in,
            "own_before": _before(reader, pitch, own_is_in=own_is_in),
            "criteria": list(pitch.round.criteria.order_by("position").values("id", "name", "question", "weight")),
            **page_told(request, shown, _review),
        }
        return Response(ReviewsRead(told).data)

    @extend_schema(request=ReviewBody, responses={201: ReviewSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Hand in a review, or replace one's own."""
        pitch, said = desk_pitch(request, pk), said_in(ReviewBody(data=request.data))
        made = services.review_submit(
            actor=actor_of(request),
            pitch=pitch,
            revision_number=said["revision"],
            marks={row["criterion"]: Mark(row["score"], row["sentence"]) for row in said["marks"]},
            expertise=Expertise(int(said["expertise"])),
            comment=said["comment"],
        )
        made.refresh_from_db()
        return Response(ReviewSerializer(_review(made)).data, status=201)


# --- Ballots --------------------------------------------------------------------------------------


class BallotBody(serializers.Serializer[Any]):
    """A vote: a score from 1 to 9 with a yes or a no, none with an abstention."""

    choice = serializers.ChoiceField(Choice.choices)
    score = serializers.IntegerField(allow_null=True, default=None)


class BallotAnswer(serializers.Serializer[Any]):
    """A sealed ballot: its receipt, and nothing of what it says."""

    pitch = serializers.IntegerField()
    receipt = serializers.CharField()
    times_cast = serializers.IntegerField()
    cast_at = serializers.DateTimeField()


class PitchBallot(APIView):
    """The caller's ballot on a pitch."""

    write_scope = Scope.COMMITTEE_WRITE

    @extend_schema(request=BallotBody, responses={201: BallotAnswer})
    def post(self, request: Request, pk: int) -> Response:
        """Cast it, or put another vote into its envelope."""
        pitch, actor = desk_pitch(request, pk), actor_of(request)
        said = said_in(BallotBody(data=request.data))
        made = services.ballot_cast(actor=actor, pitch=pitch, choice=Choice(said["choice"]), score=said["score"])
        made = Ballot.objects.only("times_cast", "cast_at").get(pk=made.pk)
        receipt = own_receipts(actor, pitch.round)[pk].sha256
        told = {"pitch": pk, "receipt": receipt, "times_cast": made.times_cast, "cast_at": made.cast_at}
        return Response(BallotAnswer(told).data, status=201)


class BallotStatus(serializers.Serializer[Any]):
    """A pitch on the ballot, whether the caller can vote on it, and the receipt of their ballot."""

    pitch = serializers.IntegerField()
    number = serializers.CharField()
    title = serializers.CharField()
    is_declared = serializers.BooleanField()
    is_cast = serializers.BooleanField()
    receipt = serializers.CharField(allow_null=True)


class OwnBallots(CommitteeList):
    """The caller's own ballots in a round: cast or not, never what they say."""

    serializer_class = BallotStatus

    def get_queryset(self) -> Any:
        """Return the pitches that are or were on the caller's ballot, by number."""
        reader, round_ = actor_of(self.request), desk_round(self.request, self.kwargs["pk"], "pitches.sit_round")
        receipts = own_receipts(reader, round_)
        unsaid = frozenset(undeclared(reader, round_).values_list("pk", flat=True))
        shown = [row.pitch for row in desk_of(reader, round_).rows if not row.recused]
        on_ballot = [row for row in shown if row.state == PitchState.SHORTLISTED or row.pk in receipts]
        return [_ballot(row, receipts, unsaid) for row in sorted(on_ballot, key=lambda row: row.pk)]


def _ballot(pitch: Pitch, receipts: Any, unsaid: frozenset[int]) -> dict[str, Any]:
    receipt = receipts.get(pitch.pk)
    return {
        "pitch": pitch.pk,
        "number": pitch.number,
        "title": pitch.submitted.title,
        "is_declared": pitch.pk not in unsaid,
        "is_cast": receipt is not None,
        "receipt": receipt.sha256 if receipt else None,
    }


class ReceiptsSerializer(serializers.Serializer[Any]):
    """The receipts that were counted for one pitch, in the order of the alphabet."""

    pitch = serializers.IntegerField()
    number = serializers.CharField()
    title = serializers.CharField()
    receipts = serializers.ListField(child=serializers.CharField())


class RoundReceipts(CommitteeList):
    """The list of receipts of a round, once its ballots are open."""

    serializer_class = ReceiptsSerializer

    def get_queryset(self) -> Any:
        """Return it as the caller may read it; raises Http404 where their page of it is not there."""
        round_ = shown_round(self.request, self.kwargs["pk"])
        listed = receipts_listed(self.request.user, round_)
        if round_.state not in BALLOTS_REVEALED or (not listed and round_.state not in DECISIONS_PUBLIC):
            raise Http404
        return [
            {
                "pitch": one.pitch.pk,
                "number": one.pitch.number,
                "title": one.pitch.submitted.title,
                "receipts": one.receipts,
            }
            for one in listed
        ]
