"""Providers' invoices that come in a CSV file: checked line by line, then all of them entered or none.

What is entered waits for a second person as an invoice does that was typed by hand.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from django.core import signing
from django.db import transaction
from djmoney.money import Money

from ledger.models import Account, AccountClass, FeedBody, Provider, ProviderInvoice
from ledger.money import CURRENCY, InexactAmount, exact
from ledger.providers.csv_file import FILE, Cells, Findings, Wrong, day_of, header_of, records, shown, table
from ledger.selectors.invoices import COUNTED
from ledger.selectors.journal import today
from ledger.services.bodies import UPLOAD_HOURS, body_keep, body_of
from ledger.services.invoices import invoice_enter, invoice_faults, invoices_lock, number_known
from teams.access import require
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record

MOST_BYTES = 1_000_000
MOST_INVOICES = 1000
SALT = "ledger.invoice_files"
ENTER, ONLY_FINANCE = "ledger.enter_invoice", "Only finance enters invoices."
NEEDED = ("provider", "number", "month", "issued_on", "amount")
COLUMNS = {
    "provider": "The provider's name in Tank. Must be there.",
    "number": "As printed on the invoice, at most 80 characters; once for each provider. Must be there.",
    "month": "The month whose usage it bills, like 2026-10. Must be there.",
    "issued_on": "The day that it was issued on, like 2026-11-05. Must be there.",
    "amount": "The amount without tax, at most 12 decimal places. Less than zero for a credit note. Must be there.",
    "currency": "The currency of amount and tax, three letters: that of the provider's accounts. Blank: USD.",
    "tax": "The tax on it, without a sign. Blank for none.",
    "note": "A note of at most 300 characters. May be blank.",
}


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice as a line of a file has it; amount and tax in its currency."""

    line: int
    provider: Provider
    number: str
    month: date
    issued_on: date
    currency: str
    amount: Decimal
    tax: Decimal
    note: str

    @property
    def money(self) -> Money:
        """Return the amount without tax."""
        return Money(self.amount, self.currency)

    @property
    def tax_money(self) -> Money:
        """Return the tax."""
        return Money(self.tax, self.currency)


@dataclass
class InvoicesCheck:
    """What a file of invoices says, and what is wrong with it; nothing was entered."""

    name: str
    sha256: str
    findings: Findings = field(default_factory=Findings)
    rows: list[InvoiceRow] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Say whether all of it can be entered."""
        return not self.findings.faults


def invoices_check(*, content: bytes, name: str) -> InvoicesCheck:
    """Read a file and say which invoices an import of it would enter; changes nothing.

    Everything wrong is in `findings`. Raises Refused (file_too_large).
    """
    if len(content) > MOST_BYTES:
        raise Refused(f"A file has at most {MOST_BYTES // 1_000_000} MB.", code="file_too_large", field="file")
    check = InvoicesCheck(name, hashlib.sha256(content).hexdigest())
    if _header_is_good(content, check.findings):
        _read(check, content)
    return check


@transaction.atomic
def invoices_import(*, actor: User, content: bytes, name: str) -> list[ProviderInvoice]:
    """Enter each invoice of a file, all of them or none; they wait for a second person.

    Raises NotAllowed, FileRefused with every fault, Refused (file_too_large, or number_known for what somebody else
    entered meanwhile).
    """
    require(actor, ENTER, message=ONLY_FINANCE)
    check = invoices_check(content=content, name=name)
    check.findings.raise_faults()
    # All locks before the first invoice: taken one by one, they would wait crosswise for somebody who decides.
    invoices_lock(row.provider.pk for row in check.rows)
    return [_enter(actor, check, row) for row in check.rows]


def _enter(actor: User, check: InvoicesCheck, row: InvoiceRow) -> ProviderInvoice:
    invoice = invoice_enter(
        actor=actor,
        provider=row.provider,
        number=row.number,
        month=row.month,
        issued_on=row.issued_on,
        amount=row.money,
        tax=row.tax,
        note=row.note,
    )
    details = {"file": check.name[-200:], "sha256": check.sha256, "line": row.line}
    audit_record(actor=actor, verb="invoice.import", target=invoice, details=details)
    return invoice


# --- Reading ------------------------------------------------------------------------------------


def _header_is_good(content: bytes, findings: Findings) -> bool:
    header = next(records(content, Findings()), None)
    if header is None:
        return True  # Its fault is told where it is read.
    for name in header_of(header, (), Findings()):
        if name not in COLUMNS:
            findings.say(header.line, name or "a column without a name", f"is not known: one of {', '.join(COLUMNS)}")
    header_of(header, NEEDED, findings)
    return not findings.faults


def _read(check: InvoicesCheck, content: bytes) -> None:
    accounts = {
        account.code.removeprefix("metered:"): account
        for account in Account.objects.filter(account_class=AccountClass.METERED).select_related("provider")
    }
    known = set(ProviderInvoice.objects.filter(state__in=COUNTED).values_list("provider", "number"))
    lines: dict[tuple[int, str], int] = {}
    count = 0
    for count, cells in enumerate(table(content, NEEDED, check.findings), 1):
        if count > MOST_INVOICES:
            check.findings.say(cells.line, FILE, f"has more than {MOST_INVOICES} invoices: import it in parts")
            return
        row = _row(cells, accounts, known, lines)
        if row:
            check.rows.append(row)
    if not count and check.is_good:
        check.findings.say(1, FILE, "has no invoice below its header")


def _row(
    cells: Cells, accounts: dict[str, Account], known: set[tuple[int, str]], lines: dict[tuple[int, str], int]
) -> InvoiceRow | None:
    """Return the invoice of a line; None when anything is wrong with it, which is then noted."""
    metered = accounts.get(cells.one_of("provider", {name: name for name in sorted(accounts)}))
    number, note = _number(cells), cells.short("note", 300)
    month, issued_on = _day(cells, "month", "-01"), _day(cells, "issued_on")
    amount, tax, currency = _amount(cells, "amount"), _tax(cells), _currency(cells)
    for fault in invoice_faults(metered, amount, currency, month, issued_on):
        cells.wrong(fault.field, fault.message)
    provider = metered.provider if metered else None
    if provider and number:
        _once(cells, provider, number, known, lines)
    if not (cells.is_good and provider and month and issued_on and amount):
        return None
    return InvoiceRow(cells.line, provider, number, month, issued_on, currency, amount, tax, note)


def _once(
    cells: Cells, provider: Provider, number: str, known: set[tuple[int, str]], lines: dict[tuple[int, str], int]
) -> None:
    """Note an invoice that is entered already, or stands in the file twice."""
    first = lines.setdefault((provider.pk, number), cells.line)
    if (provider.pk, number) in known:
        refused = number_known(provider, number)
        cells.wrong(refused.field, refused.message)
    elif first != cells.line:
        cells.wrong("number", f"stands on line {first} already: {provider.name}'s invoice {shown(number)}")


def _number(cells: Cells) -> str:
    number = cells.short("number", 80)
    if not number:
        cells.wrong("number", "is blank")
    return number


def _day(cells: Cells, column: str, rest: str = "") -> date | None:
    """Return a cell's day, or the first of its month when `rest` is the day to put behind it."""
    text = cells.text(column)
    try:
        return day_of(f"{text}{rest}")
    except Wrong as wrong:
        month = f"“{shown(text)}” is not a month: write it like 2026-11"
        cells.wrong(column, (month if rest else str(wrong)) if text else "is blank")
        return None


