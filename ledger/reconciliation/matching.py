"""Lines from both sides: the usage subledger's days and the providers' current figures, set against one another in SQL.

A line is a provider, a day (UTC) and a model; traffic of the provider's other keys has lines of its own. Calls are
counted on the day that they were sent, as providers do, though the subledger's days go by when they were settled. A
line whose figures are as before is not touched; one whose figures changed keeps what it was as a revision.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from django.db import connection, transaction

from ledger.models import Provider
from ledger.providers.base import Span
from ledger.services.feed_keys import keys_found

DAYS_AT_ONCE = 31  # of which both sides fit into memory

COVERED = """
CREATE TEMP TABLE covered ON COMMIT DROP AS
SELECT d.day, bool_or(f.gives_tokens) AS has_tokens, bool_or(f.gives_money) AS has_money,
       bool_and(d.is_complete) AS is_complete
  FROM ledger_feedday d JOIN ledger_feed f ON f.id = d.feed_id
 WHERE f.provider_id = %(provider)s AND f.is_enabled AND d.day BETWEEN %(first)s AND %(last)s
 GROUP BY d.day
"""
# Rates are in force by the moment; a day's reported tokens are priced by the base that was in force at its end.
COMPUTE = """
CREATE TEMP TABLE both_sides ON COMMIT DROP AS
WITH moved AS (
    -- Calls sent on one day and settled on another: taken off the one, and put to the other.
    SELECT side.day, u.model_id, side.sign * 1 AS records, side.sign * (u.settle_kind <> 'exact')::int AS estimated,
           side.sign * u.input_tokens AS input, side.sign * u.cache_read_tokens AS cache_read,
           side.sign * u.cache_write_5m_tokens AS cache_write_5m, side.sign * u.cache_write_1h_tokens AS cache_write_1h,
           side.sign * u.output_tokens AS output, side.sign * u.cost AS cost
      FROM ledger_usagerecord u
     CROSS JOIN LATERAL (VALUES ((u.sent_at AT TIME ZONE 'UTC')::date, 1),
                                ((u.settled_at AT TIME ZONE 'UTC')::date, -1)) side (day, sign)
     WHERE u.provider_id = %(provider)s
       AND (u.sent_at AT TIME ZONE 'UTC')::date <> (u.settled_at AT TIME ZONE 'UTC')::date
       AND side.day BETWEEN %(first)s AND %(last)s
       -- Of detached months no call can be moved: their sums stay on the days that they were settled on.
       AND u.settled_at >= ledger_usage_horizon()
), metered AS (
    SELECT day, model_id, sum(records)::bigint AS records, sum(estimated)::bigint AS estimated,
           sum(input)::bigint AS input, sum(cache_read)::bigint AS cache_read,
           sum(cache_write_5m)::bigint AS cache_write_5m, sum(cache_write_1h)::bigint AS cache_write_1h,
           sum(output)::bigint AS output, sum(cost) AS cost
      FROM (SELECT day, model_id, records, estimated, input_tokens AS input, cache_read_tokens AS cache_read,
                   cache_write_5m_tokens AS cache_write_5m, cache_write_1h_tokens AS cache_write_1h,
                   output_tokens AS output, cost
              FROM ledger_usageday WHERE provider_id = %(provider)s AND day BETWEEN %(first)s AND %(last)s
             UNION ALL SELECT * FROM moved) calls
     WHERE day IN (SELECT day FROM covered)
     GROUP BY day, model_id
), told AS (
    SELECT g.day, n.model_id, CASE WHEN n.model_id IS NULL THEN g.model_name ELSE m.name END AS name,
           CASE WHEN k.standing <> 'gateway' THEN k.id END AS key_id, g.charge,
           coalesce(sum(g.requests) FILTER (WHERE f.gives_tokens), 0)::bigint AS requests,
           coalesce(sum(g.input_tokens) FILTER (WHERE f.gives_tokens), 0)::bigint AS input,
           coalesce(sum(g.cache_read_tokens) FILTER (WHERE f.gives_tokens), 0)::bigint AS cache_read,
           coalesce(sum(g.cache_write_5m_tokens) FILTER (WHERE f.gives_tokens), 0)::bigint AS cache_write_5m,
           coalesce(sum(g.cache_write_1h_tokens) FILTER (WHERE f.gives_tokens), 0)::bigint AS cache_write_1h,
           coalesce(sum(g.output_tokens) FILTER (WHERE f.gives_tokens), 0)::bigint AS output,
           coalesce(sum(g.amount) FILTER (WHERE f.gives_money), 0) AS amount,
           bool_and(g.provider_key = '') FILTER (WHERE f.gives_money) AS is_keyless
      FROM ledger_feedfigure g
      JOIN ledger_feed f ON f.id = g.feed_id AND f.is_enabled AND f.provider_id = %(provider)s
      LEFT JOIN ledger_providermodelname n ON n.provider_id = %(provider)s AND n.name = g.model_name
      LEFT JOIN ledger_aimodel m ON m.id = n.model_id
      LEFT JOIN ledger_providerkey k ON k.provider_id = %(provider)s AND k.external_id = g.provider_key
     WHERE g.superseded_by_id IS NULL AND g.day BETWEEN %(first)s AND %(last)s
     GROUP BY 1, 2, 3, 4, 5
), priced AS (
    SELECT told.*, r.id AS rate_id,
           (told.input * r.input + told.cache_read * r.cache_read + told.cache_write_5m * r.cache_write_5m
            + told.cache_write_1h * r.cache_write_1h + told.output * r.output) * 0.000001 AS by_rate
      FROM told LEFT JOIN LATERAL (
          SELECT * FROM ledger_rate WHERE model_id = told.model_id AND base_id IS NULL AND approved_at IS NOT NULL
             AND valid_from < ((told.day + 1)::timestamp AT TIME ZONE 'UTC') ORDER BY valid_from DESC LIMIT 1) r ON true
), shared AS (
    -- Where money is told without keys and tokens with them, other keys' part of the money is their part by the rates.
    SELECT p.*, coalesce(sum(p.amount) FILTER (WHERE p.is_keyless) OVER model_day, 0) AS keyless,
           coalesce(sum(p.by_rate) OVER model_day, 0) AS all_by_rate
      FROM priced p WINDOW model_day AS (PARTITION BY p.day, p.model_id, p.name, p.charge)
), of_others AS (
    SELECT s.*, CASE WHEN s.key_id IS NOT NULL AND s.amount = 0 AND s.keyless <> 0 AND s.all_by_rate > 0
                     THEN round(s.keyless * s.by_rate / s.all_by_rate, 12) ELSE 0 END AS part
      FROM shared s
), reported AS (
    SELECT o.*, CASE WHEN o.key_id IS NULL
                     THEN o.amount - coalesce(sum(o.part) OVER (PARTITION BY o.day, o.model_id, o.name, o.charge), 0)
                     ELSE o.amount + o.part END AS money
      FROM of_others o
)
SELECT coalesce(r.day, u.day) AS day, coalesce(r.model_id, u.model_id) AS model_id,
       coalesce(r.name, m.name) AS model_name,
       r.key_id AS provider_key_id, coalesce(r.charge, 'tokens') AS charge,
       md5(jsonb_build_array(coalesce(r.model_id, u.model_id), coalesce(r.name, m.name), r.key_id,
                             coalesce(r.charge, 'tokens'))::text) AS subject,
       coalesce(u.records, 0) AS metered_records, coalesce(u.estimated, 0) AS metered_estimated,
       coalesce(u.input, 0) AS metered_input, coalesce(u.cache_read, 0) AS metered_cache_read,
       coalesce(u.cache_write_5m, 0) AS metered_cache_write_5m, coalesce(u.cache_write_1h, 0) AS metered_cache_write_1h,
       coalesce(u.output, 0) AS metered_output, coalesce(u.cost, 0) AS metered,
       c.has_tokens, c.has_money, c.is_complete,
       coalesce(r.requests, 0) AS reported_requests, coalesce(r.input, 0) AS reported_input,
       coalesce(r.cache_read, 0) AS reported_cache_read, coalesce(r.cache_write_5m, 0) AS reported_cache_write_5m,
       coalesce(r.cache_write_1h, 0) AS reported_cache_write_1h, coalesce(r.output, 0) AS reported_output,
       trim_scale(CASE WHEN c.has_money THEN coalesce(r.money, 0)
            -- Without money, what both sides count alike costs the same; only what differs is priced by the rate.
            WHEN u.model_id IS NULL THEN coalesce(r.by_rate, 0)
            ELSE u.cost + ((coalesce(r.input, 0) - u.input) * x.input
                 + (coalesce(r.cache_read, 0) - u.cache_read) * x.cache_read
                 + (coalesce(r.cache_write_5m, 0) - u.cache_write_5m) * x.cache_write_5m
                 + (coalesce(r.cache_write_1h, 0) - u.cache_write_1h) * x.cache_write_1h
                 + (coalesce(r.output, 0) - u.output) * x.output) * 0.000001 END) AS reported
  FROM reported r
  FULL JOIN metered u ON u.day = r.day AND u.model_id = r.model_id AND r.key_id IS NULL AND r.charge = 'tokens'
  JOIN covered c ON c.day = coalesce(r.day, u.day)
  LEFT JOIN ledger_aimodel m ON m.id = u.model_id
  LEFT JOIN LATERAL (
      SELECT * FROM ledger_rate WHERE model_id = u.model_id AND base_id IS NULL AND approved_at IS NOT NULL
         AND valid_from < ((u.day + 1)::timestamp AT TIME ZONE 'UTC') ORDER BY valid_from DESC LIMIT 1) x ON true
