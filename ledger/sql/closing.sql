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

-- A correction is decided once, and what was proposed stays as it was proposed.
CREATE FUNCTION ledger_correction_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.state <> 'proposed'
            OR (NEW.reason, NEW.memo, NEW.effective_on, NEW.reverses_id, NEW.proposed_by_id, NEW.proposed_at)
               IS DISTINCT FROM (OLD.reason, OLD.memo, OLD.effective_on, OLD.reverses_id, OLD.proposed_by_id, OLD.proposed_at) THEN
        RAISE EXCEPTION 'correction % is decided once and never changed', OLD.id
            USING ERRCODE = 'TK001', HINT = 'Withdraw it and propose another.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER correction_guard BEFORE UPDATE OR DELETE ON ledger_correction
    FOR EACH ROW EXECUTE FUNCTION ledger_correction_guard();
ALTER TABLE ledger_correction ENABLE ALWAYS TRIGGER correction_guard;

SELECT tank_make_append_only('ledger_correctionleg');
SELECT tank_make_append_only('ledger_closeacceptance');
SELECT tank_make_append_only('ledger_exchangerate');
