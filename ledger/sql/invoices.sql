-- An invoice is decided once, and what was entered stays as it was entered. Agreeing posts a provider's figure or nothing.
CREATE FUNCTION ledger_invoice_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'entered' THEN
            RAISE EXCEPTION 'an invoice begins as entered' USING ERRCODE = 'TK001';
        END IF;
        RETURN NEW;
    END IF;
    IF TG_OP = 'DELETE' OR OLD.state <> 'entered'
            OR (NEW.provider_id, NEW.number, NEW.month, NEW.issued_on, NEW.currency, NEW.amount, NEW.tax, NEW.note,
                NEW.entered_by_id, NEW.entered_at)
               IS DISTINCT FROM (OLD.provider_id, OLD.number, OLD.month, OLD.issued_on, OLD.currency, OLD.amount, OLD.tax,
                                 OLD.note, OLD.entered_by_id, OLD.entered_at) THEN
        RAISE EXCEPTION 'invoice % is decided once and never changed', OLD.number
            USING ERRCODE = 'TK001', HINT = 'Withdraw it and enter another, or enter the credit note.';
    END IF;
    IF NEW.entry_id IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM ledger_journalentry WHERE id = NEW.entry_id AND kind = 'billed') THEN
        RAISE EXCEPTION 'entry % of invoice % is not a provider''s figure', NEW.entry_id, OLD.number
            USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER invoice_guard BEFORE INSERT OR UPDATE OR DELETE ON ledger_providerinvoice
    FOR EACH ROW EXECUTE FUNCTION ledger_invoice_guard();
ALTER TABLE ledger_providerinvoice ENABLE ALWAYS TRIGGER invoice_guard;
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON ledger_providerinvoice
    FOR EACH STATEMENT EXECUTE FUNCTION tank_refuse_change();
ALTER TABLE ledger_providerinvoice ENABLE ALWAYS TRIGGER append_only_table;
SELECT ledger_require_finite('ledger_providerinvoice', 'invoice', 'amount', 'tax');
REVOKE DELETE ON ledger_providerinvoice FROM tank_app;

-- What was billed before can be more than the invoice says: agreeing then takes it back.
INSERT INTO ledger_routing (kind, debit_class, credit_class) VALUES ('billed', 'metered', 'billed');
