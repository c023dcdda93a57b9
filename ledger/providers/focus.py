"""FOCUS 1.0 to 1.4 "Cost and Usage" as CSV, of AWS, Azure, Google, any other, and Tank itself.

What counts (columns: https://focus.finops.org/focus-specification/):

- `BilledCost` is the amount: it is what an invoice adds up to. `EffectiveCost` spreads prepaid commitments over usage
  and adds up to no invoice; it is not read. Amounts of more than 12 places, as Azure writes them, are rounded half even
  to 12; how many were, and by how much in all, is said before a file is imported.
- A row counts on the UTC day on which its `ChargePeriodStart` lies; usage of tokens must lie within a day.
- A correction (`ChargeClass`) of days before its billing period counts on the first day of that period, as an amount
  alone: the days that it corrects are not in the file, and a file restates whole days. In Tank's own export, which goes
  by charge period, it counts on its own day.
- Services not of `ServiceCategory` "AI and Machine Learning", and not named like one, are left out and counted.
- Tokens are `ConsumedQuantity` in `ConsumedUnit`, or else `PricingQuantity` in `PricingUnit`, times the unit's size.
  Which tokens and of which model is in `x_` columns, or else in the words of `SkuMeter`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache

from ledger.models.feeds import Charge
from ledger.providers.base import Row
from ledger.providers.csv_file import (
    Cells,
    FileReading,
    Findings,
    Located,
    Wrong,
    header_of,
    number,
    records,
    shown,
    table,
    unquoted,
)

# Of the columns that a version makes mandatory, those that say what a charge is, when, and how much.
ALWAYS = (
    "BilledCost", "BillingCurrency", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargePeriodEnd",
    "ChargePeriodStart", "PricingQuantity", "PricingUnit", "ServiceCategory", "ServiceName",
)  # fmt: skip
UNTIL_1_2 = ("ProviderName", "PublisherName")
SINCE_1_3 = ("ServiceProviderName", "HostProviderName")
REQUIRED = {
    "1.0": ALWAYS + UNTIL_1_2,
    "1.1": ALWAYS + UNTIL_1_2,
    "1.2": ALWAYS + UNTIL_1_2,
    "1.3": ALWAYS + SINCE_1_3,
    "1.4": ALWAYS + SINCE_1_3,
}
# A column that no version before this one has.
NEW_IN = {
    "1.4": ("commitmentprogrameligibilitydetails", "invoicedetailid"),
    "1.3": ("serviceprovidername", "hostprovidername", "allocatedmethodid", "contractapplied"),
    "1.2": ("pricingcurrency", "billingaccounttype", "subaccounttype", "invoiceid"),
    "1.1": ("skumeter", "skupricedetails", "servicesubcategory", "capacityreservationid"),
}
USAGE, CREDIT, PURCHASE = "Usage", "Credit", "Purchase"
CATEGORIES = {name.lower(): name for name in (USAGE, CREDIT, PURCHASE, "Tax", "Adjustment")}
CHARGE_OF = {CREDIT: Charge.CREDIT, PURCHASE: Charge.MINIMUM}
CLASSES = {"": "", "correction": "Correction"}
AI_CATEGORY = "ai and machine learning"
AI_NAMES = re.compile(
    r"bedrock|openai|anthropic|claude|gemini|vertex|foundry|generative|language model|mistral|llama", re.I
)
MODEL_COLUMNS = ("x_tank_model", "x_model", "x_modelname", "x_model_name", "x_modelid", "x_model_id", "x_skumodel")
KEY_COLUMNS = ("x_tank_key", "x_key", "x_keyid", "x_key_id", "x_apikeyid", "x_api_key_id", "x_apikey")
TIER_COLUMNS = ("x_servicetier", "x_service_tier")
METER_COLUMNS = (
    "SkuMeter", "x_SkuMeterName", "x_UsageType", "x_SkuDescription", "x_sku_description", "ChargeDescription", "SkuId",
)  # fmt: skip
MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::(\d{2})(?:\.\d+)?)?\s?(Z|UTC|[+-]\d{2}:?\d{2})", re.IGNORECASE
)
UNIT = re.compile(r"(?P<size>[0-9][0-9,_]*|million|thousand)?\s*(?P<letter>[km](?![a-z]))?\s*(?P<name>[a-z ]*)", re.I)
LETTERS = {"": 1, "k": 1000, "m": 1_000_000}
WORDS = {"": 1, "thousand": 1000, "million": 1_000_000}
# What a meter's words say of tokens, the surest first; what is found is taken out, and the model's name is left.
TOKEN_CLASS = (
    ("cache_write_1h", r"cache[- _]?(?:write|creation)\w*[- _](?:input[- _])?(?:tokens?[- _])?\(?1[- ]?h(?:our)?\)?"),
    ("cache_write_5m", r"cache[- _]?(?:write|creation)\w*|cchwrt|write[- _]cache"),
    (
        "cache_read",
        r"cache[- _]?(?:read|hit)\w*|cach?e?d[- _]?(?:input|inp|in|prompt|text)\b|cchd[- _]inp\w*|\bcached\b",
    ),
    ("output", r"output|\boutp\b|\bopt\b|\bout\b|completion|generated|response"),
    ("input", r"input|\binp\b|\bin\b|prompt|embedding"),
)
NOISE = re.compile(
    r"\b(?:input|inp|output|outp|opt|tokens?|count|units?|cached?|read|write|cache|batch|text|of|1[KM]|per|\(?5m\)?|\(?1h\)?)\b",
    re.I,
)
REGION = re.compile(r"^[A-Z]{2,4}\d?-(?:MP:)?")
PLACES = Decimal(1).scaleb(-12)
NEARLY = Decimal("0.001")  # of a token: what a provider's own floating point adds
HEADER = (
    "BilledCost", "BillingCurrency", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargePeriodEnd",
    "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "HostProviderName", "PricingQuantity", "PricingUnit",
    "ServiceCategory", "ServiceName", "ServiceProviderName", "SkuMeter", "SubAccountId", "x_model",
)  # fmt: skip
SAMPLE = """{header}
18.5,USD,2026-11-01T00:00:00Z,Usage,,2026-11-02T00:00:00Z,2026-11-01T00:00:00Z,7400000,Tokens,acme,7.4,1000000 Tokens,\
AI and Machine Learning,Language model API,acme,Input Tokens,claims,gpt-6-astra
6,USD,2026-11-01T00:00:00Z,Usage,,2026-11-02T00:00:00Z,2026-11-01T00:00:00Z,600,1K tokens,acme,0.6,1000000 Tokens,\
AI and Machine Learning,Language model API,acme,Output Tokens,claims,gpt-6-astra
-2.5,USD,2026-11-01T00:00:00Z,Credit,,2026-11-02T00:00:00Z,2026-11-01T00:00:00Z,,,acme,,,\
AI and Machine Learning,Language model API,acme,,,
"""


class Focus(FileReading):
    """Reads FOCUS."""

    gives_tokens = gives_money = True
    day_column, currency_column, header = "ChargePeriodStart", "BillingCurrency", HEADER

    def read(self, body: bytes, findings: Findings) -> Iterator[Located]:
        """Read the good rows of a file one by one, and note what is wrong with the others."""
        header = next(records(body, Findings()), None)
        names = header_of(header, (), Findings()) if header else {}
        reading = _Reading("x_tank_line" in names, findings)
        for cells in table(body, REQUIRED[version_of(names)], findings):
            row = reading.row(cells)
            if row and cells.is_good:
                yield Located(cells.line, row)

    def sample(self) -> str:
        """Return a short file that can be imported as it is."""
        return SAMPLE.format(header=",".join(HEADER))


def version_of(columns: dict[str, int]) -> str:
    """Return the version of FOCUS that a header is of: the latest that brought one of its columns."""
    found = [version for version, names in NEW_IN.items() if any(name in columns for name in names)]
    return found[0] if found else "1.0"


@dataclass(frozen=True, slots=True)
class _When:
    """The charge period of a row, and the day on which it counts."""

    starts_at: datetime
    ends_at: datetime
    day: date
    is_moved: bool


@dataclass
class _Reading:
    """The reading of one file; `is_own` where Tank wrote it."""

    is_own: bool
    findings: Findings

    def row(self, cells: Cells) -> Row | None:
        """Read a row; None for one that is left out or wrong."""
        category = cells.one_of("ChargeCategory", CATEGORIES)
        is_correction = bool(cells.one_of("ChargeClass", CLASSES))
        when = self._when(cells, is_correction)
        if when is None or not category:
            return None
        if not self._is_ours(cells):
            self.findings.left_out[shown(cells.text("ServiceName") or cells.text("ServiceCategory"))] += 1
            return None
        amount = self._amount(cells)
        if when.is_moved:
            self.findings.moved += 1
            return self._amount_alone(cells, category, when, amount)
        return self._whole(cells, category, when, amount)

    def _is_ours(self, cells: Cells) -> bool:
        if cells.text("ServiceCategory").lower() == AI_CATEGORY:
            return True
        return bool(AI_NAMES.search(cells.text("ServiceName"))) or "token" in cells.text("ConsumedUnit").lower()

    def _when(self, cells: Cells, is_correction: bool) -> _When | None:
        starts, ends = _moment(cells, "ChargePeriodStart"), _moment(cells, "ChargePeriodEnd")
        billed = _moment(cells, "BillingPeriodStart")
        if starts is None or ends is None or billed is None:
            return None
        if ends <= starts:
            cells.wrong("ChargePeriodEnd", "is not after ChargePeriodStart")
            return None
        is_moved = is_correction and starts < billed and not self.is_own
        return _When(starts, ends, (billed if is_moved else starts).date(), is_moved)

    def _amount(self, cells: Cells) -> Decimal:
        value = cells.number("BilledCost")
        if value is None:
            if not cells.text("BilledCost"):
                cells.wrong("BilledCost", "is blank")
            return Decimal(0)
        rounded = value.quantize(PLACES, ROUND_HALF_EVEN)
        if rounded != value:
            self.findings.rounded += 1
            self.findings.rounded_by += rounded - value
            return rounded
        return value

    def _amount_alone(self, cells: Cells, category: str, when: _When, amount: Decimal) -> Row:
        about = f"Correction of {when.starts_at.date()}: {_about(cells, category)}"
        return _row(cells, when.day, CHARGE_OF.get(category, Charge.OTHER), about, amount)

    def _whole(self, cells: Cells, category: str, when: _When, amount: Decimal) -> Row:
        if category != USAGE:
            return _row(cells, when.day, CHARGE_OF.get(category, Charge.OTHER), _about(cells, category), amount)
        meter = meter_of(_meter(cells))
        tokens = _tokens(cells, meter)
        if tokens is None:
            return _row(cells, when.day, Charge.TOOL, _meter(cells), amount)
        if not meter.token_class:
            self.findings.no_class[shown(_meter(cells)) or "no meter"] += 1
            return _row(cells, when.day, Charge.TOKENS, _meter(cells), amount, meter)
        if when.ends_at - when.starts_at > timedelta(days=1):
            cells.wrong("ChargePeriodEnd", "is more than a day after ChargePeriodStart: tokens are compared by the day")
        return _row(cells, when.day, Charge.TOKENS, _detail(cells, meter), amount, meter, tokens)


@dataclass(frozen=True, slots=True)
class Meter:
    """What the words of a meter say: which tokens, which model, and whether it is a batch; blank where they do not."""

    token_class: str
    model: str
    is_batch: bool
    says_tokens: bool


@lru_cache(maxsize=4096)
def meter_of(words: str) -> Meter:
    """Read the words of a meter, such as "gpt-4o 0806 Inp glbl Tokens" or "Cache Read Input Tokens"."""
    plain = words.replace("_", "-")
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", plain)
    found = next((name for name, pattern in TOKEN_CLASS if re.search(pattern, spaced, re.I)), "")
    if found == "cache_write_5m" and re.search(r"\b1[- ]?h(?:our)?\b", spaced, re.I):
        found = "cache_write_1h"
    model = " ".join(NOISE.sub(" ", REGION.sub("", plain)).replace("--", "-").split()).strip("- ()")
    return Meter(found, model, bool(re.search(r"\bbatch", spaced, re.I)), "token" in spaced.lower())


def _meter(cells: Cells) -> str:
    """Return the words of a row's meter: the first that say which tokens, or else the first that are there."""
    words = [text for name in METER_COLUMNS if (text := unquoted(cells.text(name)))]
    return next((text for text in words if meter_of(text).token_class), words[0] if words else "")


