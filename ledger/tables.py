"""The columns of the ledger's exports."""

from collections.abc import Iterable, Iterator, Sequence

from ledger.exports import Cell
from ledger.models import Posting
from ledger.selectors import TrialRow

TRIAL_HEADER = ("account", "name", "class", "team", "currency", "debits", "credits", "balance")
STATEMENT_HEADER = (
    "number",
    "effective_on",
    "recorded_at",
    "entry",
    "kind",
    "memo",
    "reason",
    "actor",
    "currency",
    "amount",
    "balance",
)


def trial_cells(rows: Iterable[TrialRow]) -> Iterator[Sequence[Cell]]:
    """Turn a trial balance into cells."""
    for row in rows:
        account = row.account
        team = account.team.name if account.team else ""
        yield (
            account.code,
            account.name,
            account.account_class,
            team,
            account.currency,
            row.debits,
            row.credits,
            row.balance,
        )


def statement_cells(postings: Iterable[Posting]) -> Iterator[Sequence[Cell]]:
    """Turn an account statement into cells."""
    for posting in postings:
        entry = posting.entry
        yield (
            posting.account_version,
            entry.effective_on,
            entry.recorded_at,
            str(entry),
            entry.kind,
            entry.memo,
            entry.reason,
            entry.actor.email,
            posting.currency,
            posting.amount,
            posting.balance_after,
        )
