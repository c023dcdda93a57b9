"""Figures that come in files: checked line by line before anything is taken in, then all of a file or nothing."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import cast

from django.core import signing
from django.db import IntegrityError, transaction
from django.db.models import Sum

from ledger.models import (
    Feed,
    FeedBody,
    FeedDay,
    FeedFetch,
    FeedFigure,
    FeedKind,
    FetchState,
    NameFound,
    Provider,
    ProviderKey,
    ProviderModelName,
)
from ledger.money import show
from ledger.providers.base import FeedFailed, FileRefused, Page, Row, Span
from ledger.providers.csv_file import FILE, FileAdapter, Findings, Tell, Told, tell_nobody
from ledger.providers.registry import adapter_for
from ledger.reconciliation.names import names_of
from ledger.selectors.journal import today
from ledger.services.bodies import UPLOAD_HOURS, body_keep, body_of
from ledger.services.fetching import at_work, fetch_apply, fetch_begin, fetch_fail, pages_keep
from teams.access import require
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record

MOST_BYTES = 100 * 1024 * 1024
AT_ONCE_BYTES = 2 * 1024 * 1024
"""A file up to this size is checked, and imported, while its page waits: some 40,000 rows take one second and two. A
larger one is read in the background (`ledger/services/file_runs.py`)."""
MOST_DAYS = 400
FILE_KINDS = (FeedKind.PLAIN, FeedKind.FOCUS)
SALT = "ledger.feed_files"
ONLY_FINANCE = "Only finance imports figures."


@dataclass
class Sums:
    """What rows add up to; the amount in the file's currency."""

    rows: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    amount: Decimal = Decimal(0)

    def add(self, row: Row) -> None:
        """Add a row; tokens from and to caches count as input here."""
        self.rows += 1
        self.requests += row.requests
        self.input_tokens += row.input_tokens + row.cache_read_tokens + row.cache_write_5m_tokens
        self.input_tokens += row.cache_write_1h_tokens
        self.output_tokens += row.output_tokens
        self.amount += row.amount

    @property
    def tokens(self) -> int:
        """Return all tokens."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class DayChange:
    """What a day of a feed says now and what it will say; `is_new` where no fetch covered it yet."""

    day: date
    is_new: bool
    amount_before: Decimal
    amount: Decimal
    tokens_before: int
    tokens: int

    @property
    def is_changed(self) -> bool:
        """Say whether the day's totals change."""
        return (self.amount, self.tokens) != (self.amount_before, self.tokens_before)


@dataclass
class FileCheck:
    """What a file says, and what an import of it would do; nothing was changed.

    One that was kept in a run has the models with the largest amounts alone, and says how many `more_models` there are.
    """

    feed: Feed
    name: str
    sha256: str
    findings: Findings
    currency: str
    total: Sums = field(default_factory=Sums)
    by_model: dict[tuple[str, str], Sums] = field(default_factory=dict)
    by_day: dict[date, Sums] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    span: Span | None = None
    outside: int = 0
    days: list[DayChange] = field(default_factory=list)
    unknown_models: list[str] = field(default_factory=list)
    unknown_keys: list[str] = field(default_factory=list)
    more_models: int = 0
    imported: FeedFetch | None = None

    @property
    def is_good(self) -> bool:
        """Say whether it can be imported."""
        return not self.findings.faults and self.span is not None

    @property
    def replaced(self) -> list[DayChange]:
        """Return the days that the feed has figures of already."""
        return [day for day in self.days if not day.is_new]


@dataclass(frozen=True, slots=True)
class FileImport:
    """The fetch that a file is in, and whether it came in just now or earlier."""

    fetch: FeedFetch
    is_new: bool


@transaction.atomic
def file_feed_open(*, actor: User, provider: Provider, kind: str, gives_tokens: bool, gives_money: bool) -> Feed:
    """Make a feed for a provider whose figures come in files.

    Raises NotAllowed, Refused (feed_not_file, feed_gives_nothing, feed_exists).
    """
    require(actor, "ledger.change_feed", message="Only finance and platform admins set feeds up.")
    if kind not in FILE_KINDS:
        raise Refused("Choose the kind of file.", code="feed_not_file", field="kind")
    if not gives_tokens and not gives_money:
        raise Refused("Say what its files give: tokens, money or both.", code="feed_gives_nothing", field="gives")
    try:
        with transaction.atomic():
            feed = Feed.objects.create(provider=provider, kind=kind, gives_tokens=gives_tokens, gives_money=gives_money)
    except IntegrityError as error:
        words = f"{provider.name} has a feed of that already: two would count it twice."
        raise Refused(words, code="feed_exists", field="provider") from error
    audit_record(actor=actor, verb="feed.opened", target=feed, details={"kind": kind})
    return feed