def _about(cells: Cells, category: str) -> str:
    return unquoted(cells.text("ChargeDescription")) or category


def _detail(cells: Cells, meter: Meter) -> str:
    return "" if _first(cells, MODEL_COLUMNS) or meter.model else _about(cells, USAGE)


def _first(cells: Cells, columns: tuple[str, ...]) -> str:
    return next((text for name in columns if (text := unquoted(cells.text(name)))), "")


def _row(
    cells: Cells,
    day: date,
    charge: Charge,
    detail: str,
    amount: Decimal,
    meter: Meter | None = None,
    tokens: int = 0,
) -> Row:
    counts = {f"{meter.token_class}_tokens": tokens} if meter and meter.token_class else {}
    return Row(
        day=day,
        model_name=_fit(_first(cells, MODEL_COLUMNS) or (meter.model if meter else ""), 200),
        provider_key=_fit(_first(cells, KEY_COLUMNS) or cells.text("ResourceId"), 160),
        project=_fit(unquoted(cells.text("SubAccountId")), 160),
        service_tier=_fit(_first(cells, TIER_COLUMNS), 30),
        is_batch=meter.is_batch if meter else False,
        charge=charge,
        token_class=meter.token_class if meter else "",
        detail=_fit(detail, 300),
        amount=amount,
        currency=_currency(cells),
        row_id=str(cells.line),
        **counts,  # type: ignore[arg-type]  # counts, by the names of their columns
    )


