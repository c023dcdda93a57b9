"""Facts in bulk for the benchmarks: what the triggers and the metering hook would have written, set by set."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg

LINES = 100
TRANSFERS = 250  # of each process in a round


def bare_tables(owner: psycopg.Connection, one: int, other: int) -> Callable[[], None]:
    """Make tables like the journal's without a rule, and return the statements of one entry on them."""
    owner.execute("""
        CREATE SCHEMA bare;
        CREATE TABLE bare.entry (id bigserial PRIMARY KEY, source text, key text, kind text, period_id bigint,
                                 effective_on date, actor_id bigint, fingerprint text, reason text, memo text,
                                 UNIQUE (source, key));
        CREATE TABLE bare.posting (id bigserial PRIMARY KEY, entry_id bigint, account_id bigint, currency text,
                                   amount numeric, balance_after numeric);
        CREATE INDEX ON bare.posting (entry_id);
        CREATE INDEX ON bare.posting (account_id);
        CREATE TABLE bare.balance (account_id bigint PRIMARY KEY, debits numeric, credits numeric, version bigint);
    """)
    owner.execute("INSERT INTO bare.balance VALUES (%s, 1000, 0, 0), (%s, 1000, 0, 0)", (one, other))
    counter = iter(range(10**9))

    def statements() -> None:
        with owner.transaction():
            owner.execute(
                "SELECT account_id, debits, credits FROM bare.balance WHERE account_id = ANY (%s)"
                " ORDER BY account_id FOR UPDATE",
                ([one, other],),
            ).fetchall()
            owner.execute("SELECT id FROM bare.entry WHERE source = 'bench' AND key = %s", ("x",)).fetchone()
            owner.execute("SELECT id FROM ledger_period WHERE now()::date BETWEEN starts_on AND ends_on").fetchone()
            row = owner.execute(
                "INSERT INTO bare.entry (source, key, kind, period_id, effective_on, actor_id, fingerprint, reason,"
                " memo) VALUES ('bench', %s, 'transfer', 1, now()::date, 1, '', '', '') RETURNING id",
                (str(next(counter)),),
            ).fetchone()
            assert row is not None
            for account, amount in ((one, "0.01"), (other, "-0.01")):
                owner.execute(
                    "UPDATE bare.balance SET debits = debits + greatest(%s::numeric, 0), credits = credits"
                    " + greatest(-%s::numeric, 0), version = version + 1 WHERE account_id = %s",
                    (amount, amount, account),
                )
            owner.execute(
                "INSERT INTO bare.posting (entry_id, account_id, currency, amount, balance_after)"
                " VALUES (%s, %s, 'USD', 0.01, 0), (%s, %s, 'USD', -0.01, 0)",
                (row[0], one, row[0], other),
            )

    return statements


@contextmanager
def _bulk(owner: psycopg.Connection) -> Iterator[None]:
    """Write in one transaction without the triggers: balances and seals come set by set, and `verify` proves them."""
    tables = ("ledger_journalentry", "ledger_posting", "ledger_seal")
    with owner.transaction():
        owner.execute("SET LOCAL session_replication_role = replica")  # no foreign keys; ours are always on
        for table in tables:
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        yield
        for table in tables:
            owner.execute(_ALWAYS.format(table=table).encode())


def entries_write(owner: psycopg.Connection, count: int, actor: int) -> None:
    """Write transfers of a cent round the lines, with running balances, stored balances and seals."""
    with _bulk(owner):
        owner.execute("SELECT set_config('bench.actor', %s, true)", (str(actor),))
        owner.execute("SELECT set_config('bench.count', %s, true)", (str(count),))
        owner.execute(_ENTRIES)
    owner.execute("ANALYZE")


_ALWAYS = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = '{table}'::regclass AND NOT tgisinternal LOOP
        EXECUTE format('ALTER TABLE {table} ENABLE ALWAYS TRIGGER %I', name);
    END LOOP;
END $$
"""

_ENTRIES = """
DO $$
DECLARE
    lines bigint[] := (SELECT array_agg(id ORDER BY id) FROM ledger_account WHERE account_class = 'line');
    period bigint := (SELECT id FROM ledger_period WHERE now()::date BETWEEN starts_on AND ends_on);
    link ledger_seal;
    fresh record;