"""

FIGURES = (
    "metered_records", "metered_estimated", "metered_input", "metered_cache_read", "metered_cache_write_5m",
    "metered_cache_write_1h", "metered_output", "metered", "has_tokens", "has_money", "is_complete",
    "reported_requests", "reported_input", "reported_cache_read", "reported_cache_write_5m", "reported_cache_write_1h",
    "reported_output", "reported",
)  # fmt: skip
_NAMES = ", ".join(FIGURES)


def _of(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in FIGURES)


# A line of a covered day that neither side has any more stands at nothing: what was posted for it goes back.
GONE = f"""
INSERT INTO both_sides (day, model_id, model_name, provider_key_id, charge, subject, {_NAMES})
SELECT l.day, l.model_id, l.model_name, l.provider_key_id, l.charge, l.subject,
       0, 0, 0, 0, 0, 0, 0, 0, c.has_tokens, c.has_money, c.is_complete, 0, 0, 0, 0, 0, 0, 0
  FROM ledger_reconciliationline l
  JOIN covered c ON c.day = l.day
 WHERE l.provider_id = %(provider)s AND l.day BETWEEN %(first)s AND %(last)s
   AND NOT EXISTS (SELECT FROM both_sides b WHERE (b.day, b.subject) = (l.day, l.subject))
   AND ({_of("l")}) IS DISTINCT FROM
       (0, 0, 0, 0, 0, 0, 0, 0, c.has_tokens, c.has_money, c.is_complete, 0, 0, 0, 0, 0, 0, 0)
