"""Checks of reconciliation: what it says that it posted is in the entries that it made, account by account."""

from ledger.checks.base import Check

CHECKS = (
    Check(
        4,
        "what reconciliation posted is in its entries",
        """
        WITH latest AS (
            SELECT DISTINCT ON (p.provider_id, p.day, p.account_id) p.*, a.account_class
              FROM ledger_reconciliationposting p JOIN ledger_account a ON a.id = p.account_id
             ORDER BY p.provider_id, p.day, p.account_id, p.step DESC
        ), said AS (
            SELECT provider_id, account_id,
                   CASE account_class WHEN 'billed' THEN amount ELSE overage - amount END AS moved
              FROM latest
            UNION ALL
            -- What a line could not pay, Variance took.
            SELECT l.provider_id, v.id, -l.overage FROM latest l
              JOIN ledger_provider p ON p.id = l.provider_id JOIN ledger_account v ON v.code = 'variance:' || p.name
        ), made AS (
            SELECT split_part(e.key, ':', 1)::bigint AS provider_id, p.account_id, p.amount AS moved
              FROM ledger_journalentry e JOIN ledger_posting p ON p.entry_id = e.id
              JOIN ledger_account a ON a.id = p.account_id
             WHERE e.source = 'reconciliation' AND a.account_class <> 'metered'
        )
        SELECT format('account %s: reconciliation says %s, its entries have %s', a.code,
                      trim_scale(coalesce(s.moved, 0)), trim_scale(coalesce(m.moved, 0))),
               '/ledger/accounts/' || a.code || '/'
          FROM (SELECT provider_id, account_id, sum(moved) AS moved FROM said GROUP BY 1, 2) s
          FULL JOIN (SELECT provider_id, account_id, sum(moved) AS moved FROM made GROUP BY 1, 2) m
               USING (provider_id, account_id)
          JOIN ledger_account a ON a.id = account_id
         WHERE coalesce(s.moved, 0) <> coalesce(m.moved, 0)
         ORDER BY a.code
        """,
    ),
    Check(
        4,
        "a line that is agreed is attributed to the last place",
        """
        SELECT format('line %s of %s: %s was reported, %s metered, and accounts take %s', l.id, l.day,
                      trim_scale(l.reported), trim_scale(l.metered), trim_scale(coalesce(a.taken, 0))),
               '/ledger/reconciliation/'
          FROM ledger_reconciliationline l
          LEFT JOIN (SELECT line_id, sum(amount) AS taken FROM ledger_lineattribution GROUP BY 1) a ON a.line_id = l.id
         WHERE l.is_agreed AND l.reported - l.metered <> coalesce(a.taken, 0)
         ORDER BY l.day, l.id
        """,
    ),
)
