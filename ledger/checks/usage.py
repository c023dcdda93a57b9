"""Checks of the usage subledger: records, their hours and days, what was posted of them, what was detached.

Records settled before the horizon may be in a detached month; of those the roll-ups are the evidence, and the
archive ties them to what was detached.
"""

from collections.abc import Iterator

from django.db import connection
from psycopg import sql

from ledger.checks.base import Check
from ledger.models import UsageArchive

POST = "manage.py post_usage"
SUMS = (
    "records",
    "estimated",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost",
    "charged",
    "overage",
)
# What a sum is of, and what a chargeback divides it by.
KEY = "account_id, key_id, model_id, rate_id, tags_digest, team_id, provider_id, currency"


def _each(alias: str, names: tuple[str, ...] = SUMS) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


SUMMED = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
OF_RECORDS = ", ".join(f"sum({name}) AS {name}" for name in SUMS[2:])

# What is not archived in parts: the sums of a week's records fit into memory, those of a year would go to the disk.
WEEKS = """
    weeks AS (
        SELECT at AS starts, coalesce(lead(at) OVER (ORDER BY at), 'infinity') AS ends FROM (
            SELECT ledger_usage_horizon() AS at
            UNION
            SELECT at FROM (SELECT min(hour) AS first, max(hour) AS last FROM ledger_usagehour) hours,
                           generate_series(first, last, interval '7 days') at
             WHERE isfinite(first) AND isfinite(last) AND at > ledger_usage_horizon()) parts
    )
"""