"""  # noqa: S608  # names of columns, written above
KEEP = f"""
INSERT INTO ledger_linerevision (line_id, revision, figures)
SELECT l.id, l.revision, to_jsonb(l) FROM ledger_reconciliationline l
  JOIN both_sides b ON (b.day, b.subject) = (l.day, l.subject)
 WHERE l.provider_id = %(provider)s AND ({_of("l")}) IS DISTINCT FROM ({_of("b")})
"""  # noqa: S608  # names of columns, written above
WRITE = f"""
INSERT INTO ledger_reconciliationline AS l (provider_id, day, subject, model_id, model_name, provider_key_id, charge,
    currency, {_NAMES}, outcome, causes, explanations, unexplained, is_agreed, revision)
SELECT %(provider)s, b.day, b.subject, b.model_id, b.model_name, b.provider_key_id, b.charge, %(currency)s, {_of("b")},
       'new', '{{}}', '[]', 0, false, 1
  FROM both_sides b LEFT JOIN ledger_reconciliationline o
    ON o.provider_id = %(provider)s AND (o.day, o.subject) = (b.day, b.subject)
 WHERE o.id IS NULL OR ({_of("o")}) IS DISTINCT FROM ({_of("b")})
 ORDER BY b.day, b.subject
ON CONFLICT (provider_id, day, subject) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in FIGURES)},
    outcome = 'new', is_agreed = false, revision = l.revision + 1, figures_at = now()
