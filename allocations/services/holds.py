"""Settling by hand what a process held that went away: the database does it, and nobody writes holds beside it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
import psycopg
from django.db import DatabaseError, connection, transaction

from allocations.models import Allocation
from allocations.selectors.unsettled import LostHold
from ledger.ids import uuid7
from ledger.models import AiModel
from ledger.money import exact, plain
from ledger.selectors import rate_in_force
from teams.access import require
from teams.errors import Refused, require_reason
from teams.models import User
from teams.services import audit_record

SETTLE = "SELECT allocations_settle_by_hand(%s, %s, %s, %s, %s)"
REFUSALS = {
    "TK011": ("may_come_back", "Its process went away less than an hour ago and may still settle this itself."),
    "TK012": ("hold_changed", "This is not held any more, or not as much: look at it again."),
}


@transaction.atomic
def hold_release(*, actor: User, hold: LostHold, reason: str) -> None:
    """Give back what lost calls held, because the provider says that nothing was used.

    Raises NotAllowed, Refused (reason_missing, may_come_back, hold_changed).
    """
    _require_may_settle(actor, reason)
    _settle(hold, None)
    _audit(actor, "hold.release", hold, reason, {})


@transaction.atomic
def hold_charge(
    *,
    actor: User,
    hold: LostHold,
    cost: Decimal,
    model: AiModel,
    reason: str,
    tokens: Mapping[str, int] | None = None,
) -> Decimal:
    """Charge lost calls what the provider says they cost, in the line's currency; returns the overage.

    One usage record stands for them, by the model's rate when they were sent at the latest, with as many tokens of each
    class (`ledger.models.TOKEN_CLASSES`) as the provider's figures say, or with none where nobody knows. What
    the hold and the room of line and key do not take is overage. That of a call from outside is the call's own, so its
    caller cannot settle it once more. Raises NotAllowed, Refused (reason_missing,
    amount_not_positive, no_rate, may_come_back, hold_changed).
    """
    _require_may_settle(actor, reason)
    if exact(cost) <= 0:
        raise Refused("The amount must be more than zero; what cost nothing is released.", code="amount_not_positive")
    settle = _settle_row(hold, cost, model, tokens or {})
    overage = _settle(hold, settle)
    details = {"cost": plain(cost), "overage": plain(overage), "model": model.name, "request": settle["request_id"]}
    _audit(actor, "hold.charge", hold, reason, details)
    return overage


def _require_may_settle(actor: User, reason: str) -> None:
    require(actor, "allocations.settle_hold", message="Only finance settles calls by hand.")
    require_reason(reason)


def _settle_row(hold: LostHold, cost: Decimal, model: AiModel, tokens: Mapping[str, int]) -> dict[str, Any]:
    rate = rate_in_force(model, hold.sent_at)
    if rate is None:
        raise Refused(f"{model} had no rate when these calls were made.", code="no_rate", field="model")
    counts = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    return {
        "request_id": str(hold.worker_id if hold.caller_id else uuid7()),
        "cost": plain(cost),
        "void": False,
        "sent_at": hold.sent_at,
        "provider_id": model.provider_id,
        "model_id": model.pk,
        "rate_id": rate.pk,
        "model_asked": model.name,
        "model_returned": "",
        "surface": "",
        "streamed": False,
        "service_tier": "",
        "upstream_id": "",
        "tags": {},
        **{f"{name}_tokens": tokens.get(name, 0) for name in counts},
    }


def _settle(hold: LostHold, settle: Mapping[str, Any] | None) -> Decimal:
    row = None if settle is None else orjson.dumps(settle).decode()
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(SETTLE, [hold.worker_id, hold.line_quota_id, hold.key_quota_id, hold.amount, row])
            overage: Decimal = cursor.fetchone()[0]
    except DatabaseError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and cause.sqlstate in REFUSALS:
            code, words = REFUSALS[cause.sqlstate]
            raise Refused(words, code=code) from error
        raise
    return overage


def _audit(actor: User, verb: str, hold: LostHold, reason: str, details: dict[str, Any]) -> None:
    allocation: Allocation = hold.line.allocation
    where = {
        "process": str(hold.worker_id),
        "line": hold.line.tier,
        "key": hold.key.name,
        "held": plain(hold.amount),
    }
    audit_record(actor=actor, verb=verb, target=allocation, reason=reason, details=where | details)
