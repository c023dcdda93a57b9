-- Reopening a closed period, and what of the close is written once. The period's own guard is in journal.sql.

-- A request begins as asked; it is decided once. The transaction that grants it is the one that may reopen.
ALTER TABLE ledger_periodreopening ADD COLUMN granted_xact xid8;
CREATE FUNCTION ledger_reopening_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a request to reopen cannot be deleted' USING ERRCODE = 'TK003';
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.state := 'asked';
        NEW.decided_by_id := NULL;
        NEW.granted_xact := NULL;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'asked' OR (NEW.period_id, NEW.reason, NEW.asked_by_id, NEW.asked_at)
            IS DISTINCT FROM (OLD.period_id, OLD.reason, OLD.asked_by_id, OLD.asked_at) THEN
        RAISE EXCEPTION 'a request to reopen is decided once and not changed' USING ERRCODE = 'TK003';
    END IF;
    NEW.granted_xact := CASE WHEN NEW.state = 'granted' THEN pg_current_xact_id() END;
    RETURN NEW;
END $$;
CREATE TRIGGER reopening_guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_periodreopening
    FOR EACH ROW EXECUTE FUNCTION ledger_reopening_guard();
ALTER TABLE ledger_periodreopening ENABLE ALWAYS TRIGGER reopening_guard;

-- A correction is decided once, and what was proposed stays as it was proposed. Its legs come in the transaction
-- that proposes it: what the second person reads is what is posted.
ALTER TABLE ledger_correction ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE FUNCTION ledger_correction_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.state := 'proposed';
        NEW.decided_by_id := NULL;
        NEW.entry_id := NULL;
        NEW.xact := pg_current_xact_id();
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state <> 'proposed'
            OR (NEW.reason, NEW.memo, NEW.effective_on, NEW.reverses_id, NEW.proposed_by_id, NEW.proposed_at, NEW.xact)
               IS DISTINCT FROM (OLD.reason, OLD.memo, OLD.effective_on, OLD.reverses_id, OLD.proposed_by_id,
                                 OLD.proposed_at, OLD.xact) THEN
        RAISE EXCEPTION 'correction % is decided once and never changed', OLD.id
            USING ERRCODE = 'TK001', HINT = 'Withdraw it and propose another.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER correction_guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_correction
    FOR EACH ROW EXECUTE FUNCTION ledger_correction_guard();
ALTER TABLE ledger_correction ENABLE ALWAYS TRIGGER correction_guard;

CREATE FUNCTION ledger_correction_leg_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_correction WHERE id = NEW.correction_id AND xact = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'correction % is proposed: nothing can be added to it', NEW.correction_id
            USING ERRCODE = 'TK001', HINT = 'Withdraw it and propose another.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER correction_leg_guard BEFORE INSERT ON ledger_correctionleg
    FOR EACH ROW EXECUTE FUNCTION ledger_correction_leg_guard();
ALTER TABLE ledger_correctionleg ENABLE ALWAYS TRIGGER correction_leg_guard;

-- What is open is accepted while the period is closing, neither before nor after.
CREATE FUNCTION ledger_acceptance_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_period WHERE id = NEW.period_id AND state = 'closing') THEN
        RAISE EXCEPTION 'period % is not closing', NEW.period_id USING ERRCODE = 'TK003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER acceptance_guard BEFORE INSERT ON ledger_closeacceptance
    FOR EACH ROW EXECUTE FUNCTION ledger_acceptance_guard();
ALTER TABLE ledger_closeacceptance ENABLE ALWAYS TRIGGER acceptance_guard;

SELECT ledger_require_finite('ledger_correctionleg', 'correction_leg', 'amount');
SELECT ledger_require_finite('ledger_exchangerate', 'exchange_rate', 'rate');

-- Rows of these two change state; as a whole the tables are history all the same.
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['ledger_correction', 'ledger_periodreopening'] LOOP
        EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION tank_refuse_change()', relation);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only_table', relation);
    END LOOP;
END $$;

SELECT tank_make_append_only('ledger_correctionleg');
SELECT tank_make_append_only('ledger_closeacceptance');
SELECT tank_make_append_only('ledger_exchangerate');