def file_check(
    *, feed: Feed, name: str, content: bytes, span: Span | None = None, tell: Tell = tell_nobody
) -> FileCheck:
    """Read a file and say what an import of it would do; changes nothing.

    Without a span it covers the days from the first to the last in the file; rows outside a span that is given are
    left out. Everything wrong is in `findings`; `tell` hears how far it is. Raises Refused (feed_not_file,
    feed_disabled, file_too_large).
    """
    require_file(feed, len(content))
    adapter = file_adapter(feed.kind)
    check = FileCheck(feed, name, hashlib.sha256(content).hexdigest(), Findings(tell=tell), currency_of(feed))
    for row in _rows(check, adapter, content):
        if span is None or row.day in span:
            _count(check, row)
        else:
            check.outside += 1
    _cover(check, span)
    if check.is_good:
        _compare(check)
    return check


def require_file(feed: Feed, size: int) -> None:
    """Let a file of so many bytes pass to a feed; raises Refused (feed_not_file, feed_disabled, file_too_large)."""
    if not feed.is_file:
        raise Refused("This feed is read over the network.", code="feed_not_file", field="feed")
    if not feed.is_enabled:
        raise Refused("This feed is switched off.", code="feed_disabled", field="feed")
    if size > MOST_BYTES:
        raise Refused(f"A file has at most {MOST_BYTES >> 20} MiB.", code="file_too_large", field="file")


def file_adapter(kind: str) -> FileAdapter:
    """Return the adapter that reads a kind of file."""
    return cast(FileAdapter, adapter_for(kind))


def currency_of(feed: Feed) -> str:
    """Return the currency that the accounts of a feed's provider are kept in."""
    name = feed.provider.name
    currency: str = feed.provider.accounts.values_list("currency", flat=True).get(code=f"metered:{name}")
    return currency


def _rows(check: FileCheck, adapter: FileAdapter, content: bytes) -> Iterator[Row]:
    until = today()
    for located in adapter.read(content, check.findings):
        row = located.row
        if row.day > until:
            check.findings.say(located.line, adapter.day_column, f"{row.day} is not over yet anywhere: it lies ahead")
        elif row.currency != check.currency:
            words = f"is {row.currency}; the accounts of {check.feed.provider.name} are kept in {check.currency}"
            check.findings.say(located.line, adapter.currency_column, words)
        else:
            yield row


def _count(check: FileCheck, row: Row) -> None:
    check.total.add(row)
    check.by_model.setdefault((row.model_name, str(row.charge)), Sums()).add(row)
    check.by_day.setdefault(row.day, Sums()).add(row)
    if row.provider_key:
        check.keys.add(row.provider_key)


def _cover(check: FileCheck, span: Span | None) -> None:
    if check.findings.faults:
        return
    if not check.by_day:
        check.findings.say(1, FILE, "has no row of the period" if span else "has no row that counts")
        return
    check.span = span or Span(min(check.by_day), max(check.by_day))
    if (check.span.last - check.span.first).days >= MOST_DAYS:
        words = f"covers {check.span.first} to {check.span.last}: at most {MOST_DAYS} days at once"
        check.findings.say(1, FILE, words)


def _compare(check: FileCheck) -> None:
    span = cast(Span, check.span)
    check.days = list(_day_changes(check, span))
    names, provider = names_of(check.feed.provider), check.feed.provider
    by_hand = ProviderModelName.objects.filter(provider=provider, model__isnull=False)
    said = set(by_hand.values_list("name", flat=True))
    used = {name for name, _charge in check.by_model if name} - said
    check.unknown_models = sorted(name for name in used if names.find(name)[1] == NameFound.NONE)
    known = ProviderKey.objects.filter(provider=provider).values_list("external_id", flat=True)
    check.unknown_keys = sorted(check.keys - set(known))
    check.imported = imported_before(check.feed, check.sha256, span)


def _day_changes(check: FileCheck, span: Span) -> Iterator[DayChange]:
    figures = FeedFigure.objects.filter(feed=check.feed, day__range=(span.first, span.last), superseded_by=None)
    tokens = Sum("input_tokens") + Sum("cache_read_tokens") + Sum("cache_write_5m_tokens")
    tokens = tokens + Sum("cache_write_1h_tokens") + Sum("output_tokens")
    before = {
        day: (amount, count)
        for day, amount, count in figures.values_list("day").annotate(a=Sum("amount"), t=tokens).order_by("day")
    }
    covered = set(
        FeedDay.objects.filter(feed=check.feed, day__range=(span.first, span.last)).values_list("day", flat=True)
    )
    day = span.first
    while day <= span.last:
        amount, count = before.get(day, (Decimal(0), 0))
        said = check.by_day.get(day, Sums())
        yield DayChange(day, day not in covered, amount, said.amount, count, said.tokens)
        day += timedelta(days=1)


