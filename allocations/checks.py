"""What `manage.py verify` can prove about quotas: they are hard, and agree with holds, usage and ledger."""

from ledger.checks import Check

# Each quota with the page of its allocation, whether it is a line's or a key's.
OWNED = """
    SELECT q.*, format('/allocations/A-%s/', lpad(o.id::text, greatest(4, length(o.id::text)), '0')) AS look
      FROM allocations_quota q
      LEFT JOIN allocations_allocationline l ON l.id = q.line_id
      LEFT JOIN allocations_quotakey k ON k.id = q.key_id
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
        "the quota constraint stands",
        """
        SELECT 'quota_is_hard is missing or not validated', 'psql: \\d+ allocations_quota' WHERE NOT EXISTS (
            SELECT 1 FROM pg_constraint WHERE conname = 'quota_is_hard' AND convalidated)
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
        WITH holds AS (SELECT quota_id, sum(amount) AS amount FROM allocations_hold GROUP BY 1)
        SELECT format('quota %s: held %s, its holds sum to %s', q.id, trim_scale(q.held),
                      trim_scale(coalesce(h.amount, 0))), q.look
          FROM ({OWNED}) q LEFT JOIN holds h ON h.quota_id = q.id
         WHERE q.held <> coalesce(h.amount, 0) ORDER BY q.id
        """,  # noqa: S608 - the statement above
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
