"""The journal as text that hledger reads, so that a second program can add it up and agree.

Every account is declared and every amount is exact, which `hledger check --strict` asks for; entries stand in the
order of their effective dates. The file ends with balance assertions: hledger itself proves the balances.
Format: https://hledger.org/hledger.html#journal
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta

from ledger.models import Account, AccountClass, JournalEntry, Posting
from ledger.money import PLACES, plain
from ledger.selectors import TrialRow, today
from ledger.selectors.pages import trial_rows

# hledger's account types, which its balance sheet and income statement go by: asset, liability, equity, expense,
# conversion (https://hledger.org/hledger.html#account-types).
TYPES = {
    AccountClass.AUTHORITY: "E",
    AccountClass.RESERVE: "A",
    AccountClass.POOL: "A",
    AccountClass.COMMITTED: "A",
    AccountClass.LINE: "A",
    AccountClass.METERED: "X",
    AccountClass.BILLED: "X",
    AccountClass.VARIANCE: "X",
    AccountClass.ACCRUED: "L",
    AccountClass.TRADING: "V",
}
CHUNK = 2000


def account_name(account: Account) -> str:
    """Return an account's name in hledger: its class first, then its code, in levels by colon."""
    code, top = _one_line(account.code), str(account.account_class)
    return code if code.startswith(f"{top}:") else f"{top}:{code}"


def journal_pieces(starts_on: date | None = None, ends_on: date | None = None) -> Iterator[str]:
    """Write the entries with an effective date in a range, both ends included; everything without one.

    What came before the range is one opening entry. Read it inside `ledger.snapshot.snapshot`.
    """
    accounts = sorted(Account.objects.select_related("team", "provider"), key=account_name)
    yield from _head(starts_on, ends_on, accounts)
    if starts_on is not None:
        yield from _opening(starts_on)
    yield from _entries(starts_on, ends_on)
    yield from _closing(ends_on)


def _head(starts_on: date | None, ends_on: date | None, accounts: Iterable[Account]) -> Iterator[str]:
    span = f"effective from {starts_on or 'the beginning'} to {ends_on or 'now'}"
    yield f"; The journal of Tank, entries {span}, as of {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC.\n"
    yield "; A debit is positive. Commas inside a tag's text stand as semicolons, since they would end it.\n\n"
    yield "decimal-mark .\n"
    for currency in sorted({account.currency for account in accounts} or {"USD"}):
        # The places of the declared format are the places that hledger balances to.
        yield f"commodity 1.{'0' * PLACES} {currency}\n"
    yield "\n"
    for account_class, kind in TYPES.items():
        yield f"account {account_class.value}  ; type:{kind}\n"
    for account in accounts:
        yield f"account {account_name(account)}  ; {_about(account)}\n"


def _about(account: Account) -> str:
    facts = {"code": account.code, "name": account.name, "currency": account.currency, "tier": account.tier}
    if account.team is not None:
        facts |= {"team": account.team.name, "cost-centre": account.team.cost_centre}
    if account.provider is not None:
        facts["provider"] = account.provider.name
    return ", ".join(_tag(name, text) for name, text in facts.items() if text)


def _opening(starts_on: date) -> Iterator[str]:
    rows = [row for row in trial_rows(starts_on - timedelta(days=1)) if row.balance]
    if rows:
        yield f"\n{starts_on} * Opening balances\n"
        yield from (f"    {account_name(row.account)}  {plain(row.balance)} {row.account.currency}\n" for row in rows)


def _entries(starts_on: date | None, ends_on: date | None) -> Iterator[str]:
    entries = JournalEntry.objects.select_related("actor", "approved_by").order_by("effective_on", "pk")
    if starts_on is not None:
        entries = entries.filter(effective_on__gte=starts_on)
    if ends_on is not None:
        entries = entries.filter(effective_on__lte=ends_on)
    for entry in entries.prefetch_related("postings__account").iterator(chunk_size=CHUNK):
        yield _entry(entry)


def _entry(entry: JournalEntry) -> str:
    about = _one_line(entry.memo or entry.get_kind_display()).replace(";", ",").replace("|", "/")
    tags = {
        "entry": str(entry),
        "kind": entry.kind,
        "actor": entry.actor.email,
        "approver": entry.approved_by.email if entry.approved_by else "",
        "recorded": f"{entry.recorded_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        "reverses": f"J-{entry.reverses_id}" if entry.reverses_id else "",
        "reason": entry.reason,
    }
    lines = [f"\n{entry.effective_on} * ({entry}) {about}\n"]
    lines += [f"    ; {_tag(name, text)}\n" for name, text in tags.items() if text]
    lines += [_posting(posting) for posting in sorted(entry.postings.all(), key=lambda posting: posting.pk)]
    return "".join(lines)


def _posting(posting: Posting) -> str:
    return f"    {account_name(posting.account)}  {plain(posting.amount)} {posting.currency}\n"


def _closing(ends_on: date | None) -> Iterator[str]:
    rows = sorted(trial_rows(ends_on), key=lambda row: account_name(row.account))
    if rows:
        yield f"\n{ends_on or _last_day()} * Balances as Tank has them, asserted\n"
        yield from map(_assertion, rows)


def _assertion(row: TrialRow) -> str:
    currency = row.account.currency
    return f"    {account_name(row.account)}  0 {currency} == {plain(row.balance)} {currency}\n"


def _last_day() -> date:
    last = JournalEntry.objects.order_by("-effective_on").values_list("effective_on", flat=True).first()
    return max(last, today()) if last else today()


def _tag(name: str, text: str) -> str:
    return f"{name}:{_one_line(text).replace(',', ';')}"


def _one_line(text: str) -> str:
    # Line ends would end the entry, and two spaces an account's name.
    return " ".join(text.split())
