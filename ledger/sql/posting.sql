-- The door through which services post: one function, and the period that it posts to.

-- [9] The first period that takes a fact of this day, held until the entry is in: a close that comes between the choice
-- and the entry would refuse an entry that belongs to the next period. FOR SHARE waits for a close in flight and then
-- finds no row where the state has changed; the next look sees the change and chooses again.
CREATE OR REPLACE FUNCTION ledger_period_for(day date, states text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    chosen bigint;
BEGIN
    LOOP
        SELECT p.id INTO chosen FROM ledger_period p
         WHERE p.ends_on >= day AND p.state = ANY (states) ORDER BY p.starts_on LIMIT 1 FOR SHARE;
        EXIT WHEN FOUND OR NOT EXISTS (SELECT 1 FROM ledger_period p WHERE p.ends_on >= day AND p.state = ANY (states));
    END LOOP;
    RETURN chosen;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_period_for(date, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_period_for(date, text[]) TO tank_app;

-- The statements of one posting in one round trip, with the caller's own rights: what holds is held by constraints and
-- triggers, whoever inserts. `entry` is null when `stopped` says why; a key that is known gives its first entry.
CREATE OR REPLACE FUNCTION ledger_post(
    p_kind text, p_source text, p_key text, p_fingerprint text, p_effective_on date, p_actor bigint, p_approver bigint,
    p_reason text, p_memo text, p_reverses bigint, p_states text[], p_accounts bigint[], p_currencies text[],
    p_amounts numeric[], OUT entry bigint, OUT is_new boolean, OUT period bigint, OUT recorded timestamptz,
    OUT stopped text, OUT short_account bigint, OUT short_left numeric
) LANGUAGE plpgsql AS $$
BEGIN
    is_new := false;
    PERFORM ledger_lock_accounts(p_accounts);
    SELECT e.id INTO entry FROM ledger_journalentry e WHERE e.source = p_source AND e.key = p_key;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT b.account_id, b.debits - b.credits INTO short_account, short_left
      FROM ledger_accountbalance b
      JOIN (SELECT account, sum(amount) AS moved FROM unnest(p_accounts, p_amounts) leg (account, amount) GROUP BY 1) m
        ON m.account = b.account_id
     WHERE b.no_overdraft AND b.debits - b.credits + m.moved < 0 ORDER BY b.account_id LIMIT 1;
    IF FOUND THEN
        stopped := 'overdraft';
        RETURN;
    END IF;
    period := ledger_period_for(p_effective_on, p_states);
    IF period IS NULL THEN
        stopped := 'no_open_period';
        RETURN;
    END IF;
    -- ON CONFLICT waits for a concurrent twin to commit or to give up.
    INSERT INTO ledger_journalentry AS e (kind, source, key, fingerprint, period_id, effective_on, actor_id,
                                          approved_by_id, reason, memo, reverses_id)
    VALUES (p_kind, p_source, p_key, p_fingerprint, period, p_effective_on, p_actor, p_approver, p_reason, p_memo,
            p_reverses)
    ON CONFLICT (source, key) DO NOTHING RETURNING e.id, e.recorded_at INTO entry, recorded;
    IF NOT FOUND THEN
        SELECT e.id INTO entry FROM ledger_journalentry e WHERE e.source = p_source AND e.key = p_key;
        RETURN;
    END IF;
    INSERT INTO ledger_posting (entry_id, account_id, currency, amount)
    SELECT entry, leg.* FROM unnest(p_accounts, p_currencies, p_amounts) leg (account, currency, amount);
    is_new := true;
END $$;
REVOKE EXECUTE ON FUNCTION ledger_post(text, text, text, text, date, bigint, bigint, text, text, bigint, text[],
    bigint[], text[], numeric[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_post(text, text, text, text, date, bigint, bigint, text, text, bigint, text[],
    bigint[], text[], numeric[]) TO tank_app;