def _fit(text: str, most: int) -> str:
    """Return a text that fits its column; of a longer one the end, which is what tells resources apart."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _currency(cells: Cells) -> str:
    text = cells.text("BillingCurrency")
    if not (len(text) == 3 and text.isascii() and text.isupper()):
        cells.wrong("BillingCurrency", f"“{shown(text)}” is not a currency: three capital letters, like USD")
    return text


def _moment(cells: Cells, column: str) -> datetime | None:
    try:
        return moment(cells.text(column))
    except Wrong as wrong:
        cells.wrong(column, str(wrong))
        return None


@lru_cache(maxsize=4096)
def moment(text: str) -> datetime:
    """Return a moment in UTC from "2026-11-05T00:00:00Z", "… +02:00" or "… UTC"; raises Wrong without a zone."""
    found = MOMENT.fullmatch(text)
    if not found:
        if not text:
            raise Wrong("is blank")
        raise Wrong(f"“{shown(text)}” is not a time with its zone: write it like 2026-11-05T00:00:00Z")
    day, minutes, seconds, zone = found.groups()
    offset = "+00:00" if zone.upper() in {"Z", "UTC"} else zone
    try:
        return datetime.fromisoformat(f"{day}T{minutes}:{seconds or '00'}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Wrong(f"“{shown(text)}” is not a time") from error


def _tokens(cells: Cells, meter: Meter) -> int | None:
    """Return how many tokens a row is about; None where it is about something else."""
    for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
        if not cells.text(quantity):
            continue
        size = size_of(cells.text(unit), meter.says_tokens)
        if size is None:
            continue
        value = cells.number(quantity)
        return None if value is None else _whole(cells, quantity, value * size)
    return None


def _whole(cells: Cells, column: str, tokens: Decimal) -> int:
    nearest = tokens.to_integral_value(ROUND_HALF_EVEN)
    if abs(tokens - nearest) >= NEARLY:
        cells.wrong(column, f"“{cells.text(column)}” comes to {tokens:f} tokens, which is no whole number")
    return int(nearest)


@lru_cache(maxsize=1024)
def size_of(unit: str, says_tokens: bool = False) -> Decimal | None:
    """Return how many tokens a unit is ("1000000 Tokens", "1K tokens", "Tokens"); None for a unit of something else.

    Where the meter speaks of tokens, a bare size ("1K", "1M") is one of tokens too.
    """
    found = UNIT.fullmatch(unit.strip())
    if not found:
        return None
    name = found["name"].strip().lower()
    if name not in {"token", "tokens"} and not (says_tokens and name == "" and (found["size"] or found["letter"])):
        return None
    size = (found["size"] or "").lower()
    count = Decimal(WORDS[size]) if size in WORDS else number(size.replace(",", "").replace("_", ""))
    return count * LETTERS[(found["letter"] or "").lower()]


ADAPTER = Focus()
