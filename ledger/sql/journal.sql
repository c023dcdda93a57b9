-- What the ledger refuses, kept by the database itself. Numbers in brackets are the promises of
-- docs/architecture.md, "What the ledger refuses". Error codes: TK001 append-only, TK002 entry, TK003 period,
-- TK004 routing. All triggers are ENABLE ALWAYS, so session_replication_role does not switch them off.

-- [5] One currency per account, by a composite foreign key.
ALTER TABLE ledger_posting
    ADD CONSTRAINT posting_currency_is_the_accounts
    FOREIGN KEY (account_id, currency) REFERENCES ledger_account (id, currency);

-- [4] NaN and infinities have no scale, so the check of the scale lets them pass; nothing else may.
CREATE FUNCTION ledger_require_finite(relation regclass, name text, VARIADIC columns text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (%s)', relation, name || '_finite', (
        SELECT string_agg(format('%I NOT IN (''NaN'', ''Infinity'', ''-Infinity'')', c), ' AND ') FROM unnest(columns) c));
END $$;
REVOKE EXECUTE ON FUNCTION ledger_require_finite(regclass, text, text[]) FROM PUBLIC;
SELECT ledger_require_finite('ledger_posting', 'posting_amount', 'amount');
SELECT ledger_require_finite('ledger_rate', 'rate', 'input', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'output');

-- [2] The transaction that wrote the entry; postings must come from the same one.
ALTER TABLE ledger_journalentry ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();

-- [7] Few dead tuples on the hot rows: updates stay on their page.
ALTER TABLE ledger_accountbalance SET (fillfactor = 40);

-- [9] Periods do not overlap; open, closing, closed; a closed one opens again only in the transaction in which a
-- second person granted it (ledger/sql/closing.sql).
ALTER TABLE ledger_period
    ADD CONSTRAINT period_no_overlap EXCLUDE USING gist (daterange(starts_on, ends_on, '[]') WITH &&);

-- The search path is fixed: a temporary table of the same name must not answer for the requests to reopen.
CREATE FUNCTION ledger_period_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'period % cannot be deleted', OLD.starts_on USING ERRCODE = 'TK003';
    END IF;
    IF OLD.state = 'closed' AND NOT (NEW.state = 'open' AND EXISTS (
            SELECT 1 FROM ledger_periodreopening
             WHERE period_id = OLD.id AND state = 'granted' AND granted_xact = pg_current_xact_id())) THEN
        RAISE EXCEPTION 'period % is closed and stays closed', OLD.starts_on
            USING ERRCODE = 'TK003', HINT = 'Two people can reopen it, with a reason.';
    END IF;
    IF OLD.state = 'open' AND NEW.state = 'closed' THEN
        RAISE EXCEPTION 'period % has to be closing before it is closed', OLD.starts_on USING ERRCODE = 'TK003';
    END IF;
    IF (NEW.starts_on, NEW.ends_on, NEW.fiscal_year_id) IS DISTINCT FROM (OLD.starts_on, OLD.ends_on, OLD.fiscal_year_id) THEN
        RAISE EXCEPTION 'the dates of period % are fixed', OLD.starts_on USING ERRCODE = 'TK003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER period_guard BEFORE UPDATE OR DELETE ON ledger_period
    FOR EACH ROW EXECUTE FUNCTION ledger_period_guard();
ALTER TABLE ledger_period ENABLE ALWAYS TRIGGER period_guard;

-- Accounts: what an account means never changes; its balance row is born with it.
CREATE FUNCTION ledger_account_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'account % cannot be deleted', OLD.code USING ERRCODE = 'TK001';
    END IF;
    IF (NEW.code, NEW.account_class, NEW.currency, NEW.no_overdraft, NEW.provider_id, NEW.fiscal_year_id, NEW.tier)
        IS DISTINCT FROM (OLD.code, OLD.account_class, OLD.currency, OLD.no_overdraft, OLD.provider_id,
                          OLD.fiscal_year_id, OLD.tier) THEN
        RAISE EXCEPTION 'code, class, currency, overdraft rule, provider, year and tier of account % are fixed', OLD.code
            USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER account_guard BEFORE UPDATE OR DELETE ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_account_guard();
