"""What `manage.py verify` can prove about quotas: they are hard, and agree with holds, usage and ledger."""

from ledger.checks import Check

CHECKS = (
    Check(
        1,
        "quotas are hard",
        """
        SELECT format('quota %s: spent %s + held %s > limit %s', id, trim_scale(spent), trim_scale(held),
                      trim_scale("limit"))
          FROM allocations_quota
         WHERE spent + held > "limit" ORDER BY id
        """,
    ),
    Check(
        1,
        "the quota constraint stands",
        """
        SELECT 'quota_is_hard is missing or not validated' WHERE NOT EXISTS (
            SELECT 1 FROM pg_constraint WHERE conname = 'quota_is_hard' AND convalidated)
        """,
    ),
    Check(
        1,
        "what is held is what processes hold",
        """
        SELECT format('quota %s: held %s, its holds sum to %s', q.id, trim_scale(q.held), trim_scale(h.amount))
          FROM allocations_quota q CROSS JOIN LATERAL (
              SELECT coalesce(sum(amount), 0) AS amount FROM allocations_hold WHERE quota_id = q.id) h
         WHERE q.held <> h.amount ORDER BY q.id
        """,
    ),
    Check(
        1,
        "what a line spent is its usage",
        """
        SELECT format('line %s: spent %s, its usage records say %s', a.code, trim_scale(q.spent),
                      trim_scale(coalesce(u.charged, 0)))
          FROM allocations_quota q
          JOIN allocations_allocationline l ON l.id = q.line_id JOIN ledger_account a ON a.id = l.account_id
          LEFT JOIN (SELECT account_id, sum(charged) AS charged FROM ledger_usagerecord GROUP BY 1) u
                 ON u.account_id = a.id
         WHERE q.spent <> coalesce(u.charged, 0) ORDER BY q.id
        """,
    ),
    Check(
        1,
        "what a key spent is its usage",
        """
        SELECT format('key %s: spent %s, its usage records say %s', q.key_id, trim_scale(q.spent),
                      trim_scale(coalesce(u.charged, 0)))
          FROM allocations_quota q
          LEFT JOIN (SELECT key_id, sum(charged) AS charged FROM ledger_usagerecord GROUP BY 1) u ON u.key_id = q.key_id
         WHERE q.key_id IS NOT NULL AND q.spent <> coalesce(u.charged, 0) ORDER BY q.id
        """,
    ),
    Check(
        4,
        "a line's limit is what the ledger released",
        """
        SELECT format('line %s: quota limit %s, the ledger released %s', a.code, trim_scale(q."limit"),
                      trim_scale(coalesce(p.released, 0)))
          FROM allocations_quota q
          JOIN allocations_allocationline l ON l.id = q.line_id JOIN ledger_account a ON a.id = l.account_id
          LEFT JOIN LATERAL (
              SELECT sum(p.amount) AS released FROM ledger_posting p JOIN ledger_journalentry e ON e.id = p.entry_id
               WHERE p.account_id = a.id AND e.kind <> 'usage') p ON true
         WHERE q."limit" <> coalesce(p.released, 0) ORDER BY q.id
        """,
    ),
)
