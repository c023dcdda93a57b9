"""Write alerts about budgets that run low and tell people, each once: two workers at once tell no one twice.

The insert and what is said belong to one transaction; whoever inserts second waits for the first and then finds the
unique constraint in its way.
"""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from allocations.models import THRESHOLDS, AllocationLine, AllocationState, Window
from allocations.models.quota import starts_on
from allocations.selectors.outlook import outlooks
from allocations.services.notices import alerts_tell
from ledger.selectors import today

# Spending now: of what has ended nobody needs to hear.
WATCHED = (AllocationState.ACTIVE, AllocationState.SUSPENDED, AllocationState.EXHAUSTED)
# So long after its end a window is still looked at: what was spent in its last minute is told too.
LATE = timedelta(hours=1)
# How long a line that recovered by itself must have been told of before it is told again.
QUIET = timedelta(days=7)

# How everything that is watched stands, in money and in tokens: lines, keys, and of each key the windows that are open
# or have just been shut.
FIGURES = """
    WITH watched AS (
        SELECT q.*, l.allocation_id
          FROM allocations_quota q JOIN allocations_allocationline l ON l.id = q.line_id
        UNION ALL
        SELECT q.*, k.allocation_id
          FROM allocations_quota q JOIN allocations_quotakey k ON k.id = q.key_id WHERE k.state <> 'revoked'
        UNION ALL
        SELECT q.*, k.allocation_id
          FROM unnest(%(windows)s::text[], %(firsts)s::date[]) w (name, first)
          JOIN allocations_quota q ON (q."window", q.starts_on) = (w.name, w.first)
          JOIN allocations_quotakey k ON k.id = q.window_of_id WHERE k.state <> 'revoked'
    ), figures AS (
        SELECT w.id AS quota_id, w.allocation_id, w.currency, v.*
          FROM watched w
         CROSS JOIN LATERAL (VALUES ('threshold', w."limit", w.spent, w.held),
                                    ('tokens', w.token_limit, w.tokens_spent, w.tokens_held)
                            ) v (kind, "limit", spent, held)
    )
"""
REARM = """
    UPDATE allocations_budgetalert a SET rearmed_at = statement_timestamp()
      FROM figures f
     WHERE f.quota_id = a.quota_id AND f.kind = a.kind AND a.rearmed_at IS NULL
       AND (f."limit" IS NULL OR (f."limit" > a."limit" AND f.spent * 100 < a.percent * f."limit"))
"""
REACHED = """
    INSERT INTO allocations_budgetalert (quota_id, kind, percent, "limit", spent, held, currency)
    SELECT f.quota_id, f.kind, t.percent, f."limit", f.spent, f.held, f.currency
      FROM figures f
      JOIN allocations_allocation a ON a.id = f.allocation_id
     CROSS JOIN unnest(%(thresholds)s::int[]) t (percent)
     WHERE f."limit" > 0 AND f.spent * 100 >= t.percent * f."limit" AND a.state = ANY (%(states)s)
       AND NOT EXISTS (SELECT 1 FROM allocations_budgetalert told
                        WHERE told.quota_id = f.quota_id AND told.kind = f.kind AND told.percent = t.percent
                          AND told.rearmed_at IS NULL)
     ORDER BY f.quota_id, f.kind, t.percent
    ON CONFLICT DO NOTHING
    RETURNING id
"""
REARM_BURN = """
    UPDATE allocations_budgetalert a SET rearmed_at = statement_timestamp()
      FROM allocations_quota q
     WHERE q.id = a.quota_id AND a.kind = 'burn_rate' AND a.rearmed_at IS NULL AND NOT a.quota_id = ANY (%(early)s)
       AND (q."limit" > a."limit" OR a.created_at < statement_timestamp() - %(quiet)s::interval)
"""
BURNING = """
    INSERT INTO allocations_budgetalert
           (quota_id, kind, "limit", spent, held, currency, runs_out_on, ends_on)
    SELECT q.id, 'burn_rate', q."limit", q.spent, q.held, q.currency, e.runs_out_on, e.ends_on
      FROM json_to_recordset(%(early)s) e (quota bigint, runs_out_on date, ends_on date)
      JOIN allocations_quota q ON q.id = e.quota
     ORDER BY q.id
    ON CONFLICT DO NOTHING
    RETURNING id
"""


@transaction.atomic
def threshold_alerts_raise(*, now: datetime | None = None) -> int:
    """Tell of every limit of a line or key of which 50, 80, 95 or 100 % is used; returns how many alerts are new.

    Limits in money and in tokens, of keys in all and of the day and month of `now`. Each threshold once per limit,
    and once a day or month: a higher limit arms again what it is above of. One pass over the quotas.
    """
    windows = _windows(now or datetime.now(UTC))
    _run(FIGURES + REARM, windows)
    new = _inserted(FIGURES + REACHED, windows | {"thresholds": list(THRESHOLDS), "states": list(WATCHED)})
    alerts_tell(new)
    return len(new)


def _windows(now: datetime) -> dict[str, list[Any]]:
    found = {(window, starts_on(window, moment)) for window in Window.values for moment in (now, now - LATE)}
    return {"windows": [window for window, _ in found], "firsts": [first for _, first in found]}


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
    _run(REARM_BURN, {"early": [row["quota"] for row in early], "quiet": QUIET})
    new = _inserted(BURNING, {"early": json.dumps(early, default=str)})
    alerts_tell(new)
    return len(new)


def _run(statement: str, parameters: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _inserted(statement: str, parameters: dict[str, Any]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [pk for (pk,) in cursor.fetchall()]