ALTER TABLE ledger_account ENABLE ALWAYS TRIGGER account_guard;

CREATE FUNCTION ledger_account_open() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_accountbalance (account_id, currency, no_overdraft)
    VALUES (NEW.id, NEW.currency, NEW.no_overdraft);
    RETURN NULL;
END $$;
CREATE TRIGGER account_open AFTER INSERT ON ledger_account
    FOR EACH ROW EXECUTE FUNCTION ledger_account_open();
ALTER TABLE ledger_account ENABLE ALWAYS TRIGGER account_open;

-- [9] An entry belongs to an open period. FOR SHARE here, an UPDATE of the row there: closing waits for
-- entries in flight, and entries that come after see the period closed.
CREATE FUNCTION ledger_entry_begin() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    period ledger_period;
BEGIN
    NEW.recorded_at := now();
    NEW.xact := pg_current_xact_id();
    SELECT * INTO period FROM ledger_period WHERE id = NEW.period_id FOR SHARE;
    -- While it is closing, a period takes what the close itself needs.
    IF period.state IS DISTINCT FROM 'open' AND NOT (period.state = 'closing' AND NEW.kind IN (
            'usage', 'overage', 'billed', 'difference', 'accrual', 'adjustment', 'reversal')) THEN
        RAISE EXCEPTION 'period % is %', period.starts_on, coalesce(period.state, 'unknown')
            USING ERRCODE = 'TK003', HINT = 'Post to the open period; effective_on keeps the date of the fact.';
    END IF;
    -- A minute's grace for a clock that goes before this one.
    IF NEW.effective_on > (clock_timestamp() AT TIME ZONE 'UTC' + interval '1 minute')::date THEN
        RAISE EXCEPTION 'effective date % lies in the future', NEW.effective_on USING ERRCODE = 'TK003';
    END IF;
    IF NEW.effective_on > period.ends_on THEN
        RAISE EXCEPTION 'effective date % lies after period %', NEW.effective_on, period.starts_on
            USING ERRCODE = 'TK003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER entry_begin BEFORE INSERT ON ledger_journalentry
    FOR EACH ROW EXECUTE FUNCTION ledger_entry_begin();
ALTER TABLE ledger_journalentry ENABLE ALWAYS TRIGGER entry_begin;

-- [2] A row may join an entry only in the entry's own transaction and before its seal.
CREATE FUNCTION ledger_require_unsealed(entry bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_journalentry e WHERE e.id = entry AND e.xact = pg_current_xact_id())
       OR EXISTS (SELECT 1 FROM ledger_seal s WHERE s.entry_id = entry) THEN
        RAISE EXCEPTION 'entry % is complete: nothing can be added to it', entry
            USING ERRCODE = 'TK002', HINT = 'Post a new entry.';
    END IF;
END $$;

-- [7] The stored balance, and on the posting the running balance: a statement reads rows and sums nothing.
CREATE FUNCTION ledger_posting_apply() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM ledger_require_unsealed(NEW.entry_id);
    UPDATE ledger_accountbalance
       SET debits = debits + greatest(NEW.amount, 0),
           credits = credits + greatest(-NEW.amount, 0),
           version = version + 1
     WHERE account_id = NEW.account_id
    RETURNING debits - credits, version INTO NEW.balance_after, NEW.account_version;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'account % has no balance row', NEW.account_id USING ERRCODE = 'TK002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER posting_apply BEFORE INSERT ON ledger_posting
    FOR EACH ROW EXECUTE FUNCTION ledger_posting_apply();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER posting_apply;

CREATE FUNCTION ledger_usage_posting_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_require_unsealed(NEW.entry_id);
    RETURN NEW;
END $$;
CREATE TRIGGER usage_posting_begin BEFORE INSERT ON ledger_usageposting
    FOR EACH ROW EXECUTE FUNCTION ledger_usage_posting_begin();
ALTER TABLE ledger_usageposting ENABLE ALWAYS TRIGGER usage_posting_begin;