BEGIN
    CREATE TEMP TABLE made ON COMMIT DROP AS
    WITH fresh AS (
        INSERT INTO ledger_journalentry (kind, source, key, fingerprint, period_id, effective_on, actor_id, reason,
                                         memo)
        SELECT 'transfer', 'bulk', gen_random_uuid()::text, '', period, now()::date,
               current_setting('bench.actor')::bigint, '', ''
          FROM generate_series(1, current_setting('bench.count')::int) RETURNING *
    ) SELECT *, lines[1 + id % 100] AS one, lines[1 + (id + 7) % 100] AS other FROM fresh;
    CREATE TEMP TABLE legs ON COMMIT DROP AS
    WITH legs AS (
        SELECT id AS entry_id, one AS account_id, 0.01 AS amount FROM made
        UNION ALL SELECT id, other, -0.01 FROM made
    ), written AS (
        INSERT INTO ledger_posting (entry_id, account_id, currency, amount, balance_after, account_version)
        SELECT entry_id, l.account_id, 'USD', amount,
               b.debits - b.credits + sum(amount) OVER w, b.version + row_number() OVER w
          FROM legs l JOIN ledger_accountbalance b ON b.account_id = l.account_id
        WINDOW w AS (PARTITION BY l.account_id ORDER BY entry_id, amount ROWS UNBOUNDED PRECEDING)
        RETURNING *
    ) SELECT entry_id,
             jsonb_agg(jsonb_build_array(id, account_id, currency, trim_scale(amount)::text,
                                         trim_scale(balance_after)::text, account_version) ORDER BY id) AS rows
        FROM written GROUP BY entry_id;
    UPDATE ledger_accountbalance b SET debits = s.debits, credits = s.credits, version = s.version
      FROM (SELECT account_id, sum(greatest(amount, 0)) AS debits, sum(greatest(-amount, 0)) AS credits,
                   count(*) AS version FROM ledger_posting GROUP BY 1) s WHERE s.account_id = b.account_id;
    UPDATE allocations_quota q SET "limit" = s.amount
      FROM (SELECT p.account_id, sum(p.amount) AS amount FROM ledger_posting p
              JOIN ledger_journalentry e ON e.id = p.entry_id WHERE e.kind <> 'usage' GROUP BY 1) s
      JOIN allocations_allocationline l ON l.account_id = s.account_id WHERE q.line_id = l.id;
    SELECT * INTO link FROM ledger_seal ORDER BY seq DESC LIMIT 1;
    -- As `ledger_entry_canonical` says it, joined: the chain alone goes entry by entry.
    FOR fresh IN
        SELECT e.id, convert_to(jsonb_build_array(
                   'tank-seal-1', e.id, e.kind, e.source, e.key, e.fingerprint, e.period_id, e.effective_on,
                   to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
                   e.actor_id, e.approved_by_id, e.reason, e.memo, e.reverses_id, l.rows, NULL)::text, 'UTF8')
               AS content
          FROM made e JOIN legs l ON l.entry_id = e.id ORDER BY e.id
    LOOP
        link.seq := link.seq + 1;
        link.prev_hash := link.hash;
        link.hash := sha256(link.hash || fresh.content);
        INSERT INTO ledger_seal (seq, entry_id, prev_hash, hash) VALUES (link.seq, fresh.id, link.prev_hash, link.hash);
    END LOOP;
END $$;
"""

WRITERS = 2


def usage_write(url: str, count: int, hours: int) -> None:
    """Write calls of a thousandth of a dollar over the lines and the last `hours`, and what the quotas spent."""
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("SELECT ledger_usage_partitions((now() - interval '13 months')::date, now()::date)")
        row = owner.execute("SELECT date_trunc('hour', now(), 'UTC')").fetchone()
        assert row is not None
        span = timedelta(hours=hours)
        parts = [(row[0] - span * (WRITERS - part) / WRITERS, span / count) for part in range(WRITERS)]
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda part: _calls_write(url, count // WRITERS, *part), parts))
        owner.execute(
            """UPDATE allocations_quota q SET spent = s.charged FROM (
                   SELECT account_id, key_id, sum(charged) AS charged FROM ledger_usagerecord GROUP BY 1, 2) s
                 JOIN allocations_allocationline l ON l.account_id = s.account_id
                WHERE q.line_id = l.id OR q.key_id = s.key_id"""
        )
        owner.execute("ANALYZE")


def _calls_write(url: str, count: int, first: datetime, step: timedelta) -> None:
    """Write calls one step after the other, as time went: the pages and indexes fill up as they do in use."""
    with psycopg.connect(url) as owner:
        owner.execute("SET LOCAL session_replication_role = replica")
        owner.execute(_CALLS, {"count": count, "first": first, "step": step, "lines": LINES})


_CALLS = """
WITH keys AS (
    SELECT row_number() OVER (ORDER BY k.id) - 1 AS place, k.id AS key_id, l.account_id, a.team_id
      FROM allocations_quotakey k JOIN allocations_allocation a ON a.id = k.allocation_id
      JOIN allocations_allocationline l ON l.allocation_id = a.id
), moments AS (
    SELECT n, %(first)s::timestamptz + (n - 1) * %(step)s::interval AS at FROM generate_series(1, %(count)s) n
)
INSERT INTO ledger_usagerecord (
    request_id, sent_at, settled_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
    model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
    cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
    service_tier, upstream_id, tags)
SELECT overlay(ledger_uuid_floor(m.at)::text PLACING substr(md5(n::text || random()::text), 1, 12) FROM 25)::uuid,
       m.at, m.at, k.account_id, k.team_id, k.key_id, r.provider_id, r.model_id, r.id, 'bench', 'bench',
       'chat/completions', false, 700, 0, 0, 0, 100, 0, 'USD', 0.001, 0.001, 0, 'exact', '', '',
       CASE WHEN n %% 2 = 0 THEN '{"app": "a"}'::jsonb ELSE '{}'::jsonb END
  FROM moments m JOIN keys k ON k.place = (m.n::bigint * 7919) %% %(lines)s
 CROSS JOIN (SELECT r.id, m.id AS model_id, m.provider_id FROM ledger_rate r
               JOIN ledger_aimodel m ON m.id = r.model_id WHERE r.approved_at IS NOT NULL LIMIT 1) r
"""
