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
CREATE TRIGGER limit_follow AFTER INSERT ON ledger_posting
    FOR EACH ROW EXECUTE FUNCTION allocations_limit_follow();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER limit_follow;
