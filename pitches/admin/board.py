"""The board: one page that all members look at while they deliberate, and that each of them may move."""

from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import get_template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_POST

from ledger.exports import csv_response
from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.board.engine import Held
from pitches.board.words import clock, move_words, price_words
from pitches.models import MoveKind, Pitch, PitchOption, Round
from pitches.selectors.board import (
    SORTS,
    Board,
    BoardRow,
    board_of,
    is_open,
    slider_of,
    stamp_of,
)
from pitches.selectors.comparison import comparison_of, curve_figure, curve_of
from pitches.transitions import BALLOTS_REVEALED
from teams.access import UserRequest
from teams.errors import Refused, WrongState
from teams.typed import whole_in

BOARD = "admin:pitches_round_board"
PRICES_AT_ONCE = 12
PATIENCE = 5.0  # seconds that a proof or a price may take, while nobody waits for it
ROW = "admin/pitches/parts/board_row.html"


def board(request: UserRequest, pk: int) -> HttpResponse:
    """Show the board."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    context: dict[str, Any] = {"round": round_, "tab": "board", "sorts": SORTS}
    if not is_open(round_):
        context["is_over"] = round_.state in BALLOTS_REVEALED
        return page(request, "board_closed.html", f"{round_}: board", context)
    found = board_of(request.user, round_, sort=_sort(request.GET))
    context |= {**_context(request, found), "slider": slider_of(round_)}
    return page(request, "board.html", f"{round_}: board", context)


def _sort(data: QueryDict) -> str:
    sort = data.get("sort", "")
    return sort if sort in SORTS else "in"


def _context(request: UserRequest, found: Board) -> dict[str, Any]:
    moves = [(move, clock(move, found.round), move_words(move, is_whole=found.is_whole)) for move in found.moves]
    said = next(((move, at, words) for move, at, words in moves if move.kind != MoveKind.NOTE), None)
    return {
        "round": found.round,
        "board": found,
        "rows": rows_drawn(found),
        "moves": moves,
        "said": said,
        "sort": _sort(request.POST if request.method == "POST" else request.GET),
    }


def rows_drawn(found: Board) -> list[SafeString]:
    """Draw the rows; one that looks as it did before is not drawn again."""
    template = get_template(ROW)

    def draw(row: BoardRow) -> SafeString:
        return mark_safe(template.render({"row": row}))  # noqa: S308 - a template's own output, escaped by it

    kept = found.engine.rows
    return [kept.get(row, partial(draw, row)) for row in found.rows]


def _fresh(request: UserRequest, round_: Round, *, status: int = 200, message: str = "") -> HttpResponse:
    """Answer with the parts of the board that change, as the page's script takes them."""
    seconds = PATIENCE if "proof" in request.GET else None
    found = board_of(request.user, round_, sort=_sort(request.POST or request.GET), seconds=seconds)
    context = {**_context(request, found), "message": message}
    return render(request, "admin/pitches/parts/board_fresh.html", context, status=status)


def live(request: UserRequest, pk: int) -> HttpResponse:
    """Answer what is new since a stamp, or 204 when nothing is; the latter costs one query."""
    stamp = stamp_of(request.user, pk)
    if stamp is None:
        raise Http404
    if stamp == request.GET.get("stamp"):
        return HttpResponse(status=204)
    round_ = round_or_404(request, pk, "pitches.sit_round")
    return _fresh(request, round_) if is_open(round_) else HttpResponse(status=205)


