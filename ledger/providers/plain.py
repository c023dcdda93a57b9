"""A plain CSV of a provider's figures, for whoever has neither an API nor FOCUS: the header says what each column is.

Only `day` and one figure must be there. Token classes exclude one another: `input_tokens` are those that no cache gave.
Rows of the same day and dimensions are added up. An unknown column is a fault: it may be a known one misspelt.
"""

from collections.abc import Iterator
from decimal import Decimal

from ledger.models.feeds import TOKEN_CLASSES, Charge
from ledger.money import CURRENCY, InexactAmount, exact
from ledger.providers.base import Row
from ledger.providers.csv_file import Cells, FileReading, Findings, Located, Wrong, day_of, header_of, records, table

TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")
FIGURES = ("requests", *TOKENS, "amount")
COLUMNS = {
    "day": "The day of the usage in UTC, like 2026-11-05. Must be there.",
    "model": "The model as the provider writes it.",
    "key": "The provider's id of the key that was used, never the key itself.",
    "project": "The project or workspace of the provider's account.",
    "requests": "How many calls.",
    "input_tokens": "Input tokens that no cache gave.",
    "cache_read_tokens": "Input tokens read from a cache.",
    "cache_write_5m_tokens": "Tokens written to a cache for five minutes, or for a time that is not said.",
    "cache_write_1h_tokens": "Tokens written to a cache for an hour.",
    "output_tokens": "Output tokens, reasoning included.",
    "amount": "What it costs, without tax; at most 12 decimal places. Less than zero for a credit.",
    "currency": "The amount's currency, three letters. Blank: USD.",
    "charge": "What it is for: tokens (also when blank), tool, credit, minimum or other.",
    "token_class": "Of an amount for one class of tokens: input, cache_read, cache_write_5m, cache_write_1h or output.",
    "service_tier": "The provider's service tier.",
    "batch": "yes where it was a batch; blank or no where not.",
    "detail": "The line item in the provider's words.",
}
HEADER = tuple(COLUMNS)
CHARGES = {"": Charge.TOKENS.value, **{charge.value: charge.value for charge in Charge}}
CLASSES = {"": "", **{name: name for name in TOKEN_CLASSES}}
YES = {"": "", "no": "", "false": "", "0": "", "yes": "yes", "true": "yes", "1": "yes"}
SAMPLE = """day,model,key,requests,input_tokens,cache_read_tokens,output_tokens,amount,currency,charge,detail
2026-11-01,gpt-6-astra,key_01,1200,4500000,1800000,600000,15.5849,USD,tokens,
2026-11-01,gpt-6-astra,key_02,3,9000,0,1500,0.0375,USD,tokens,
2026-11-01,,,40,,,,0.4,USD,tool,"Web search, per call"
2026-11-02,,,,,,,-5,USD,credit,Credit note 7
"""


class Plain(FileReading):
    """Reads the plain CSV."""

    gives_tokens = gives_money = True
    day_column, currency_column, header = "day", "currency", HEADER

    def read(self, body: bytes, findings: Findings) -> Iterator[Located]:
        """Read the good rows of a file one by one, and note what is wrong with the others."""
        if not _header_is_good(body, findings):
            return
        for cells in table(body, ("day",), findings):
            row = _row(cells)
            if cells.is_good:
                yield Located(cells.line, row)

    def sample(self) -> str:
        """Return a short file that can be imported as it is."""
        return SAMPLE


def _header_is_good(body: bytes, findings: Findings) -> bool:
    header = next(records(body, Findings()), None)
    if header is None:
        return True  # Its fault is told where it is read.
    names = header_of(header, (), Findings())
    for name in names:
        if name not in COLUMNS:
            findings.say(header.line, name or "a column without a name", f"is not known: one of {', '.join(HEADER)}")
    if not any(name in names for name in FIGURES):
        findings.say(header.line, "the header", f"has no figure: one of {', '.join(FIGURES)}")
    return not findings.faults


def _row(cells: Cells) -> Row:
    day = cells.text("day")
    try:
        when = day_of(day)
    except Wrong as wrong:
        cells.wrong("day", str(wrong) if day else "is blank")
        when = day_of("1970-01-01")
    if not any(cells.text(name) for name in FIGURES):
        cells.wrong("amount", "has no figure: the row says nothing")
    return Row(
        day=when,
        model_name=cells.short("model", 200),
        provider_key=cells.short("key", 160),
        project=cells.short("project", 160),
        service_tier=cells.short("service_tier", 30),
        is_batch=bool(cells.one_of("batch", YES)),
        charge=Charge(cells.one_of("charge", CHARGES) or Charge.TOKENS),
        token_class=cells.one_of("token_class", CLASSES),
        detail=cells.short("detail", 300),
        requests=cells.whole("requests"),
        **{name: cells.whole(name) for name in TOKENS},  # type: ignore[arg-type]  # counts, by their columns' names
        amount=_amount(cells),
        currency=_currency(cells),
        row_id=str(cells.line),
    )


def _amount(cells: Cells) -> Decimal:
    value = cells.number("amount")
    if value is None:
        return Decimal(0)
    try:
        return exact(value)
    except InexactAmount:
        cells.wrong("amount", f"“{cells.text('amount')}” has more than 12 decimal places")
        return Decimal(0)


def _currency(cells: Cells) -> str:
    text = cells.text("currency")
    if text and not (len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()):
        cells.wrong("currency", f"“{text[:40]}” is not a currency: three capital letters, like USD")
    return text or CURRENCY


ADAPTER = Plain()
