"""What `manage.py verify` can prove about quotas: they are hard, and agree with holds, usage and ledger."""

from ledger.checks import Check

# Each quota with the page of its allocation, whether it is a line's or a key's.
OWNED = """
    SELECT q.*, format('/allocations/A-%s/', lpad(o.id::text, greatest(4, length(o.id::text)), '0')) AS look
      FROM allocations_quota q
      LEFT JOIN allocations_allocationline l ON l.id = q.line_id
      LEFT JOIN allocations_quotakey k ON k.id = coalesce(q.key_id, q.window_of_id)
      JOIN allocations_allocation o ON o.id = coalesce(l.allocation_id, k.allocation_id)
"""
# What was charged by line and key: hours before the horizon, whose records may be detached, and records from there on.
CHARGED = """
    SELECT account_id, key_id, sum(charged) AS charged FROM (
        SELECT account_id, key_id, charged FROM ledger_usagehour WHERE hour < ledger_usage_horizon()
        UNION ALL
        SELECT account_id, key_id, charged FROM ledger_usagerecord WHERE settled_at >= ledger_usage_horizon()) usage
     GROUP BY 1, 2
"""

# What each key used of what its quotas count, records and detached months alike, by the day that it was sent.
USED = """
    SELECT key_id, day, sum(charged) AS charged, sum(tokens) AS tokens FROM (
        SELECT key_id, (hour AT TIME ZONE 'UTC')::date AS day, charged, input_tokens + cache_read_tokens
               + cache_write_5m_tokens + cache_write_1h_tokens + output_tokens AS tokens
          FROM ledger_usagehour WHERE hour < ledger_usage_horizon()
        UNION ALL
        SELECT key_id, (sent_at AT TIME ZONE 'UTC')::date, charged, input_tokens + cache_read_tokens
               + cache_write_5m_tokens + cache_write_1h_tokens + output_tokens
          FROM ledger_usagerecord WHERE settled_at >= ledger_usage_horizon()) usage
     GROUP BY 1, 2
"""

