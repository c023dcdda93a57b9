-- What the runs of large files refuse, and which bytes may go. Error codes: TK001 append-only, TK023 closed.
-- All triggers are ENABLE ALWAYS.

-- What was sent stays as it was sent, what the check found stays, and what has ended has ended.
CREATE FUNCTION ledger_file_run_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'the run of file % has ended', OLD.id USING ERRCODE = 'TK023';
    END IF;
    IF (NEW.feed_id, NEW.name, NEW.sha256, NEW.size, NEW.lines, NEW.first_day, NEW.last_day, NEW.asked_by_id, NEW.asked_at)
        IS DISTINCT FROM
       (OLD.feed_id, OLD.name, OLD.sha256, OLD.size, OLD.lines, OLD.first_day, OLD.last_day, OLD.asked_by_id, OLD.asked_at)
       OR (OLD.found IS NOT NULL AND NEW.found IS DISTINCT FROM OLD.found) THEN
        RAISE EXCEPTION 'the run of file % stays as it was asked for', OLD.id USING ERRCODE = 'TK001';
    END IF;
    IF NEW.state = 'done' AND NOT EXISTS (
        SELECT 1 FROM ledger_feedfetch f JOIN ledger_feedpage p ON p.fetch_id = f.id
         WHERE f.id = NEW.fetch_id AND f.feed_id = NEW.feed_id AND f.state = 'done' AND p.body_id = NEW.sha256) THEN
        RAISE EXCEPTION 'the run of file % is not done by fetch %', NEW.id, NEW.fetch_id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER file_run_guard BEFORE UPDATE ON ledger_filerun
    FOR EACH ROW EXECUTE FUNCTION ledger_file_run_guard();
ALTER TABLE ledger_filerun ENABLE ALWAYS TRIGGER file_run_guard;

-- A run names the very bytes that it keeps.
ALTER TABLE ledger_filerun ADD CONSTRAINT file_run_body_is_its_file CHECK (body_id = sha256);
REVOKE DELETE, TRUNCATE ON ledger_filerun FROM tank_app;

-- Bytes never change. They go only when nothing refers to them (a page of a fetch, a run, the history of invoices that
-- came in them), a day after they were last kept: so long is the word good that names a checked file (UPLOAD_HOURS).
-- What a provider answered, and what was taken in, is evidence and stays.
CREATE INDEX audit_of_invoice_files ON teams_auditevent ((details ->> 'sha256')) WHERE verb = 'invoice.import';
CREATE FUNCTION ledger_body_is_needed(p_sha256 text) RETURNS boolean LANGUAGE sql STABLE SET search_path = public, pg_temp
RETURN EXISTS (SELECT 1 FROM ledger_feedpage WHERE body_id = p_sha256)
    OR EXISTS (SELECT 1 FROM ledger_filerun WHERE body_id = p_sha256)
    OR EXISTS (SELECT 1 FROM teams_auditevent WHERE verb = 'invoice.import' AND details ->> 'sha256' = p_sha256);
DROP TRIGGER append_only_row ON ledger_feedbody;
CREATE FUNCTION ledger_body_guard() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'bytes % are kept as they came', OLD.sha256 USING ERRCODE = 'TK001';
    END IF;
    IF OLD.kept_at > now() - interval '24 hours' OR ledger_body_is_needed(OLD.sha256) THEN
        RAISE EXCEPTION 'bytes % are kept: something refers to them, or they came today', OLD.sha256
            USING ERRCODE = 'TK001';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER body_guard BEFORE UPDATE OF sha256, compressed, size OR DELETE ON ledger_feedbody
    FOR EACH ROW EXECUTE FUNCTION ledger_body_guard();
ALTER TABLE ledger_feedbody ENABLE ALWAYS TRIGGER body_guard;
GRANT DELETE, UPDATE (kept_at) ON ledger_feedbody TO tank_app;