"""  # noqa: S608  # names of columns, written above
# What both sides have alike, by the providers' own usage blocks, needs no judgement.
AGREE = """
UPDATE ledger_reconciliationline SET outcome = 'matched', is_agreed = true, causes = '{}', explanations = '[]',
       unexplained = 0, judged_at = now()
 WHERE provider_id = %(provider)s AND day BETWEEN %(first)s AND %(last)s AND outcome = 'new'
   AND metered = reported AND metered_estimated = 0 AND provider_key_id IS NULL AND charge = 'tokens'
   AND (NOT has_tokens OR (metered_input, metered_cache_read, metered_cache_write_5m, metered_cache_write_1h,
                           metered_output)
        = (reported_input, reported_cache_read, reported_cache_write_5m, reported_cache_write_1h, reported_output))
"""
UNATTRIBUTE = """
DELETE FROM ledger_lineattribution a USING ledger_reconciliationline l
 WHERE l.id = a.line_id AND l.provider_id = %(provider)s AND l.day BETWEEN %(first)s AND %(last)s
   AND l.outcome = 'matched'
"""
# Waiting lines are judged again each time: time passes, and with it the patience of the policy.
AGAIN = """
UPDATE ledger_reconciliationline SET outcome = 'new'
 WHERE provider_id = %(provider)s AND day BETWEEN %(first)s AND %(last)s AND outcome = 'waiting'
"""


def lines_match(provider: Provider, span: Span) -> int:
    """Bring the lines of a provider's days up to both sides; returns how many are new or changed.

    One transaction for each month of days, so that memory stays flat.
    """
    currency = provider.accounts.get(code=f"metered:{provider.name}").currency
    for feed in provider.feeds.filter(is_enabled=True):
        keys_found(feed)
    return sum(_match(provider, part, currency) for part in parts(span))


def parts(span: Span) -> Iterator[Span]:
    """Cut a span into parts of so many days as are matched at once."""
    first: date = span.first
    while first <= span.last:
        last = min(first + timedelta(days=DAYS_AT_ONCE - 1), span.last)
        yield Span(first, last)
        first = last + timedelta(days=1)


@transaction.atomic
def _match(provider: Provider, span: Span, currency: str) -> int:
    facts: dict[str, Any] = {"provider": provider.pk, "first": span.first, "last": span.last, "currency": currency}
    with connection.cursor() as cursor:
        # Sorts that a day's million rows need do not go to disk.
        cursor.execute("SET LOCAL work_mem = '128MB'; SET LOCAL jit = off; SET LOCAL timezone = 'UTC'")
        cursor.execute(COVERED, facts)
        cursor.execute(COMPUTE, facts)
        cursor.execute(GONE, facts)
        cursor.execute("ANALYZE both_sides")
        cursor.execute(KEEP, facts)
        cursor.execute(WRITE, facts)
        changed = int(cursor.rowcount)
        cursor.execute(AGREE, facts)
        if cursor.rowcount:
            cursor.execute(UNATTRIBUTE, facts)
        cursor.execute(AGAIN, facts)
        cursor.execute("DROP TABLE both_sides, covered")
    return changed