CHECKS = (
    Check(
        1,
        "quotas are hard",
        f"""
        SELECT format('quota %s: spent %s + held %s > limit %s', id, trim_scale(spent), trim_scale(held),
                      trim_scale("limit")), look
          FROM ({OWNED}) q
         WHERE spent + held > "limit" ORDER BY id
        """,  # noqa: S608 - the statement above
    ),
    Check(
        1,
        "token limits are hard",
        f"""
        SELECT format('quota %s: tokens spent %s + held %s > limit %s', id, tokens_spent, tokens_held, token_limit),
               look
          FROM ({OWNED}) q
         WHERE tokens_spent + tokens_held > token_limit ORDER BY id
        """,  # noqa: S608 - the statement above
    ),
    Check(
        1,
        "the quota constraints stand",
        """
        SELECT name || ' is missing or not validated', 'psql: \\d+ allocations_quota'
          FROM unnest(ARRAY['quota_is_hard', 'quota_tokens_are_hard']) name
         WHERE NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = name AND convalidated)
        """,
    ),
    Check(
        1,
        "the triggers of limits are switched on",
        """
        SELECT format('trigger %s on %s is missing or switched off', name, relation), format('psql: \\d+ %s', relation)
          FROM (VALUES ('ledger_posting', 'limit_follow'), ('allocations_quota', 'quota_guard')) wanted (relation, name)
         WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t
                            WHERE t.tgrelid = relation::regclass AND t.tgname = name AND t.tgenabled = 'A')
        """,
    ),
    Check(
        1,
        "what is held is what processes hold",
        f"""
        WITH holds AS (
            SELECT quota_id, sum(amount) AS amount, sum(tokens) AS tokens FROM allocations_hold GROUP BY 1
        )
        SELECT format('quota %s: held %s and %s tokens, its holds sum to %s and %s tokens', q.id, trim_scale(q.held),
                      q.tokens_held, trim_scale(coalesce(h.amount, 0)), coalesce(h.tokens, 0)), q.look
          FROM ({OWNED}) q LEFT JOIN holds h ON h.quota_id = q.id
         WHERE q.held <> coalesce(h.amount, 0) OR q.tokens_held <> coalesce(h.tokens, 0) ORDER BY q.id
        """,  # noqa: S608 - the statement above
    ),
    Check(
        1,
        "a call from outside that has ended holds nothing",
        f"""
        SELECT format('outside call %s of key %s: it has ended, and holds %s', c.caller_id, c.key_id,
                      trim_scale(h.amount)), q.look
          FROM allocations_outsidecall c JOIN allocations_hold h ON h.worker_id = c.request_id
          JOIN ({OWNED}) q ON q.id = h.quota_id
         WHERE c.ended_at IS NOT NULL ORDER BY c.id, q.id
        """,  # noqa: S608 - the statement above
    ),
    Check(
        2,
        "a call from outside that was settled is recorded",
        """
        SELECT format('outside call %s of key %s: settled, and without a usage record', c.caller_id, c.key_id),
               format('/admin/allocations/outsidecall/%s/change/', c.id)
          FROM allocations_outsidecall c
         WHERE c.outcome = 'settled'
           AND NOT EXISTS (SELECT 1 FROM ledger_usagerecord r WHERE r.request_id = c.request_id) ORDER BY c.id
        """,
    ),
    Check(
        1,
        "what a line spent is its usage",
        f"""
        WITH used AS (SELECT account_id, sum(charged) AS charged FROM ({CHARGED}) by_key GROUP BY 1)
        SELECT format('line %s: spent %s, its usage records say %s', a.code, trim_scale(q.spent),
                      trim_scale(coalesce(u.charged, 0))), q.look
          FROM ({OWNED}) q
          JOIN allocations_allocationline l ON l.id = q.line_id JOIN ledger_account a ON a.id = l.account_id
          LEFT JOIN used u ON u.account_id = a.id
         WHERE q.spent <> coalesce(u.charged, 0) ORDER BY q.id
        """,  # noqa: S608 - the statements above
    ),
    Check(
        1,
        "what a key spent is its usage",
        f"""
        WITH used AS (SELECT key_id, sum(charged) AS charged FROM ({CHARGED}) by_line GROUP BY 1)
        SELECT format('key %s: spent %s, its usage records say %s', q.key_id, trim_scale(q.spent),
                      trim_scale(coalesce(u.charged, 0))), q.look
          FROM ({OWNED}) q LEFT JOIN used u ON u.key_id = q.key_id
         WHERE q.key_id IS NOT NULL AND q.spent <> coalesce(u.charged, 0) ORDER BY q.id
        """,  # noqa: S608 - the statements above
    ),
    Check(
        1,
        "a key's days and months hold no more than it used",
        f"""
        SELECT format('key %s, %s from %s: spent %s and %s tokens, its usage says %s and %s tokens', q.window_of_id,
                      q."window", q.starts_on, trim_scale(q.spent), q.tokens_spent,
                      trim_scale(coalesce(u.charged, 0)), coalesce(u.tokens, 0)), q.look
          FROM ({OWNED}) q LEFT JOIN (
              SELECT w.id, sum(u.charged) AS charged, sum(u.tokens) AS tokens
                FROM allocations_quota w JOIN ({USED}) u
                  ON u.key_id = w.window_of_id AND u.day >= w.starts_on
                     AND u.day < w.starts_on + ('1 ' || w."window")::interval
               GROUP BY 1) u ON u.id = q.id
         WHERE q.window_of_id IS NOT NULL
           AND (q.spent > coalesce(u.charged, 0) OR q.tokens_spent > coalesce(u.tokens, 0))
         ORDER BY q.id
        """,  # noqa: S608 - the statements above
    ),
    Check(
        4,
        "a line's limit is what the ledger released",
        """
        WITH released AS (
            SELECT p.account_id, sum(p.amount) AS amount
              FROM ledger_posting p
              JOIN allocations_allocationline l ON l.account_id = p.account_id
              JOIN ledger_journalentry e ON e.id = p.entry_id
             WHERE e.kind <> 'usage' GROUP BY 1
        )
        SELECT format('line %s: quota limit %s, the ledger released %s', a.code, trim_scale(q."limit"),
                      trim_scale(coalesce(r.amount, 0))), format('/ledger/accounts/%s/', a.code)
          FROM allocations_quota q
          JOIN allocations_allocationline l ON l.id = q.line_id JOIN ledger_account a ON a.id = l.account_id
          LEFT JOIN released r ON r.account_id = a.id
         WHERE q."limit" <> coalesce(r.amount, 0) ORDER BY q.id
        """,
    ),
)


def of_quotas() -> tuple[Check, ...]:
    """Return the checks of quotas."""
    return CHECKS
