"""Pitches like one another, found by their words: for who writes one, for who judges one, and for who searches.

PostgreSQL's full-text search finds and ranks (`ts_rank_cd`; title before summary and problem before workflows), in the
functions of `pitches/sql/folder.sql`. How alike two pitches are is the Sørensen-Dice coefficient of their sets of word
stems, 2 * common / (first + second), of the whole text or of the titles alone, whichever is more: from 0, nothing in
common, to 1, the same words. https://www.postgresql.org/docs/current/textsearch-controls.html,
https://doi.org/10.2307/1932409
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection
from django.db.models import F, Q, QuerySet, Value

from pitches.diff import SAME, Piece
from pitches.models import Pitch, PitchRevision
from pitches.selectors.conflicts import HasConflict
from pitches.selectors.earlier import outcome_of
from pitches.selectors.pitches import STATED, pitches_of_teams, pitches_visible_to
from pitches.transitions import PRIVATE_PITCH, PitchState, RoundState
from teams.selectors import Person

MOST_SIMILAR = 5
MOST_FOUND = 50
LEAST_ALIKE = Decimal("0.25")
"""Below it two pitches are not shown as similar."""
LIKELY_DUPLICATE = Decimal("0.5")
"""From here on a pitch is called a likely duplicate."""
LONGEST_SEARCH = 200
FOUND = "found"
SEALED = frozenset({RoundState.DRAFT, RoundState.OPEN, RoundState.CANCELLED})
"""While a round is here, what was submitted to it is between its teams and its committee."""
BEGIN, END = "\x02", "\x03"  # around a word in a headline; no text of a pitch keeps them


@dataclass(frozen=True, slots=True)
class Words:
    """What a pitch is compared by."""

    title: str
    body: str
    workflows: str


@dataclass(frozen=True, slots=True)
class Match:
    """One pitch that was found: how alike it is (0 to 1; None for a search), and where the words stand in it."""

    pitch: Pitch
    alike: Decimal | None
    pieces: tuple[Piece, ...]
    may_open: bool
    outcome: str

    @property
    def title(self) -> str:
        """Return what it is called in its last submission; what was typed since stays with its team."""
        return self.pitch.current.title if self.pitch.current else str(self.pitch)

    @property
    def is_likely(self) -> bool:
        """Say whether it is a likely duplicate."""
        return self.alike is not None and self.alike >= LIKELY_DUPLICATE


def words_of_draft(typed: Mapping[str, str]) -> Words:
    """Return what a draft is compared by, as far as it is typed."""
    rows = [text for name, text in typed.items() if re.fullmatch(r"items-\d+-workflow", name)]
    return Words(typed.get("title", ""), f"{typed.get('summary', '')} {typed.get('problem', '')}", "\n".join(rows))


def words_of_revision(revision: PitchRevision) -> Words:
    """Return what a revision is compared by."""
    return Words(revision.title, f"{revision.summary} {revision.problem}", revision.workflows)


def pitches_known_to(user: Person, at: datetime | None = None) -> QuerySet[Pitch]:
    """Return the pitches whose words somebody may be shown.

    Those of the own teams, drafts included; those submitted to rounds that take no more pitches; and what one may
    open anyway. A member of a committee is not shown what they are recused from.
    """
    if user.pk is None:
        return Pitch.objects.none()
    own = Q(pk__in=pitches_of_teams(user).order_by().values("pk"))
    seen = Q(pk__in=pitches_visible_to(user).order_by().values("pk"), current__isnull=False)
    passed = ~Q(round__state__in=SEALED) | Q(
        round__state=RoundState.OPEN, round__submissions_close_at__lte=at or datetime.now(UTC)
    )
    hidden_states = [*PRIVATE_PITCH, PitchState.WITHDRAWN]
    public = Q(current__isnull=False) & ~Q(state__in=hidden_states) & passed
    judged = Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), round__seats__user_id=user.pk)
    recused = Q(pk__in=judged.values("pk"))
    return Pitch.objects.filter(own | ((seen | public) & ~recused))


def pitches_similar(user: Person, words: Words, *, besides: Collection[int]) -> list[Match]:
    """Return the pitches most like what is written, the most alike first, of those that the reader may know.

    `besides` are ids of pitches that are left out.
    """
    known = [pk for pk in pitches_known_to(user).values_list("pk", flat=True) if pk not in besides]
    said = [text.replace("\x00", "") for text in (words.title, words.body, words.workflows)]
    asked = "SELECT pitch, alike, headline FROM pitches_similar(%s, %s, %s, %s::bigint[], %s, %s)"
    return _matches(user, asked, [*said, known, LEAST_ALIKE, MOST_SIMILAR])


def pitches_found(user: Person, text: str) -> list[Match]:
    """Return the pitches that hold the words searched for, best first, of those that the reader may know.

    Quotes, `or` and a leading minus work as in a web search; a number such as P-0007 finds that pitch.
    """
    text = text.replace("\x00", "")[:LONGEST_SEARCH].strip()
    known = list(pitches_known_to(user).values_list("pk", flat=True))
    number = re.fullmatch(r"[Pp]-?0*(\d{1,17})", text)
    if number is not None:
        wanted = int(number[1])
        return _whole(user, [(wanted, None, ())] if wanted in known else [])
    asked = "SELECT pitch, NULL, headline FROM pitches_search(%s, %s::bigint[], %s)"
    return _matches(user, asked, [text, known, MOST_FOUND])


def _matches(user: Person, asked: str, values: Sequence[Any]) -> list[Match]:
    with connection.cursor() as cursor:
        cursor.execute(asked, values)
        rows = cursor.fetchall()
    return _whole(user, [(pk, alike, headline_pieces(headline)) for pk, alike, headline in rows])


def _whole(user: Person, found: list[tuple[int, Decimal | None, tuple[Piece, ...]]]) -> list[Match]:
    ids = [pk for pk, _, _ in found]
    pitches = Pitch.objects.select_related(*STATED).in_bulk(ids)
    opened = frozenset(pitches_visible_to(user).filter(pk__in=ids).values_list("pk", flat=True))
    return [Match(pitches[pk], alike, pieces, pk in opened, outcome_of(pitches[pk])) for pk, alike, pieces in found]


def headline_pieces(headline: str) -> tuple[Piece, ...]:
    """Return a headline of the database as pieces: the words that were found, and what stands between them."""
    pieces: list[Piece] = []
    for part in re.split(f"({BEGIN}[^{END}]*{END})", headline):
        if part.startswith(BEGIN):
            pieces.append(Piece(FOUND, part.strip(BEGIN + END)))
        elif part:
            pieces.append(Piece(SAME, part))
    return tuple(pieces)