def imported_before(feed: Feed, sha256: str, span: Span) -> FeedFetch | None:
    """Return the import of the same file over the same days, as long as all of them stand as it brought them."""
    same = FeedFetch.objects.filter(
        feed=feed,
        state=FetchState.DONE,
        first_day=span.first,
        last_day=span.last,
        pages__body_id=sha256,
    )
    fetch = same.select_related("begun_by").order_by("-pk").first()
    if fetch is None:
        return None
    others = FeedDay.objects.filter(feed=feed, day__range=(span.first, span.last)).exclude(fetch=fetch)
    return None if others.exists() else fetch


def file_import(*, actor: User, feed: Feed, name: str, content: bytes, span: Span | None = None) -> FileImport:
    """Import a file: the figures of the days that it covers are from then on what it says, all of it or nothing.

    The same file for days that stand as it brought them changes nothing; then the import of that time is returned.
    Raises NotAllowed, FileRefused with every fault, FeedFailed, Refused (feed_not_file, feed_disabled,
    file_too_large, fetch_running).
    """
    require(actor, "ledger.import_feed_file", message=ONLY_FINANCE)
    require_file(feed, len(content))
    with at_work(feed):
        check = file_check(feed=feed, name=name, content=content, span=span)
        check.findings.raise_faults()
        return check_import(actor=actor, check=check, content=content)


Then = Callable[[FeedFetch], None]


def then_nothing(fetch: FeedFetch) -> None:
    """Do nothing besides an import."""


def check_import(
    *, actor: User, check: FileCheck, content: bytes, tell: Tell = tell_nobody, then: Then = then_nothing
) -> FileImport:
    """Import a file as its check found it good; for who is `at_work` on its feed.

    `tell` hears how far it is, in the middle of the import's transaction and while its connection is busy; `then` is
    done in the same transaction as the import. Raises NotAllowed, FileRefused, FeedFailed.
    """
    require(actor, "ledger.import_feed_file", message=ONLY_FINANCE)
    if before := imported_before(check.feed, check.sha256, cast(Span, check.span)):
        then(before)
        return FileImport(before, is_new=False)
    fetch = fetch_begin(actor, check.feed, cast(Span, check.span), file_name=check.name[-200:])
    try:
        pages_keep(fetch, [Page(fetch.file_name, content)])
        _apply(fetch, check, tell, then)
    except (FeedFailed, FileRefused) as failed:
        fetch_fail(fetch, str(failed))
        raise
    except Exception:
        fetch_fail(fetch, "Tank itself failed while it read this; the log says how.")
        raise
    return FileImport(fetch, is_new=True)


@transaction.atomic
def _apply(fetch: FeedFetch, check: FileCheck, tell: Tell, then: Then) -> None:
    fetch_apply(fetch, Told(file_adapter(check.feed.kind), tell))
    details = {
        "file": fetch.file_name,
        "sha256": check.sha256,
        "days": [str(fetch.first_day), str(fetch.last_day)],
        "rows": fetch.rows_count,
        "amount": show(check.total.amount, check.currency),
    }
    audit_record(actor=fetch.begun_by, verb="feed.imported", target=check.feed, details=details)
    then(fetch)


# --- A checked file waits for its import --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upload:
    """A checked file that waits for its import."""

    feed: Feed
    name: str
    content: bytes
    span: Span | None


def upload_keep(*, actor: User, check: FileCheck, content: bytes, span: Span | None) -> str:
    """Keep the bytes of a checked file and return what names them, signed, for its checker and a day.

    They are kept as the bodies of fetches are, once per content; without an import they go after that day. Raises
    NotAllowed.
    """
    require(actor, "ledger.import_feed_file", message=ONLY_FINANCE)
    body_keep(check.sha256, content)
    days = [span.first.isoformat(), span.last.isoformat()] if span else []
    said = {"feed": check.feed.pk, "name": check.name, "sha256": check.sha256, "days": days, "by": actor.pk}
    return signing.dumps(said, salt=SALT, compress=True)


def upload_of(*, actor: User, token: str) -> Upload:
    """Return the checked file that a token names; raises NotAllowed, Refused (upload_gone)."""
    require(actor, "ledger.import_feed_file", message=ONLY_FINANCE)
    try:
        said = signing.loads(token, salt=SALT, max_age=timedelta(hours=UPLOAD_HOURS))
        content = body_of(said["sha256"])
        feed = Feed.objects.select_related("provider").get(pk=said["feed"])
        if said["by"] != actor.pk:
            raise signing.BadSignature
    except (signing.BadSignature, FeedBody.DoesNotExist, Feed.DoesNotExist) as error:
        raise Refused("The check of this file is over a day old: choose it again.", code="upload_gone") from error
    span = Span(*(date.fromisoformat(day) for day in said["days"])) if said["days"] else None
    return Upload(feed, said["name"], content, span)
