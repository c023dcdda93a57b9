-- A line's limit is what the ledger put into it: every posting on a line's account that is not usage moves the limit
-- of its quota, in the posting's own transaction. Taking out more than is free breaks CHECK quota_is_hard, so an
-- adjustment, a return or a reversal can never take money that is spent or held.
CREATE FUNCTION allocations_limit_follow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_quota q SET "limit" = q."limit" + NEW.amount
      FROM allocations_allocationline l, ledger_journalentry e
     WHERE l.account_id = NEW.account_id AND q.line_id = l.id AND e.id = NEW.entry_id AND e.kind <> 'usage';
    RETURN NULL;
END $$;
CREATE TRIGGER limit_follow AFTER INSERT ON ledger_posting
    FOR EACH ROW EXECUTE FUNCTION allocations_limit_follow();
ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER limit_follow;
