-- A line's limit is what the ledger put into it: every posting on a line's account that is not usage moves the limit
-- of its quota, in the posting's own transaction. Taking out more than is free breaks CHECK quota_is_hard, so an
-- adjustment, a return or a reversal can never take money that is spent or held.
CREATE FUNCTION allocations_limit_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    used numeric;
BEGIN
    IF (SELECT kind FROM ledger_journalentry WHERE id = NEW.entry_id) = 'usage' THEN
        RETURN NULL;
    END IF;
    SELECT q.spent + q.held INTO used
      FROM allocations_quota q JOIN allocations_allocationline l ON l.id = q.line_id
     WHERE l.account_id = NEW.account_id AND q."limit" + NEW.amount < q.spent + q.held FOR NO KEY UPDATE OF q;
    IF FOUND THEN
        RAISE EXCEPTION 'The line has % % spent or held: its limit cannot go below that.', trim_scale(used), NEW.currency
            USING ERRCODE = 'TK006';
    END IF;
    UPDATE allocations_quota q SET "limit" = q."limit" + NEW.amount
      FROM allocations_allocationline l WHERE l.account_id = NEW.account_id AND q.line_id = l.id;
    RETURN NULL;
END $$;
-- Nobody else moves a line's limit: the run-time role sets the caps of keys, and opens lines with nothing in them.
CREATE FUNCTION allocations_quota_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'tank_app' AND (
            TG_OP = 'INSERT' AND ((NEW.spent, NEW.held) <> (0, 0) OR NEW.line_id IS NOT NULL AND NEW."limit" <> 0)
            OR TG_OP = 'UPDATE' AND NEW.line_id IS NOT NULL AND NEW."limit" IS DISTINCT FROM OLD."limit") THEN
        RAISE EXCEPTION 'the limit of quota % is what the ledger put into its line', NEW.id
            USING ERRCODE = 'TK001', HINT = 'Post an entry on the account of the line.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER quota_guard BEFORE INSERT OR UPDATE OF "limit" ON allocations_quota
    FOR EACH ROW EXECUTE FUNCTION allocations_quota_guard();
ALTER TABLE allocations_quota ENABLE ALWAYS TRIGGER quota_guard;

CREATE TRIGGER limit_follow AFTER INSERT ON ledger_posting
    FOR EACH ROW EXECUTE FUNCTION allocations_limit_follow();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER limit_follow;
