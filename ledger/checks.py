"""What `manage.py verify` can prove about the ledger on a live database.

Each check is one statement that returns the rows which break a promise; the numbers are those of
docs/architecture.md, "Promises". They recompute everything from the facts, and trust no stored figure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection


@dataclass(frozen=True, slots=True)
class Check:
    """A promise and the statement that finds what breaks it; each row is one text."""

    promise: int
    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Breach:
    """One row that breaks a promise, in words."""

    promise: int
    check: str
    row: str


CHECKS = (
    Check(
        4,
        "entries balance",
        """
        SELECT format('entry %s: %s posting(s) in %s sum to %s', e.id, count(p.id), coalesce(p.currency, 'none'),
                      coalesce(sum(p.amount), 0))
          FROM ledger_journalentry e LEFT JOIN ledger_posting p ON p.entry_id = e.id
         GROUP BY e.id, p.currency HAVING count(p.id) < 2 OR sum(p.amount) <> 0 ORDER BY e.id
        """,
    ),
    Check(
        4,
        "stored balances equal their postings",
        """
        SELECT format('account %s (%s): stored debits %s, credits %s; postings say %s and %s', a.id, a.code, b.debits,
                      b.credits, p.debits, p.credits)
          FROM ledger_account a
          LEFT JOIN ledger_accountbalance b ON b.account_id = a.id
          LEFT JOIN LATERAL (
              SELECT coalesce(sum(greatest(amount, 0)), 0) AS debits, coalesce(sum(greatest(-amount, 0)), 0) AS credits,
                     count(*) AS postings
                FROM ledger_posting WHERE account_id = a.id) p ON true
         WHERE (b.debits, b.credits, b.version) IS DISTINCT FROM (p.debits, p.credits, p.postings) ORDER BY a.id
        """,
    ),
    Check(
        4,
        "running balances follow their postings",
        """
        SELECT format('posting %s of entry %s: balance after is stored as %s, should be %s', id, entry_id,
                      balance_after, running)
          FROM (SELECT id, entry_id, balance_after, account_version,
                       sum(amount) OVER w AS running, row_number() OVER w AS place
                  FROM ledger_posting WINDOW w AS (PARTITION BY account_id ORDER BY account_version)) p
         WHERE balance_after <> running OR account_version <> place ORDER BY id
        """,
    ),
    Check(
        4,
        "the seal chain is whole",
        """
        SELECT format('seal %s of entry %s: %s', seq, entry_id, fault) FROM (
            SELECT s.seq, s.entry_id, CASE
                WHEN s.seq <> row_number() OVER w THEN 'a link before it is missing'
                WHEN s.prev_hash <> coalesce(lag(s.hash) OVER w, decode(repeat('00', 32), 'hex'))
                    THEN 'does not follow the link before it'
                WHEN s.hash <> sha256(s.prev_hash || convert_to(ledger_entry_canonical(s.entry_id), 'UTF8'))
                    THEN 'the entry, a posting or its usage posting was changed after it was sealed'
                END AS fault
              FROM ledger_seal s WINDOW w AS (ORDER BY s.seq)) links
         WHERE fault IS NOT NULL ORDER BY seq
        """,
    ),
    Check(
        4,
        "every entry is sealed",
        """
        SELECT format('entry %s has no seal', e.id) FROM ledger_journalentry e
         WHERE NOT EXISTS (SELECT 1 FROM ledger_seal s WHERE s.entry_id = e.id) ORDER BY e.id
        """,
    ),
    Check(
        4,
        "history cannot be changed",
        """
        SELECT format('%s: %s', c.relname, fault)
          FROM pg_class c CROSS JOIN LATERAL (
              SELECT 'its append-only triggers are missing or switched off' AS fault
               WHERE (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled = 'A'
                         AND t.tgname IN ('append_only_row', 'append_only_table')) < 2
              UNION ALL
              SELECT 'tank_app may change it' WHERE has_table_privilege('tank_app', c.oid, 'UPDATE')
                  OR has_table_privilege('tank_app', c.oid, 'DELETE')
                  OR has_table_privilege('tank_app', c.oid, 'TRUNCATE')
          ) faults
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname IN (
                   'teams_auditevent', 'ledger_journalentry', 'ledger_posting', 'ledger_seal', 'ledger_usagerecord',
                   'ledger_usageposting', 'ledger_routing')
         ORDER BY 1
        """,
    ),
    Check(
        5,
        "entries lie in their period",
        """
        SELECT format('entry %s of %s is in period %s', e.id, e.effective_on, p.starts_on)
          FROM ledger_journalentry e JOIN ledger_period p ON p.id = e.period_id
         WHERE e.effective_on > p.ends_on ORDER BY e.id
        """,
    ),
    Check(
        5,
        "closed periods are guarded",
        """
        SELECT format('trigger %s is missing or switched off', wanted)
          FROM unnest(ARRAY['period_guard', 'entry_begin', 'posting_apply', 'entry_complete']) wanted
         WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgname = wanted AND t.tgenabled = 'A')
        """,
    ),
    Check(
        6,
        "no envelope is overdrawn",
        """
        SELECT format('account %s has %s', a.code, b.debits - b.credits)
          FROM ledger_accountbalance b JOIN ledger_account a ON a.id = b.account_id
         WHERE (a.no_overdraft OR b.no_overdraft) AND b.debits < b.credits ORDER BY a.id
        """,
    ),
    Check(
        4,
        "posted usage is in the subledger",
        """
        WITH posted AS (
            SELECT DISTINCT ON (account_id, provider_id, hour) * FROM ledger_usageposting
             ORDER BY account_id, provider_id, hour, records DESC
        ), sums AS (
            SELECT account_id, provider_id, date_trunc('hour', settled_at, 'UTC') AS hour, count(*) AS records,
                   sum(charged) AS charged, sum(overage) AS overage,
                   encode(sha256(convert_to(string_agg(request_id::text || ' ' || trim_scale(cost)::text, ','
                                                       ORDER BY settled_at, id), 'UTF8')), 'hex') AS digest
              FROM ledger_usagerecord GROUP BY 1, 2, 3
        )
        SELECT format('line %s, provider %s, %s: posted %s for %s records, the subledger has %s for %s', p.account_id,
                      p.provider_id, p.hour, p.charged, p.records, coalesce(s.charged, 0), coalesce(s.records, 0))
          FROM posted p LEFT JOIN sums s USING (account_id, provider_id, hour)
         WHERE coalesce(s.records, 0) < p.records OR coalesce(s.charged, 0) < p.charged
            OR (s.records = p.records
                AND (s.charged, s.overage, s.digest) IS DISTINCT FROM (p.charged, p.overage, p.digest))
         ORDER BY p.hour
        """,
    ),
    Check(
        4,
        "metered accounts hold what was posted",
        """
        SELECT format('account %s was debited %s for usage, usage postings say %s', a.code, l.debits, u.posted)
          FROM ledger_account a
          CROSS JOIN LATERAL (
              SELECT coalesce(sum(p.amount), 0) AS debits
                FROM ledger_posting p JOIN ledger_journalentry e ON e.id = p.entry_id
               WHERE p.account_id = a.id AND e.kind IN ('usage', 'overage')) l
          CROSS JOIN LATERAL (
              SELECT coalesce(sum(charged + overage), 0) AS posted FROM (
                  SELECT max(charged) AS charged, max(overage) AS overage FROM ledger_usageposting
                   WHERE provider_id = a.provider_id GROUP BY account_id, hour) buckets) u
         WHERE a.account_class = 'metered' AND l.debits <> u.posted ORDER BY a.id
        """,
    ),
)


def breaches(checks: Iterable[Check] = CHECKS) -> list[Breach]:
    """Return every row that breaks a promise; empty means that all of them hold now."""
    found = []
    with connection.cursor() as cursor:
        for check in checks:
            cursor.execute(check.sql)
            found += [Breach(check.promise, check.name, row[0]) for row in cursor.fetchall()]
    return found