def _amount(cells: Cells, column: str) -> Decimal | None:
    if not cells.text(column):
        cells.wrong(column, "is blank")
        return None
    try:
        value = cells.number(column)
        return None if value is None else exact(value)
    except InexactAmount:
        cells.wrong(column, f"“{shown(cells.text(column))}” has more than 12 decimal places")
        return None


def _tax(cells: Cells) -> Decimal:
    tax = _amount(cells, "tax") if cells.text("tax") else None
    if tax and tax < 0:
        cells.wrong("tax", "is less than zero: it is written without a sign, a credit note's too")
    return tax or Decimal(0)


def _currency(cells: Cells) -> str:
    text = cells.text("currency") or CURRENCY
    if len(text) == 3 and text.isascii() and text.isalpha() and text.isupper():
        return text
    cells.wrong("currency", f"“{shown(text)}” is not a currency: three capital letters, like USD")
    return ""


def invoices_sample() -> str:
    """Return a short file of last month that can be imported as it is."""
    name = Provider.objects.order_by("name").values_list("name", flat=True).first() or "sandbox"
    issued_on = today().replace(day=1)
    month = f"{issued_on - timedelta(days=1):%Y-%m}"
    return (
        f"{','.join(COLUMNS)}\n"
        f"{name},SAMPLE-1,{month},{issued_on},1250.50,USD,237.60,\n"
        f'{name},SAMPLE-2,{month},{issued_on},-40,USD,7.60,"A credit note, for an outage"\n'
    )


# --- A checked file waits for its import --------------------------------------------------------


def invoices_keep(*, actor: User, check: InvoicesCheck, content: bytes) -> str:
    """Keep the bytes of a checked file and return what names them, signed, for its checker and a day.

    They are kept as the files of feeds are: for good once their invoices are entered. Raises NotAllowed.
    """
    require(actor, ENTER, message=ONLY_FINANCE)
    body_keep(check.sha256, content)
    return signing.dumps({"name": check.name, "sha256": check.sha256, "by": actor.pk}, salt=SALT, compress=True)


def invoices_kept(*, actor: User, token: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the file that a token names; raises NotAllowed, Refused (upload_gone)."""
    require(actor, ENTER, message=ONLY_FINANCE)
    try:
        said = signing.loads(token, salt=SALT, max_age=timedelta(hours=UPLOAD_HOURS))
        if said["by"] != actor.pk:
            raise signing.BadSignature
        return said["name"], body_of(said["sha256"])
    except (signing.BadSignature, FeedBody.DoesNotExist) as error:
        raise Refused("The check of this file is over a day old: choose it again.", code="upload_gone") from error