CHECKS = (
    Check(
        4,
        "posted usage is in the subledger",
        f"""
        WITH {WEEKS}, posted AS (
            SELECT DISTINCT ON (account_id, provider_id, hour) * FROM ledger_usageposting
             WHERE hour >= ledger_usage_horizon()
             ORDER BY account_id, provider_id, hour, records DESC
        ), sums AS (
            SELECT s.* FROM weeks CROSS JOIN LATERAL (
                SELECT account_id, provider_id, date_trunc('hour', settled_at, 'UTC') AS hour, count(*) AS records,
                       sum(charged) AS charged, sum(overage) AS overage,
                       encode(sha256(convert_to(string_agg(request_id::text || ' ' || trim_scale(cost)::text, ','
                                                           ORDER BY settled_at, id), 'UTF8')), 'hex') AS digest
                  FROM ledger_usagerecord WHERE settled_at >= starts AND settled_at < ends GROUP BY 1, 2, 3) s
        )
        SELECT format('line %s, provider %s, %s: posted %s for %s records, the subledger has %s for %s', p.account_id,
                      p.provider_id, p.hour, p.charged, p.records, coalesce(s.charged, 0), coalesce(s.records, 0)),
               format('/ledger/journal/J-%s/', p.entry_id)
          FROM posted p LEFT JOIN sums s USING (account_id, provider_id, hour)
         WHERE coalesce(s.records, 0) < p.records OR coalesce(s.charged, 0) < p.charged
            OR (s.records = p.records
                AND (s.charged, s.overage, s.digest) IS DISTINCT FROM (p.charged, p.overage, p.digest))
         ORDER BY p.hour
        """,  # noqa: S608 - our own text
    ),
    Check(
        4,
        "hours are the sums of their records",
        # What was settled in the last rolled hours may still wait for the next run; older hours may not.
        f"""
        WITH {WEEKS}, known AS (
            SELECT coalesce(max(hour) - interval '2 hours', '-infinity') AS complete FROM ledger_usagehour
        )
        SELECT format('hour %s, line %s, key %s, model %s: rolled up %s records and %s, the records are %s and %s',
                      hour, account_id, key_id, model_id, coalesce(r_records, 0), coalesce(r_charged, 0),
                      coalesce(s_records, 0), coalesce(s_charged, 0)), '{POST}'
          FROM weeks CROSS JOIN known CROSS JOIN LATERAL (
              SELECT hour, {KEY}, r.records AS r_records, s.records AS s_records, r.charged AS r_charged,
                     s.charged AS s_charged, ({_each("r")}) IS DISTINCT FROM ({_each("s")}) AS differ
                FROM (SELECT * FROM ledger_usagehour WHERE hour >= starts AND hour < ends) r
                FULL JOIN (
                    SELECT date_trunc('hour', settled_at, 'UTC') AS hour, account_id, key_id, model_id, rate_id,
                           md5(tags::text) AS tags_digest, team_id, provider_id, currency, count(*) AS records,
                           count(*) FILTER (WHERE settle_kind <> 'exact') AS estimated, {OF_RECORDS}
                      FROM ledger_usagerecord WHERE settled_at >= starts AND settled_at < ends
                     GROUP BY 1, 2, 3, 4, 5, tags, team_id, provider_id, currency) s USING (hour, {KEY})) sums
         WHERE coalesce(r_records, 0) > coalesce(s_records, 0)
            OR (coalesce(r_records, 0) < s_records AND hour < known.complete)
            OR (r_records = s_records AND differ)
         ORDER BY hour, account_id
        """,  # noqa: S608 - column names from above
    ),
    Check(
        4,
        "records cost what their rate says",
        # What was charged at its bound, or by hand, has no tokens that a provider counted.
        """
        SELECT format('record %s: costs %s %s, its tokens at rate %s cost %s', u.request_id, u.cost, u.currency, r.id,
                      trim_scale(total / 1000000)), format('psql: SELECT * FROM ledger_usagerecord WHERE id = %s', u.id)
          FROM ledger_usagerecord u
          JOIN ledger_rate r ON r.id = u.rate_id
          JOIN ledger_account a ON a.id = u.account_id
          JOIN ledger_aimodel m ON m.id = u.model_id
         CROSS JOIN LATERAL (
              SELECT r.input * u.input_tokens + r.cache_read * u.cache_read_tokens
                     + r.cache_write_5m * u.cache_write_5m_tokens + r.cache_write_1h * u.cache_write_1h_tokens
                     + r.output * u.output_tokens AS total) priced
         WHERE (u.settle_kind NOT IN ('bound', 'by_hand') AND u.cost * 1000000 <> total) OR r.approved_at IS NULL
            OR (r.model_id, m.provider_id, a.currency) IS DISTINCT FROM (u.model_id, u.provider_id, u.currency)
         ORDER BY u.id
        """,
    ),
    Check(
        4,
        "sums have the tags that they are kept under",
        f"""
        SELECT format('%s of line %s: the tags %s are not those of its digest', span, account_id, tags), '{POST}'
          FROM (SELECT hour::text AS span, account_id, tags, tags_digest FROM ledger_usagehour
                UNION ALL SELECT day::text, account_id, tags, tags_digest FROM ledger_usageday) sums
         WHERE md5(tags::text) <> tags_digest ORDER BY 1
        """,  # noqa: S608 - a command from above
    ),
    Check(
        4,
        "days are the sums of their hours",
        f"""
        WITH hours AS (
            SELECT (hour AT TIME ZONE 'UTC')::date AS day, {KEY}, {SUMMED} FROM ledger_usagehour GROUP BY 1, {KEY}
        )
        SELECT format('day %s, line %s, key %s, model %s: has %s records and %s, its hours %s and %s', day, account_id,
                      key_id, model_id, coalesce(d.records, 0), coalesce(d.charged, 0), coalesce(h.records, 0),
                      coalesce(h.charged, 0)), '{POST}'
          FROM ledger_usageday d FULL JOIN hours h USING (day, {KEY})
         WHERE ({_each("d")}) IS DISTINCT FROM ({_each("h")}) ORDER BY day, account_id
        """,  # noqa: S608 - column names from above
    ),
    Check(
        4,
        "posted usage is in the hours",
        """
        WITH posted AS (
            SELECT DISTINCT ON (account_id, provider_id, hour) * FROM ledger_usageposting
             ORDER BY account_id, provider_id, hour, records DESC
        ), hours AS (
            SELECT account_id, provider_id, hour, sum(records) AS records, sum(charged) AS charged,
                   sum(overage) AS overage
              FROM ledger_usagehour GROUP BY 1, 2, 3
        )
        SELECT format('line %s, provider %s, %s: posted %s for %s records, the roll-up has %s for %s', account_id,
                      provider_id, hour, coalesce(p.charged, 0), coalesce(p.records, 0), coalesce(h.charged, 0),
                      coalesce(h.records, 0)),
               coalesce(format('/ledger/journal/J-%s/', p.entry_id), 'manage.py post_usage')
          FROM posted p FULL JOIN hours h USING (account_id, provider_id, hour)
         WHERE coalesce(h.records, 0) < coalesce(p.records, 0)
            OR coalesce(h.charged, 0) < coalesce(p.charged, 0)
            OR (h.records = p.records AND (h.charged, h.overage) IS DISTINCT FROM (p.charged, p.overage))
            OR (hour < ledger_usage_horizon()
                AND (h.charged, h.overage) IS DISTINCT FROM (coalesce(p.charged, 0), coalesce(p.overage, 0)))
         ORDER BY hour, account_id
        """,
    ),
    Check(
        4,
        "metered accounts hold what was posted",
        """
        WITH debited AS (
            SELECT p.account_id, sum(p.amount) AS debits
              FROM ledger_posting p JOIN ledger_journalentry e ON e.id = p.entry_id
              JOIN ledger_account a ON a.id = p.account_id AND a.account_class = 'metered'
             WHERE e.kind IN ('usage', 'overage') GROUP BY 1
        ), posted AS (
            SELECT provider_id, sum(charged + overage) AS posted FROM (
                SELECT provider_id, max(charged) AS charged, max(overage) AS overage FROM ledger_usageposting
                 GROUP BY provider_id, account_id, hour) buckets GROUP BY 1
        )
        SELECT format('account %s was debited %s for usage, usage postings say %s', a.code, coalesce(d.debits, 0),
                      coalesce(u.posted, 0)), format('/ledger/accounts/%s/', a.code)
          FROM ledger_account a
          LEFT JOIN debited d ON d.account_id = a.id
          LEFT JOIN posted u ON u.provider_id = a.provider_id
         WHERE a.account_class = 'metered' AND coalesce(d.debits, 0) <> coalesce(u.posted, 0) ORDER BY a.id
        """,
    ),
    Check(
        4,
        "every detached month is in the archive",
        """
        SELECT format('%s: %s', relation, fault), format('psql: \\d+ %s', relation) FROM (
            SELECT c.relname::text AS relation, 'is detached and the archive does not know it' AS fault
              FROM pg_class c
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
               AND c.relname ~ '^ledger_usagerecord_\\d{4}_\\d{2}$'
               AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid)
               AND NOT EXISTS (SELECT 1 FROM ledger_usagearchive a WHERE a.partition = c.relname)
            UNION ALL
            SELECT a.partition, 'is in the archive and still among the records'
              FROM ledger_usagearchive a
              JOIN pg_class c ON c.relname = a.partition JOIN pg_inherits i ON i.inhrelid = c.oid
             WHERE c.relnamespace = 'public'::regnamespace) faults
         ORDER BY 1
        """,
    ),
    Check(
        4,
        "what was detached is in the hours",
        """
        WITH horizon AS (SELECT ledger_usage_horizon() AS at), facts AS (
            SELECT records, cost, charged, overage FROM ledger_usagearchive
            UNION ALL
            SELECT count(*), sum(cost), sum(charged), sum(overage)
              FROM ledger_usagerecord, horizon WHERE settled_at < at
        ), kept AS (
            SELECT coalesce(sum(records), 0) AS records, coalesce(sum(cost), 0) AS cost,
                   coalesce(sum(charged), 0) AS charged, coalesce(sum(overage), 0) AS overage FROM facts
        ), hours AS (
            SELECT coalesce(sum(records), 0) AS records, coalesce(sum(cost), 0) AS cost,
                   coalesce(sum(charged), 0) AS charged, coalesce(sum(overage), 0) AS overage
              FROM ledger_usagehour, horizon WHERE hour < at
        )
        SELECT format('before %s: the hours have %s records and %s, archive and records have %s and %s', horizon.at,
                      h.records, h.charged, k.records, k.charged), 'psql: TABLE ledger_usagearchive'
          FROM horizon, hours h, kept k
         WHERE (h.records, h.cost, h.charged, h.overage) IS DISTINCT FROM (k.records, k.cost, k.charged, k.overage)
        """,
    ),
)
ARCHIVE = """
    WITH held AS (
        SELECT count(*) AS records, coalesce(sum(cost), 0) AS cost, coalesce(sum(charged), 0) AS charged,
               coalesce(sum(overage), 0) AS overage,
               encode(sha256(convert_to(coalesce(string_agg(request_id::text || ' ' || trim_scale(cost)::text, ','
                                                            ORDER BY request_id), ''), 'UTF8')), 'hex') AS digest
          FROM {table}
    )
    SELECT format('%s: holds %s records and %s, the archive says %s and %s', a.partition, h.records, h.charged,
                  a.records, a.charged), format('psql: \\d+ %s', a.partition)
      FROM ledger_usagearchive a, held h
     WHERE a.partition = {name} AND (h.records, h.cost, h.charged, h.overage, h.digest)
           IS DISTINCT FROM (a.records, a.cost, a.charged, a.overage, a.digest)
"""


def of_archives() -> Iterator[Check]:
    """Make a check for each detached month whose table is still in the database and can be read."""
    for partition in UsageArchive.objects.order_by("starts_on").values_list("partition", flat=True):
        if _readable(partition):
            statement = sql.SQL(ARCHIVE).format(table=sql.Identifier(partition), name=sql.Literal(partition))
            yield Check(4, f"{partition} is as it was detached", statement.as_string(None))


def _readable(relation: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(to_regclass(%s)::oid, 'SELECT')", [f'public."{relation}"'])
        return bool(cursor.fetchone()[0])
