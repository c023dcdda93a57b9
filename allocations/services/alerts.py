"""Write alerts about budgets that run low and tell people, each once: two workers at once tell no one twice.

The insert and what is said belong to one transaction; whoever inserts second waits for the first and then finds the
unique constraint in its way.
"""

import json
from datetime import date, timedelta
from typing import Any

from django.db import connection, transaction

from allocations.models import THRESHOLDS, AllocationLine, AllocationState
from allocations.selectors.outlook import outlooks
from allocations.services.notices import alerts_tell
from ledger.selectors import today

# Spending now: of what has ended nobody needs to hear.
WATCHED = (AllocationState.ACTIVE, AllocationState.SUSPENDED, AllocationState.EXHAUSTED)
# How long a line that recovered by itself must have been told of before it is told again.
QUIET = timedelta(days=7)

REARM = """
    UPDATE allocations_budgetalert a SET rearmed_at = statement_timestamp()
      FROM allocations_quota q
     WHERE q.id = a.quota_id AND a.kind = 'threshold' AND a.rearmed_at IS NULL
       AND (q."limit" IS NULL OR (q."limit" > a."limit" AND q.spent * 100 < a.percent * q."limit"))
"""
REACHED = """
    INSERT INTO allocations_budgetalert (quota_id, kind, percent, "limit", spent, held, currency)
    SELECT q.id, 'threshold', t.percent, q."limit", q.spent, q.held, q.currency
      FROM allocations_quota q
      LEFT JOIN allocations_allocationline l ON l.id = q.line_id
      LEFT JOIN allocations_quotakey k ON k.id = q.key_id
      JOIN allocations_allocation a ON a.id = coalesce(l.allocation_id, k.allocation_id)
     CROSS JOIN unnest(%s::int[]) t (percent)
     WHERE q."limit" > 0 AND q.spent * 100 >= t.percent * q."limit"
       AND a.state = ANY (%s) AND (k.id IS NULL OR k.state <> 'revoked')
       AND NOT EXISTS (SELECT 1 FROM allocations_budgetalert told
                        WHERE told.quota_id = q.id AND told.kind = 'threshold' AND told.percent = t.percent
                          AND told.rearmed_at IS NULL)
     ORDER BY q.id, t.percent
    ON CONFLICT DO NOTHING
    RETURNING id
"""
REARM_BURN = """
    UPDATE allocations_budgetalert a SET rearmed_at = statement_timestamp()
      FROM allocations_quota q
     WHERE q.id = a.quota_id AND a.kind = 'burn_rate' AND a.rearmed_at IS NULL AND NOT a.quota_id = ANY (%s)
       AND (q."limit" > a."limit" OR a.created_at < statement_timestamp() - %s::interval)
"""
BURNING = """
    INSERT INTO allocations_budgetalert
           (quota_id, kind, "limit", spent, held, currency, runs_out_on, ends_on)
    SELECT q.id, 'burn_rate', q."limit", q.spent, q.held, q.currency, e.runs_out_on, e.ends_on
      FROM json_to_recordset(%s) e (quota bigint, runs_out_on date, ends_on date)
      JOIN allocations_quota q ON q.id = e.quota
     ORDER BY q.id
    ON CONFLICT DO NOTHING
    RETURNING id
"""


@transaction.atomic
def threshold_alerts_raise() -> int:
    """Tell of every line and key's cap of which 50, 80, 95 or 100 % is spent; returns how many alerts are new.

    Each threshold once per limit: a higher limit arms again what it is above of. One pass over the quotas.
    """
    _run(REARM)
    new = _inserted(REACHED, list(THRESHOLDS), list(WATCHED))
    alerts_tell(new)
    return len(new)


@transaction.atomic
def burn_alerts_raise(*, now: date | None = None) -> int:
    """Tell of every line that runs out early at its present pace; returns how many alerts are new.

    A line is told of again after its limit was raised, or a week later, when it had recovered in between.
    """
    now = now or today()
    lines = AllocationLine.objects.filter(allocation__state=AllocationState.ACTIVE, allocation__ends_on__gte=now)
    found = outlooks(lines.select_related("allocation", "quota"), now)
    early: list[dict[str, Any]] = [
        {"quota": one.line.quota.pk, "runs_out_on": one.runs_out_on, "ends_on": one.line.allocation.ends_on}
        for one in found
        if one.is_alarming(now)
    ]
    _run(REARM_BURN, [row["quota"] for row in early], QUIET)
    new = _inserted(BURNING, json.dumps(early, default=str))
    alerts_tell(new)
    return len(new)


def _run(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _inserted(statement: str, *parameters: Any) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [pk for (pk,) in cursor.fetchall()]
