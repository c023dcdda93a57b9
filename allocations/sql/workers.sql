-- Processes that meter: they come back, lapse, or end in good order.
SET check_function_bodies = off;

-- After a lost connection: the new epoch shuts out a statement of the old connection that is still on its way,
-- and taking the worker's row waits for one that runs. Returns the new epoch.
CREATE OR REPLACE FUNCTION allocations_fence(p_worker uuid) RETURNS int LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    UPDATE allocations_meterworker SET epoch = epoch + 1, heartbeat_at = clock_timestamp() WHERE id = p_worker
    RETURNING epoch
$$;

-- A worker says what it truly holds after a commit whose acknowledgement it lost; what it does not claim is
-- freed. p_truth: [{quota, amount, tokens, calls}].
CREATE OR REPLACE FUNCTION allocations_resync(p_worker uuid, p_truth json) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_meterworker SET state = 'alive', heartbeat_at = clock_timestamp() WHERE id = p_worker;
    PERFORM 1 FROM allocations_quota WHERE id IN (SELECT quota_id FROM allocations_hold WHERE worker_id = p_worker)
      ORDER BY id FOR NO KEY UPDATE;
    WITH truth AS (
        SELECT h.id, h.quota_id, least(h.amount, coalesce(t.amount, 0)) AS amount,
               least(h.tokens, coalesce(t.tokens, 0)) AS tokens, coalesce(t.calls, 0) AS calls,
               h.amount - least(h.amount, coalesce(t.amount, 0)) AS freed,
               h.tokens - least(h.tokens, coalesce(t.tokens, 0)) AS tokens_freed
          FROM allocations_hold h
          LEFT JOIN json_to_recordset(p_truth) t (quota bigint, amount numeric, tokens bigint, calls int)
            ON t.quota = h.quota_id
         WHERE h.worker_id = p_worker
    ), freed AS (
        UPDATE allocations_quota q SET held = q.held - t.freed, tokens_held = q.tokens_held - t.tokens_freed
          FROM truth t WHERE q.id = t.quota_id AND (t.freed <> 0 OR t.tokens_freed <> 0)
    )
    UPDATE allocations_hold h SET amount = t.amount, tokens = t.tokens, calls = t.calls, state = 'active'
      FROM truth t WHERE h.id = t.id;
END $$;

-- Holds of processes that went away stay held, and say so. Returns how many workers lapsed.
CREATE OR REPLACE FUNCTION allocations_lapse(p_after interval) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    gone uuid[];
BEGIN
    WITH lapsed AS (
        UPDATE allocations_meterworker SET state = 'lapsed'
         WHERE state = 'alive' AND heartbeat_at < clock_timestamp() - p_after RETURNING id
    ) SELECT array_agg(id) INTO gone FROM lapsed;
    PERFORM allocations_unsettle(gone);
    RETURN coalesce(cardinality(gone), 0);
END $$;

CREATE OR REPLACE FUNCTION allocations_unsettle(p_workers uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_hold SET state = 'unsettled' WHERE worker_id = ANY (p_workers) AND amount > 0;
    DELETE FROM allocations_hold h USING allocations_meterworker w
     WHERE w.id = h.worker_id AND w.state <> 'alive' AND h.amount = 0 AND h.tokens = 0 AND h.calls = 0;
END $$;

-- A process that ends in good order: what it could not settle is unsettled at once.
CREATE OR REPLACE FUNCTION allocations_worker_stop(p_worker uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_meterworker SET state = 'stopped' WHERE id = p_worker;
    PERFORM allocations_unsettle(ARRAY[p_worker]);
END $$;

REVOKE EXECUTE ON FUNCTION
    allocations_fence(uuid), allocations_resync(uuid, json), allocations_lapse(interval), allocations_unsettle(uuid[]),
    allocations_worker_stop(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    allocations_fence(uuid), allocations_resync(uuid, json), allocations_lapse(interval), allocations_worker_stop(uuid)
    TO tank_app;
RESET check_function_bodies;
