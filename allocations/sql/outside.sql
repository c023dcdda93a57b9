-- Calls that somebody else makes and Tank meters. Each is a metering process of its own, whose heartbeat is the call's
-- deadline: so admit, lapse, unsettled holds, settling by hand and the proofs are those of metering.sql.

REVOKE UPDATE, DELETE ON allocations_outsidecall FROM tank_app;

-- Hold what a call wishes on a chain of quotas until its deadline. Returns what allocations_meter says; of a call that is
-- not granted nothing is held, and the caller rolls back.
CREATE OR REPLACE FUNCTION allocations_outside_hold(
    p_call uuid, p_expires_at timestamptz, p_chain bigint[], p_bound numeric, p_least numeric, p_tokens bigint,
    p_least_tokens bigint
) RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    answer json;
BEGIN
    INSERT INTO allocations_meterworker (id, host, pid, state) VALUES (p_call, 'outside', 0, 'alive');
    answer := allocations_meter(
        p_worker => p_call, p_epoch => 1, p_quotas => p_chain, p_chains => json_build_array(p_chain), p_chain => ARRAY[0],
        p_bounds => ARRAY[p_bound], p_leasts => ARRAY[p_least], p_tokens => ARRAY[p_tokens],
        p_least_tokens => ARRAY[p_least_tokens]);
    UPDATE allocations_meterworker SET heartbeat_at = p_expires_at WHERE id = p_call;
    RETURN answer;
END $$;

-- End a call, in time or late: charge it, or void it and give its hold back. p_within or p_beyond is the settle, one row
-- as allocations_replay reads them; a void is within. Returns "ended", "again" for what was said before, or "otherwise"
-- when the call has ended in another way. What finance settled by hand meanwhile stands: its usage record is this call's.
CREATE OR REPLACE FUNCTION allocations_outside_end(
    p_call uuid, p_outcome text, p_ending bytea, p_within json, p_beyond json
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    call allocations_outsidecall;
BEGIN
    SELECT * INTO STRICT call FROM allocations_outsidecall WHERE request_id = p_call FOR UPDATE;
    IF call.ended_at IS NOT NULL THEN
        RETURN CASE WHEN (call.outcome, call.ending) = (p_outcome, p_ending) THEN 'again' ELSE 'otherwise' END;
    END IF;
    PERFORM 1 FROM allocations_meterworker WHERE id = p_call FOR UPDATE;
    IF p_outcome = 'settled' THEN
        PERFORM allocations_replay(call.quota_ids, p_within, p_beyond);
    ELSIF EXISTS (SELECT 1 FROM ledger_usagerecord WHERE request_id = p_call) THEN
        RETURN 'otherwise';
    ELSIF EXISTS (SELECT 1 FROM allocations_hold WHERE worker_id = p_call) THEN
        PERFORM allocations_replay(call.quota_ids, p_within, NULL);
    END IF;
    DELETE FROM allocations_hold WHERE worker_id = p_call AND amount = 0 AND tokens = 0;
    DELETE FROM allocations_meterworker
     WHERE id = p_call AND NOT EXISTS (SELECT 1 FROM allocations_hold WHERE worker_id = p_call);
    UPDATE allocations_outsidecall SET ended_at = clock_timestamp(), outcome = p_outcome, ending = p_ending
     WHERE id = call.id;
    RETURN 'ended';
END $$;

-- Forget calls that ended, or that finance settled by hand, this long ago. Returns how many. What is held stays.
CREATE OR REPLACE FUNCTION allocations_outside_forget(p_after interval) RETURNS int LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    WITH gone AS (
        DELETE FROM allocations_outsidecall c
         WHERE coalesce(c.ended_at, c.expires_at) < clock_timestamp() - p_after
           AND NOT EXISTS (SELECT 1 FROM allocations_hold h WHERE h.worker_id = c.request_id)
        RETURNING c.request_id
    ), processes AS (
        DELETE FROM allocations_meterworker w USING gone WHERE w.id = gone.request_id
    )
    SELECT count(*)::int FROM gone
$$;

REVOKE EXECUTE ON FUNCTION
    allocations_outside_hold(uuid, timestamptz, bigint[], numeric, numeric, bigint, bigint),
    allocations_outside_end(uuid, text, bytea, json, json), allocations_outside_forget(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    allocations_outside_hold(uuid, timestamptz, bigint[], numeric, numeric, bigint, bigint),
    allocations_outside_end(uuid, text, bytea, json, json), allocations_outside_forget(interval) TO tank_app;
