"""What the stories of the board share: a round to deliberate on, and how to move and read it."""

from typing import Any

from pytest_django import Settings

from pitches import services
from pitches.models import BoardMove, MoveKind, Pitch, Round
from pitches.selectors.board import Board, board_of, board_state
from teams.models import User
from tests.cast import Company
from tests.pitches.crowd import deciding
from tests.pitches.stage import Stage, open_stage


def stage_of_board(company: Company, settings: Settings) -> Stage:
    """Give a round of 20,000 dollars that deliberates over ten pitches, which ask for more than twice as much."""
    settings.BOARD_SECONDS = 60
    stage = open_stage(company, cap="20000")
    deciding(stage, 10)
    return stage


def sent(answer: Any) -> str:
    """Return a streamed file."""
    return b"".join(answer.streaming_content).decode()


def at(round_: Round, path: str = "") -> str:
    return f"/admin/pitches/round/{round_.pk}/board/{path}"


def move(stage: Stage, actor: User, kind: MoveKind, **changes: Any) -> BoardMove:
    version = board_state(stage.round).version
    return services.board_move(actor=actor, round_=stage.round, version=version, kind=kind, **changes)


def seen(stage: Stage, user: User, **how: Any) -> Board:
    return board_of(user, stage.round, **how)


def one_out(stage: Stage) -> Pitch:
    """Return a pitch that is out because others are worth more."""
    row = next(row for row in seen(stage, stage.company.gil).rows if row.code == "displaced")
    return Pitch.objects.select_related("round").get(pk=row.pk)


def one_in(stage: Stage) -> Pitch:
    row = next(row for row in seen(stage, stage.company.gil).rows if row.is_in)
    return Pitch.objects.select_related("round").get(pk=row.pk)


def recuse(stage: Stage, user: User, pitch: Pitch) -> None:
    services.recusal_declare(actor=user, pitch=pitch, reason="My sister leads that team.")
