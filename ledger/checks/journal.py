"""Checks of the journal: entries, balances, seals, periods, envelopes, two pairs of eyes."""

from ledger.checks.base import Check

# The content of every entry at once, as `ledger_entry_canonical` (ledger/sql/journal.sql) writes it for one: joined
# and grouped, which is some ten times as fast as asking for each.
SEALS = """
WITH postings AS (
    SELECT entry_id, jsonb_agg(jsonb_build_array(id, account_id, currency, trim_scale(amount)::text,
                                                 trim_scale(balance_after)::text, account_version) ORDER BY id) AS rows
      FROM ledger_posting GROUP BY entry_id
), usage AS (
    SELECT entry_id, jsonb_agg(jsonb_build_array(account_id, provider_id,
                                                 to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), records,
                                                 trim_scale(charged)::text, trim_scale(overage)::text, digest)
                               ORDER BY id) AS rows
      FROM ledger_usageposting GROUP BY entry_id
), links AS (
    SELECT s.seq, s.entry_id, s.prev_hash, s.hash,
           row_number() OVER (ORDER BY s.seq) AS place,
           coalesce(lag(s.hash) OVER (ORDER BY s.seq), decode(repeat('00', 32), 'hex')) AS hash_before
      FROM ledger_seal s
), faults AS (
    SELECT l.seq, l.entry_id, CASE
        WHEN l.seq <> l.place THEN 'a link before it is missing'
        WHEN l.prev_hash <> l.hash_before THEN 'does not follow the link before it'
        WHEN e.id IS NULL THEN 'its entry is gone'
        WHEN l.hash <> sha256(l.prev_hash || convert_to(jsonb_build_array(
                'tank-seal-1', e.id, e.kind, e.source, e.key, e.fingerprint, e.period_id, e.effective_on,
                to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
                e.actor_id, e.approved_by_id, e.reason, e.memo, e.reverses_id, p.rows, u.rows)::text, 'UTF8'))
            THEN 'the entry, a posting or its usage posting was changed after it was sealed'
        END AS fault
      FROM links l
      LEFT JOIN ledger_journalentry e ON e.id = l.entry_id
      LEFT JOIN postings p ON p.entry_id = l.entry_id
      LEFT JOIN usage u ON u.entry_id = l.entry_id
)
SELECT format('seal %s of entry %s: %s', seq, entry_id, fault), format('/ledger/journal/J-%s/', entry_id)
  FROM faults WHERE fault IS NOT NULL ORDER BY seq
"""

