"""Facts in bulk for the benchmarks: what the triggers and the metering hook would have written, set by set."""

from collections.abc import Callable

import psycopg

LINES = 100


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


def entries_write(owner: psycopg.Connection, count: int, actor: int) -> None:
    """Write transfers of a cent round the lines, with running balances, stored balances and seals."""
    with owner.transaction():
        for table in ("ledger_journalentry", "ledger_posting", "ledger_seal"):
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER".encode())
        owner.execute("SELECT set_config('bench.actor', %s, true)", (str(actor),))
        owner.execute("SELECT set_config('bench.count', %s, true)", (str(count),))
        owner.execute(_ENTRIES)
        owner.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("ledger_journalentry", "ledger_posting", "ledger_seal"):
            owner.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER".encode())
            owner.execute(_ALWAYS.format(table=table).encode())
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
    first bigint;
    link ledger_seal;
    entry bigint;
BEGIN
    CREATE TEMP TABLE made ON COMMIT DROP AS
    WITH fresh AS (
        INSERT INTO ledger_journalentry (kind, source, key, fingerprint, period_id, effective_on, actor_id, reason,
                                         memo)
        SELECT 'transfer', 'bulk', gen_random_uuid()::text, '', period, now()::date,
               current_setting('bench.actor')::bigint, '', ''
          FROM generate_series(1, current_setting('bench.count')::int) RETURNING id
    ) SELECT id, lines[1 + id % 100] AS one, lines[1 + (id + 7) % 100] AS other FROM fresh;
    WITH legs AS (
        SELECT id AS entry_id, one AS account_id, 0.01 AS amount FROM made
        UNION ALL SELECT id, other, -0.01 FROM made
    )
    INSERT INTO ledger_posting (entry_id, account_id, currency, amount, balance_after, account_version)
    SELECT entry_id, l.account_id, 'USD', amount,
           b.debits - b.credits + sum(amount) OVER w, b.version + row_number() OVER w
      FROM legs l JOIN ledger_accountbalance b ON b.account_id = l.account_id
    WINDOW w AS (PARTITION BY l.account_id ORDER BY entry_id, amount ROWS UNBOUNDED PRECEDING);
    UPDATE ledger_accountbalance b SET debits = s.debits, credits = s.credits, version = s.version
      FROM (SELECT account_id, sum(greatest(amount, 0)) AS debits, sum(greatest(-amount, 0)) AS credits,
                   count(*) AS version FROM ledger_posting GROUP BY 1) s WHERE s.account_id = b.account_id;
    UPDATE allocations_quota q SET "limit" = s.amount
      FROM (SELECT p.account_id, sum(p.amount) AS amount FROM ledger_posting p
              JOIN ledger_journalentry e ON e.id = p.entry_id WHERE e.kind <> 'usage' GROUP BY 1) s
      JOIN allocations_allocationline l ON l.account_id = s.account_id WHERE q.line_id = l.id;
    SELECT * INTO link FROM ledger_seal ORDER BY seq DESC LIMIT 1;
    FOR entry IN SELECT id FROM made ORDER BY id LOOP
        link.seq := link.seq + 1;
        link.prev_hash := link.hash;
        link.hash := sha256(link.hash || convert_to(ledger_entry_canonical(entry), 'UTF8'));
        INSERT INTO ledger_seal (seq, entry_id, prev_hash, hash) VALUES (link.seq, entry, link.prev_hash, link.hash);
    END LOOP;
END $$
"""


def usage_write(owner: psycopg.Connection, count: int, hours: int) -> None:
    """Write calls of a thousandth of a dollar over the lines and the last `hours`, and what the quotas spent."""
    owner.execute("SELECT ledger_usage_partitions((now() - interval '13 months')::date, now()::date)")
    owner.execute(
        """
        WITH keys AS (
            SELECT row_number() OVER (ORDER BY k.id) - 1 AS place, k.id AS key_id, l.account_id, a.team_id
              FROM allocations_quotakey k JOIN allocations_allocation a ON a.id = k.allocation_id
              JOIN allocations_allocationline l ON l.allocation_id = a.id
        ), moments AS (
            SELECT n, date_trunc('hour', now(), 'UTC')
                      - make_interval(secs => 1 + (n::bigint * 7919) %% (%s * 3600)) AS at
              FROM generate_series(1, %s) n
        )
        INSERT INTO ledger_usagerecord (
            request_id, sent_at, settled_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
            model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
            service_tier, upstream_id, tags)
        SELECT overlay(ledger_uuid_floor(m.at)::text
                       PLACING substr(md5(n::text || random()::text), 1, 12) FROM 25)::uuid,
               m.at, m.at, k.account_id, k.team_id, k.key_id, r.provider_id, r.model_id, r.id, 'bench', 'bench',
               'chat/completions', false, 700, 0, 0, 0, 100, 0, 'USD', 0.001, 0.001, 0, 'exact', '', '',
               CASE WHEN n %% 2 = 0 THEN '{"app": "a"}'::jsonb ELSE '{}'::jsonb END
          FROM moments m JOIN keys k ON k.place = m.n %% %s
         CROSS JOIN (SELECT r.id, m.id AS model_id, m.provider_id FROM ledger_rate r
                       JOIN ledger_aimodel m ON m.id = r.model_id WHERE r.approved_at IS NOT NULL LIMIT 1) r
        """,
        (hours, count, LINES),
    )
    owner.execute(
        """UPDATE allocations_quota q SET spent = s.charged FROM (
               SELECT account_id, key_id, sum(charged) AS charged FROM ledger_usagerecord GROUP BY 1, 2) s
             JOIN allocations_allocationline l ON l.account_id = s.account_id
            WHERE q.line_id = l.id OR q.key_id = s.key_id"""
    )
    owner.execute("ANALYZE")