@require_POST
def move(request: UserRequest, pk: int) -> HttpResponseBase:
    """Move the board. The page's script gets what is new; a browser without it goes back to the page."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    try:
        _move(request, round_)
    except Refused as error:
        return _told(request, round_, error)
    return _fresh(request, round_) if _by_script(request) else redirect(BOARD, pk)


def _by_script(request: UserRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _told(request: UserRequest, round_: Round, error: Refused) -> HttpResponseBase:
    if not _by_script(request) or not is_open(round_):
        messages.error(request, error.message)
        return redirect(BOARD, round_.pk)
    status = 409 if isinstance(error, WrongState) else 422
    return _fresh(request, round_, status=status, message=error.message)


def _move(request: UserRequest, round_: Round) -> None:
    kind, _, rest = request.POST.get("move", "slide").partition(":")
    number, _, offer = rest.partition(":")
    if kind not in MoveKind.values or kind == MoveKind.NOTE:
        raise Http404
    pitch = _pitch(round_, number) if number else None
    services.board_move(
        actor=request.user,
        round_=round_,
        version=whole_in(request.POST.get("version", ""), 0, digits=9),
        kind=MoveKind(kind),
        cap=_amount(request.POST.get("cap", "")) if kind == MoveKind.SLIDE else None,
        pitch=pitch,
        option=_option(pitch, offer) if pitch is not None and offer else None,
    )


def _pitch(round_: Round, number: str) -> Pitch:
    found = (
        Pitch.objects.filter(round=round_, pk=whole_in(number, 0, digits=9)).select_related("round", "current").first()
    )
    if found is None:
        raise Http404
    return found


def _option(pitch: Pitch, offer: str) -> PitchOption:
    found = next((option for option in pitch.options.all() if option.offer == offer), None)
    if found is None:
        raise Http404
    return found


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text.replace(",", "").replace("$", "").strip())
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


@require_POST
def note(request: UserRequest, pk: int) -> HttpResponseBase:
    """Note something for the minutes."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    number = request.POST.get("pitch", "")
    try:
        pitch = _pitch(round_, number) if number else None
        services.board_note(actor=request.user, round_=round_, text=request.POST.get("text", ""), pitch=pitch)
    except Refused as error:
        return _told(request, round_, error)
    return _fresh(request, round_) if _by_script(request) else redirect(BOARD, round_.pk)


def _open_or_404(request: UserRequest, pk: int) -> Round:
    round_ = round_or_404(request, pk, "pitches.sit_round")
    if not is_open(round_):
        raise Http404
    return round_


def prices(request: UserRequest, pk: int) -> JsonResponse:
    """Answer what holding some pitches costs, as sentences by pitch: out for what is in, in for what is out."""
    found = board_of(request.user, _open_or_404(request, pk))
    asked = {whole_in(number, 0, digits=9) for number in request.GET.getlist("p")[:PRICES_AT_ONCE]}
    rows = [row for row in found.rows if row.pk in asked and row.shows_price]
    titles = {row.pk: row.title for row in found.shown}
    return JsonResponse({str(row.pk): _price(found, row, titles) for row in rows})


def _price(found: Board, row: BoardRow, titles: dict[int, str]) -> str:
    held = next((one for one in found.setting.held if one.pitch == row.pk), None)
    asked = held or Held(row.pk, "out" if row.is_in else "in")
    price = found.engine.price(found.setting, asked, seconds=max(PATIENCE, settings.BOARD_SECONDS))
    return str(escape(price_words(price, asked, titles, is_held=held is not None)))


def compare(request: UserRequest, pk: int) -> HttpResponse:
    """Show what greed and equal shares would choose, and what five percent more would change."""
    found = board_of(request.user, _open_or_404(request, pk))
    comparison = comparison_of(found, seconds=max(PATIENCE, settings.BOARD_SECONDS))
    return render(request, "admin/pitches/parts/board_compare.html", {"board": found, "comparison": comparison})


def curve(request: UserRequest, pk: int) -> HttpResponse:
    """Show the worth of every cap."""
    round_ = _open_or_404(request, pk)
    found = board_of(request.user, round_)
    points = curve_of(found)
    figure = curve_figure(found, points) if points else None
    context = {"board": found, "round": round_, "curve": points, "figure": figure}
    return render(request, "admin/pitches/parts/board_curve.html", context)


def curve_csv(request: UserRequest, pk: int) -> HttpResponseBase:
    """Export the curve."""
    round_ = _open_or_404(request, pk)
    points = curve_of(board_of(request.user, round_))
    if points is None:
        raise Http404
    kind = "exact" if points.is_exact else "at most"
    rows = [(point.cap, point.spendable, point.worth, kind) for point in points.points]
    return csv_response(f"board-{round_.pk}-curve.csv", ("cap_usd", "spendable_usd", "worth_usd", "worth_is"), rows)