CHECKS = (
    Check(
        4,
        "entries balance",
        """
        WITH sums AS (
            SELECT entry_id, currency, count(*) AS postings, sum(amount) AS total FROM ledger_posting GROUP BY 1, 2
        )
        SELECT format('entry %s: %s posting(s) in %s sum to %s', e.id, coalesce(s.postings, 0),
                      coalesce(s.currency, 'none'), coalesce(s.total, 0)), format('/ledger/journal/J-%s/', e.id)
          FROM ledger_journalentry e LEFT JOIN sums s ON s.entry_id = e.id
         WHERE s.entry_id IS NULL OR s.postings < 2 OR s.total <> 0 ORDER BY e.id
        """,
    ),
    Check(
        4,
        "stored balances equal their postings",
        """
        WITH sums AS (
            SELECT account_id, sum(greatest(amount, 0)) AS debits, sum(greatest(-amount, 0)) AS credits,
                   count(*) AS postings
              FROM ledger_posting GROUP BY 1
        )
        SELECT format('account %s (%s): stored debits %s, credits %s; postings say %s and %s', a.id, a.code, b.debits,
                      b.credits, coalesce(s.debits, 0), coalesce(s.credits, 0)), format('/ledger/accounts/%s/', a.code)
          FROM ledger_account a
          LEFT JOIN ledger_accountbalance b ON b.account_id = a.id
          LEFT JOIN sums s ON s.account_id = a.id
         WHERE (b.debits, b.credits, b.version, b.currency, b.no_overdraft) IS DISTINCT FROM
               (coalesce(s.debits, 0), coalesce(s.credits, 0), coalesce(s.postings, 0), a.currency, a.no_overdraft)
         ORDER BY a.id
        """,
    ),
    Check(
        4,
        "running balances follow their postings",
        """
        SELECT format('posting %s of entry %s: balance after is stored as %s, should be %s', id, entry_id,
                      balance_after, running), format('/ledger/journal/J-%s/', entry_id)
          FROM (SELECT id, entry_id, balance_after, account_version,
                       sum(amount) OVER w AS running, row_number() OVER w AS place
                  FROM ledger_posting
                WINDOW w AS (PARTITION BY account_id ORDER BY account_version ROWS UNBOUNDED PRECEDING)) p
         WHERE balance_after <> running OR account_version <> place ORDER BY id
        """,
    ),
    Check(4, "the seal chain is whole", SEALS),
    Check(
        4,
        "every entry is sealed",
        """
        SELECT format('entry %s has no seal', e.id), format('/ledger/journal/J-%s/', e.id)
          FROM ledger_journalentry e
         WHERE NOT EXISTS (SELECT 1 FROM ledger_seal s WHERE s.entry_id = e.id) ORDER BY e.id
        """,
    ),
    Check(
        4,
        "entries keep to the routes of their kind, and reversals mirror",
        """
        WITH classes AS (
            SELECT DISTINCT p.entry_id, a.account_class, p.amount > 0 AS is_debit
              FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
        )
        SELECT format('entry %s: a %s entry debits %s against %s', e.id, e.kind, d.account_class, c.account_class),
               format('/ledger/journal/J-%s/', e.id)
          FROM classes d
          JOIN classes c ON c.entry_id = d.entry_id AND d.is_debit AND NOT c.is_debit
          JOIN ledger_journalentry e ON e.id = d.entry_id AND e.kind <> 'reversal'
         WHERE NOT EXISTS (SELECT 1 FROM ledger_routing r WHERE r.kind = e.kind
                              AND r.debit_class = d.account_class AND r.credit_class = c.account_class)
         UNION ALL
        SELECT format('entry %s does not mirror entry %s on account %s', e.id, e.reverses_id, p.account_id),
               format('/ledger/journal/J-%s/', e.id)
          FROM ledger_journalentry e JOIN ledger_posting p ON p.entry_id IN (e.id, e.reverses_id)
         WHERE e.kind = 'reversal' GROUP BY e.id, p.account_id HAVING sum(p.amount) <> 0
         ORDER BY 1
        """,
    ),
    Check(
        4,
        "conversions went at the recorded rate",
        # The rate that was known when the entry was recorded; its result was rounded to cents.
        """
        SELECT format('entry %s: %s %s became %s %s, at the recorded rate %s they are %s', e.id, -gave.amount,
                      gave.currency, got.amount, got.currency, coalesce(r.rate::text, 'that is missing'),
                      -gave.amount * r.rate), format('/ledger/journal/J-%s/', e.id)
          FROM ledger_journalentry e
          JOIN ledger_posting gave ON gave.entry_id = e.id AND gave.amount < 0
          JOIN ledger_account a ON a.id = gave.account_id AND a.account_class = 'reserve'
          JOIN ledger_posting got ON got.entry_id = e.id AND got.amount > 0
          JOIN ledger_account b ON b.id = got.account_id AND b.account_class = 'reserve'
          LEFT JOIN LATERAL (
              SELECT rate FROM ledger_exchangerate x
               WHERE x.base = gave.currency AND x.quote = got.currency AND x.valid_on <= e.effective_on
                 AND x.recorded_at <= e.recorded_at
               ORDER BY x.valid_on DESC LIMIT 1) r ON true
         WHERE e.kind = 'conversion' AND coalesce(abs(got.amount + gave.amount * r.rate) > 0.005, true) ORDER BY e.id
        """,
    ),
    Check(
        9,
        "approved corrections are what was posted",
        """
        SELECT format('correction %s: %s', c.id, fault), '/ledger/corrections/'
          FROM ledger_correction c LEFT JOIN ledger_journalentry e ON e.id = c.entry_id
         CROSS JOIN LATERAL (
              SELECT 'its people, reason or day are not those of its entry' AS fault
               WHERE (e.actor_id, e.approved_by_id, e.reason, e.reverses_id)
                     IS DISTINCT FROM (c.proposed_by_id, c.decided_by_id, c.reason, c.reverses_id)
                  OR (c.reverses_id IS NULL AND e.effective_on IS DISTINCT FROM c.effective_on)
              UNION ALL
              SELECT 'its postings are not those that were proposed'
               WHERE c.reverses_id IS NULL AND (
                   SELECT array_agg((account_id, trim_scale(amount))::text ORDER BY account_id, amount)
                     FROM ledger_correctionleg WHERE correction_id = c.id)
                   IS DISTINCT FROM (
                   SELECT array_agg((account_id, trim_scale(amount))::text ORDER BY account_id, amount)
                     FROM ledger_posting WHERE entry_id = e.id)) faults
         WHERE c.state = 'approved' ORDER BY c.id
        """,
    ),
    Check(
        9,
        "corrections and conversions have a second person and a reason",
        """
        SELECT format('%s %s: %s', e.kind, e.id, fault), format('/ledger/journal/J-%s/', e.id)
          FROM ledger_journalentry e LEFT JOIN ledger_journalentry r ON r.id = e.reverses_id
         CROSS JOIN LATERAL (
              SELECT 'has no reason' AS fault WHERE btrim(e.reason) = ''
              UNION ALL SELECT 'nobody approved it' WHERE e.approved_by_id IS NULL
              UNION ALL SELECT 'its own actor approved it' WHERE e.approved_by_id = e.actor_id) faults
         WHERE e.kind IN ('adjustment', 'conversion') OR (e.kind = 'reversal' AND r.kind IS DISTINCT FROM 'accrual')
         ORDER BY e.id
        """,
    ),
    Check(
        5,
        "entries lie in their period",
        """
        SELECT format('entry %s of %s is in period %s', e.id, e.effective_on, p.starts_on),
               format('/ledger/journal/J-%s/', e.id)
          FROM ledger_journalentry e JOIN ledger_period p ON p.id = e.period_id
         WHERE e.effective_on > p.ends_on ORDER BY e.id
        """,
    ),
    Check(
        6,
        "no envelope is overdrawn",
        """
        SELECT format('account %s has %s', a.code, b.debits - b.credits), format('/ledger/accounts/%s/', a.code)
          FROM ledger_accountbalance b JOIN ledger_account a ON a.id = b.account_id
         WHERE (a.no_overdraft OR b.no_overdraft) AND b.debits < b.credits ORDER BY a.id
        """,
    ),
)
