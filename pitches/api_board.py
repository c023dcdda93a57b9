"""The board and the minutes for programs, under the same rules as the pages."""

from typing import Any, cast

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from ledger.api_data import AmountField
from pitches import services
from pitches.access import may
from pitches.models import BoardMove, MoveKind, Pitch, PitchOption, Round
from pitches.selectors.board import SORTS, Board, board_of, is_open
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.minutes import minutes_of
from pitches.services.board import LONGEST_NOTE
from teams.api import Invalid
from teams.errors import WrongState
from teams.models import Scope, User


class BoardOfferSerializer(serializers.Serializer[Any]):
    """One offer of a pitch; amounts in USD. `clears` says whether it reaches the hurdle."""

    name = serializers.CharField()
    title = serializers.CharField(source="label")
    tier = serializers.CharField()
    cost = AmountField()
    worth = AmountField()
    clears = serializers.BooleanField()
    is_taken = serializers.BooleanField()


class BoardRowSerializer(serializers.Serializer[Any]):
    """One pitch; of one that the caller is recused from `id`, `title`, `team` and `recused` alone say something."""

    id = serializers.IntegerField(source="pk")
    title = serializers.CharField()
    team = serializers.CharField()
    recused = serializers.CharField()
    is_in = serializers.BooleanField()
    held = serializers.CharField(help_text="in, out, or empty.")
    is_signed = serializers.BooleanField(help_text="Held by a signed override.")
    may_move = serializers.BooleanField()
    scores = serializers.ListField(child=serializers.IntegerField())
    mean = serializers.DecimalField(3, 1, allow_null=True)
    median = serializers.DecimalField(3, 1, allow_null=True)
    disagreement = serializers.DecimalField(3, 1, allow_null=True)
    cost = AmountField(allow_null=True)
    worth = AmountField(allow_null=True)
    offers = BoardOfferSerializer(many=True)
    reason = serializers.CharField(source="code")
    why = serializers.CharField()


class BoardSerializer(serializers.Serializer[Any]):
    """The board; amounts in USD. Sums are over the rows that the caller may see.

    `left` and `gap` are null for a caller who is recused from a pitch.
    """

    version = serializers.IntegerField(source="state.version")
    cap = AmountField()
    spendable = AmountField()
    count = serializers.IntegerField()
    cost = AmountField()
    worth = AmountField()
    left = AmountField(allow_null=True)
    is_proved = serializers.BooleanField()
    gap = AmountField(source="gap_shown", allow_null=True)
    refused = serializers.CharField(help_text="Why there is no choice; empty where there is one.")
    rows = BoardRowSerializer(many=True)


class MoveRequest(serializers.Serializer[Any]):
    """A move: `cap` in USD to slide, `pitch` and perhaps `offer` to hold, `text` to note; `version` was seen."""

    kind = serializers.ChoiceField(choices=MoveKind.choices)
    version = serializers.IntegerField(min_value=0, required=False)
    cap = serializers.DecimalField(max_digits=20, decimal_places=2, required=False)
    pitch = serializers.IntegerField(required=False)
    offer = serializers.CharField(required=False, max_length=40)
    text = serializers.CharField(required=False, max_length=LONGEST_NOTE, trim_whitespace=False)


class MoveSerializer(serializers.Serializer[Any]):
    """A move and what came of it, in USD; nothing of the latter for a caller who is recused from a pitch."""

    number = serializers.IntegerField()
    version = serializers.IntegerField()
    kind = serializers.CharField()
    at = serializers.DateTimeField()
    pitch = serializers.IntegerField(source="pitch_id", allow_null=True)
    cap = AmountField()
    price = AmountField(allow_null=True)
    count = serializers.IntegerField(source="chosen", allow_null=True)
    cost = AmountField(allow_null=True)
    worth = AmountField(allow_null=True)
    is_proved = serializers.BooleanField(source="proved", allow_null=True)


class EntrySerializer(serializers.Serializer[Any]):
    """One line of the minutes; `text` continues the name."""

    at = serializers.DateTimeField()
    who = serializers.CharField()
    kind = serializers.CharField()
    text = serializers.CharField()
    pitch = serializers.IntegerField(allow_null=True)


class MinutesSerializer(serializers.Serializer[Any]):
    """The minutes; `left_out` counts what the caller may not read before the decisions are published."""

    facts = serializers.DictField(child=serializers.IntegerField())
    left_out = serializers.IntegerField()
    entries = EntrySerializer(many=True)


def _round(request: Request, pk: int, permission: str) -> Round:
    round_ = Round.objects.filter(pk=pk).first()
    if round_ is None or not may(request.user, permission, round_):
        raise Http404
    return round_


def _told(board: Board) -> dict[str, Any]:
    return dict(BoardSerializer(board).data)


class BoardDetail(APIView):
    """The board of a round that deliberates."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=BoardSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the board as the caller may see it; 409 unless the round deliberates."""
        round_ = _round(request, pk, "pitches.sit_round")
        if not is_open(round_):
            raise WrongState("The board is open once voting has closed and until the decisions are published.")
        sort = request.query_params.get("sort", "in")
        board = board_of(cast(User, request.user), round_, sort=sort if sort in SORTS else "in")
        return Response(_told(board))


class BoardMoves(APIView):
    """Move the board, or note something."""

    write_scope = Scope.PITCHES_WRITE

    @extend_schema(request=MoveRequest, responses={201: MoveSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Answer with the move; 409 when somebody else moved the board since `version`."""
        round_ = _round(request, pk, "pitches.sit_round")
        asked = MoveRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        move = _moved(cast(User, request.user), round_, asked.validated_data)
        if conflicted_ids(request.user, round_):
            move.price = move.chosen = move.cost = move.worth = move.proved = None
        return Response(MoveSerializer(move).data, status=201)


def _moved(actor: User, round_: Round, said: dict[str, Any]) -> BoardMove:
    pitch = _pitch(round_, said["pitch"]) if "pitch" in said else None
    if said["kind"] == MoveKind.NOTE:
        return services.board_note(actor=actor, round_=round_, text=said.get("text", ""), pitch=pitch)
    if "version" not in said:
        raise Invalid("Say which version you saw.", {"version": ["Say which version you saw."]})
    return services.board_move(
        actor=actor,
        round_=round_,
        version=said["version"],
        kind=MoveKind(said["kind"]),
        cap=said.get("cap"),
        pitch=pitch,
        option=_option(pitch, said["offer"]) if pitch is not None and "offer" in said else None,
    )


def _pitch(round_: Round, pk: int) -> Pitch:
    pitch = Pitch.objects.filter(round=round_, pk=pk).select_related("round", "current").first()
    if pitch is None:
        raise Invalid("There is no such pitch in this round.", {"pitch": ["There is no such pitch in this round."]})
    return pitch


def _option(pitch: Pitch, offer: str) -> PitchOption:
    found = next((option for option in pitch.options.all() if option.offer == offer), None)
    if found is None:
        raise Invalid("The pitch has no such offer.", {"offer": ["The pitch has no such offer."]})
    return found


class MinutesDetail(APIView):
    """The minutes of a round."""

    read_scope = Scope.PITCHES_READ

    @extend_schema(responses=MinutesSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Answer with the minutes as the caller may read them."""
        round_ = _round(request, pk, "pitches.view_minutes")
        return Response(MinutesSerializer(minutes_of(cast(User, request.user), round_)).data)
