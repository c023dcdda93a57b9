"""What the check of a file found, as JSON that a run keeps, and read from there again: all that pages show of it."""

from collections import Counter
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any, cast

from ledger.models import FileRun
from ledger.providers.base import Fault, Span
from ledger.providers.csv_file import Findings
from ledger.services.feed_files import DayChange, FileCheck, Sums

MOST_SHOWN = 100
"""How many models, unknown names and services pages list; of more than that a run keeps how many there are."""


def found_of(check: FileCheck) -> dict[str, Any]:
    """Return what a check found as JSON; amounts are texts, exactly as they are."""
    span = check.span
    shown = models_shown(check)
    return {
        "findings": _findings(check.findings),
        "currency": check.currency,
        "total": _sums(check.total),
        "models": [[name, charge, _sums(sums)] for (name, charge), sums in shown],
        "more_models": len(check.by_model) - len(shown),
        "span": [str(span.first), str(span.last)] if span else None,
        "outside": check.outside,
        "days": [_day(change) for change in check.days],
        "unknown_models": check.unknown_models[: MOST_SHOWN + 1],
        "unknown_keys": check.unknown_keys[: MOST_SHOWN + 1],
    }


def models_shown(check: FileCheck) -> list[tuple[tuple[str, str], Sums]]:
    """Return the models and charges with the largest amounts, by model and charge."""
    return sorted(check.by_model.items(), key=_by_amount, reverse=True)[:MOST_SHOWN]


def _by_amount(line: tuple[tuple[str, str], Sums]) -> tuple[Any, ...]:
    (name, charge), sums = line
    return abs(sums.amount), sums.tokens, name, charge


def _findings(findings: Findings) -> dict[str, Any]:
    return {
        "faults": [[fault.line, fault.column, fault.message] for fault in findings.faults],
        "more": findings.more,
        "left_out": findings.left_out.most_common(MOST_SHOWN),
        "no_class": findings.no_class.most_common(MOST_SHOWN),
        "moved": findings.moved,
        "rounded": findings.rounded,
        "rounded_by": str(findings.rounded_by),
    }


def _sums(sums: Sums) -> dict[str, Any]:
    return asdict(sums) | {"amount": str(sums.amount)}


def _day(change: DayChange) -> list[Any]:
    """Return a day's facts in the order in which `DayChange` has them."""
    amounts, tokens = (change.amount_before, change.amount), (change.tokens_before, change.tokens)
    return [str(change.day), change.is_new, *map(str, amounts), *map(int, tokens)]


def check_of(run: FileRun) -> FileCheck:
    """Return the check of a run as its page shows it; only for one that is checked."""
    found = cast(dict[str, Any], run.found)
    check = FileCheck(run.feed, run.name, run.sha256, _findings_of(found["findings"]), found["currency"])
    check.total = _sums_of(found["total"])
    check.by_model = {(name, charge): _sums_of(sums) for name, charge, sums in found["models"]}
    check.more_models, check.outside = found["more_models"], found["outside"]
    check.span = Span(*(date.fromisoformat(day) for day in found["span"])) if found["span"] else None
    check.days = [_day_of(*facts) for facts in found["days"]]
    check.unknown_models, check.unknown_keys = found["unknown_models"], found["unknown_keys"]
    return check


def _findings_of(found: dict[str, Any]) -> Findings:
    return Findings(
        faults=[Fault(*fault) for fault in found["faults"]],
        more=found["more"],
        left_out=Counter(dict(found["left_out"])),
        no_class=Counter(dict(found["no_class"])),
        moved=found["moved"],
        rounded=found["rounded"],
        rounded_by=Decimal(found["rounded_by"]),
    )


def _sums_of(found: dict[str, Any]) -> Sums:
    return Sums(**found | {"amount": Decimal(found["amount"])})


def _day_of(day: str, is_new: bool, before: str, amount: str, tokens_before: int, tokens: int) -> DayChange:
    return DayChange(date.fromisoformat(day), is_new, Decimal(before), Decimal(amount), tokens_before, tokens)
