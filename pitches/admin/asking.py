"""What a round asks: its own questions and its checklist, edited while it is prepared, shown afterwards."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.forms.asking import TERM_ROWS, TermsEditor, terms_typed
from pitches.forms.rows import rows_add, rows_remove
from pitches.models import Round
from pitches.selectors.asking import terms_of
from pitches.transitions import RoundState
from teams.access import UserRequest
from teams.errors import Refused

QUESTIONS = "admin:pitches_round_questions"


def questions(request: UserRequest, pk: int) -> HttpResponse:
    """Show what a round asks; add or remove a row, or save."""
    round_ = round_or_404(request, pk)
    if request.method != "POST":
        return _page(request, round_, TermsEditor(terms_typed(terms_of(round_))))
    typed = {name: str(text) for name, text in request.POST.items()}
    verb, _, rest = request.POST.get("intent", "save").partition("-")
    rows, _, place = rest.partition("-")
    if verb == "add" and rows in TERM_ROWS:
        return _page(request, round_, TermsEditor(rows_add(typed, rows)))
    if verb == "remove" and rows in TERM_ROWS and place.isdigit():
        names = TERM_ROWS[rows]().fields
        return _page(request, round_, TermsEditor(rows_remove(typed, rows, int(place), names)))
    return _save(request, round_, TermsEditor(typed))


def _save(request: UserRequest, round_: Round, editor: TermsEditor) -> HttpResponse:
    if not editor.is_valid():
        return _page(request, round_, editor, status=422)
    try:
        services.terms_set(actor=request.user, round_=round_, terms=editor.terms())
    except Refused as error:
        refused = "" if editor.refuse(error) else error.message
        return _page(request, round_, editor, refused=refused, status=422)
    messages.success(request, "Saved. Every pitch of this round is asked this.")
    return redirect(QUESTIONS, round_.pk)


def _page(
    request: UserRequest, round_: Round, editor: TermsEditor, *, refused: str = "", status: int = 200
) -> HttpResponse:
    organises = request.user.has_perm("pitches.change_round", round_)
    context = {
        "round": round_,
        "tab": "questions",
        "editor": editor,
        "refused": refused,
        "terms": terms_of(round_),
        "can_edit": organises and round_.state == RoundState.DRAFT,
    }
    return page(request, "questions.html", f"{round_}: questions", context, status)