-- [7] Services take the balance rows of an entry in id order before they post, so that opposite transfers
-- cannot deadlock. tank_app has no right on the rows; it may only ask for this.
CREATE FUNCTION ledger_lock_accounts(accounts bigint[]) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM (
        SELECT 1 FROM ledger_accountbalance WHERE account_id = ANY (accounts) ORDER BY account_id FOR NO KEY UPDATE
    ) locked;
$$;
REVOKE EXECUTE ON FUNCTION ledger_lock_accounts(bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_lock_accounts(bigint[]) TO tank_app;

-- [11] The content that a seal vouches for. Text, so that anybody can recompute it.
CREATE FUNCTION ledger_entry_canonical(entry bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        'tank-seal-1', e.id, e.kind, e.source, e.key, e.fingerprint, e.period_id, e.effective_on,
        to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        e.actor_id, e.approved_by_id, e.reason, e.memo, e.reverses_id,
        (SELECT jsonb_agg(jsonb_build_array(p.id, p.account_id, p.currency, trim_scale(p.amount)::text,
                                            trim_scale(p.balance_after)::text, p.account_version) ORDER BY p.id)
           FROM ledger_posting p WHERE p.entry_id = e.id),
        (SELECT jsonb_agg(jsonb_build_array(u.account_id, u.provider_id,
                                            to_char(u.hour AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24'), u.records,
                                            trim_scale(u.charged)::text, trim_scale(u.overage)::text, u.digest)
                          ORDER BY u.id)
           FROM ledger_usageposting u WHERE u.entry_id = e.id)
    )::text
    FROM ledger_journalentry e WHERE e.id = entry
$$;

-- [12] A reversal has a second person, but for an accrual's, which falls due by itself. What the usage subledger
-- stands behind is not turned round: the subledger would still say that it was used.
CREATE FUNCTION ledger_reversal_fault(head ledger_journalentry) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    reversed text := (SELECT kind FROM ledger_journalentry WHERE id = head.reverses_id);
BEGIN
    IF reversed IN ('usage', 'overage', 'reversal') THEN
        RETURN format('entry %s: a %s entry cannot be reversed, post an adjustment', head.id, reversed);
    ELSIF reversed <> 'accrual' AND head.approved_by_id IS NULL THEN
        RETURN format('entry %s: a reversal needs a second person', head.id);
    END IF;
    RETURN NULL;
END $$;

-- [1] balanced, at least two postings; [6] routed; [10] a reversal mirrors its entry. Returns NULL or the fault.
CREATE FUNCTION ledger_entry_fault(entry bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    head ledger_journalentry;
    legs int;
    fault text;
BEGIN
    SELECT * INTO head FROM ledger_journalentry WHERE id = entry;
    SELECT count(*) INTO legs FROM ledger_posting WHERE entry_id = entry;
    IF legs < 2 THEN
        RETURN format('entry %s has %s posting(s), at least two are needed', entry, legs);
    END IF;
    SELECT format('entry %s does not balance: %s %s', entry, currency, sum(amount)) INTO fault
      FROM ledger_posting WHERE entry_id = entry GROUP BY currency HAVING sum(amount) <> 0 LIMIT 1;
    IF fault IS NOT NULL THEN
        RETURN fault;
    END IF;
    IF head.kind = 'reversal' THEN
        SELECT format('entry %s does not mirror entry %s', entry, head.reverses_id) INTO fault
          FROM ledger_posting WHERE entry_id IN (entry, head.reverses_id)
         GROUP BY account_id, currency HAVING sum(amount) <> 0 LIMIT 1;
        RETURN coalesce(fault, ledger_reversal_fault(head));
    END IF;
    SELECT format('entry %s: a %s entry may not debit %s against %s', entry, head.kind, d.account_class, c.account_class)
      INTO fault
      FROM (SELECT DISTINCT a.account_class FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
             WHERE p.entry_id = entry AND p.amount > 0) d
     CROSS JOIN (SELECT DISTINCT a.account_class FROM ledger_posting p JOIN ledger_account a ON a.id = p.account_id
             WHERE p.entry_id = entry AND p.amount < 0) c
     WHERE NOT EXISTS (SELECT 1 FROM ledger_routing r WHERE r.kind = head.kind
                          AND r.debit_class = d.account_class AND r.credit_class = c.account_class)
     LIMIT 1;
    RETURN fault;
END $$;

-- At commit: the entry must be whole, and gets its link in the chain. One advisory lock orders the chain.
CREATE FUNCTION ledger_entry_complete() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    fault text := ledger_entry_fault(NEW.id);
    last ledger_seal;
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING ERRCODE = 'TK002';
    END IF;
    PERFORM pg_advisory_xact_lock(7246881);
    SELECT * INTO last FROM ledger_seal ORDER BY seq DESC LIMIT 1;
    last.hash := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
    INSERT INTO ledger_seal (seq, entry_id, prev_hash, hash)
    VALUES (coalesce(last.seq, 0) + 1, NEW.id, last.hash,
            sha256(last.hash || convert_to(ledger_entry_canonical(NEW.id), 'UTF8')));
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER entry_complete AFTER INSERT ON ledger_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_entry_complete();
ALTER TABLE ledger_journalentry ENABLE ALWAYS TRIGGER entry_complete;

-- An approved rate never changes: usage points at it.
CREATE FUNCTION ledger_rate_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.approved_at IS NOT NULL THEN
        RAISE EXCEPTION 'rate % is approved and never changes', OLD.id
            USING ERRCODE = 'TK001', HINT = 'Propose a new rate with a later valid_from.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER rate_guard BEFORE UPDATE OR DELETE ON ledger_rate
    FOR EACH ROW EXECUTE FUNCTION ledger_rate_guard();
ALTER TABLE ledger_rate ENABLE ALWAYS TRIGGER rate_guard;

-- [3] Append-only: triggers and rights.
SELECT tank_make_append_only('ledger_journalentry');
SELECT tank_make_append_only('ledger_posting');
SELECT tank_make_append_only('ledger_seal');
SELECT tank_make_append_only('ledger_usagerecord');
SELECT tank_make_append_only('ledger_usageposting');
SELECT tank_make_append_only('ledger_routing');
REVOKE INSERT ON ledger_seal, ledger_routing FROM tank_app;
REVOKE INSERT, UPDATE, DELETE ON ledger_accountbalance FROM tank_app;
REVOKE DELETE ON ledger_account, ledger_period, ledger_fiscalyear, ledger_provider FROM tank_app;
REVOKE UPDATE ON ledger_fiscalyear FROM tank_app;

INSERT INTO ledger_routing (kind, debit_class, credit_class) VALUES
    ('fund', 'reserve', 'authority'),
    ('supplement', 'reserve', 'authority'),
    ('cut', 'authority', 'reserve'),
    ('lapse', 'authority', 'reserve'),
    ('conversion', 'reserve', 'trading'),
    ('conversion', 'trading', 'reserve'),
    ('conversion', 'trading', 'trading'),
    ('conversion', 'reserve', 'reserve'),
    ('accrual', 'accrued', 'metered'),
    ('pool_open', 'pool', 'reserve'),
    ('pool_return', 'reserve', 'pool'),
    ('award', 'committed', 'pool'),
    ('grant', 'committed', 'reserve'),
    ('grant', 'committed', 'pool'),
    ('release', 'line', 'committed'),
    ('usage', 'metered', 'line'),
    ('overage', 'metered', 'variance'),
    ('billed', 'billed', 'metered'),
    ('difference', 'line', 'metered'),
    ('difference', 'variance', 'metered'),
    ('difference', 'metered', 'line'),
    ('difference', 'metered', 'variance'),
    ('return', 'pool', 'line'),
    ('return', 'reserve', 'line'),
    ('return', 'pool', 'committed'),
    ('return', 'reserve', 'committed'),
    ('transfer', 'line', 'line');
-- An adjustment may touch any account but the authority, which only funding, cuts and lapse may move.
INSERT INTO ledger_routing (kind, debit_class, credit_class)
SELECT 'adjustment', d, c
  FROM unnest(ARRAY['reserve', 'pool', 'committed', 'line', 'metered', 'billed', 'variance', 'accrued']) d
 CROSS JOIN unnest(ARRAY['reserve', 'pool', 'committed', 'line', 'metered', 'billed', 'variance', 'accrued']) c;
