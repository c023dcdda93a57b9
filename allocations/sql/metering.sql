-- The metering hook's door. One call of allocations_meter is one group commit: it locks the touched quotas in
-- id order, settles, admits first come first served what fits, and keeps the worker's hold totals. The CHECK
-- constraint quota_is_hard is the last word, whatever these functions do. Error codes: TK010 worker not alive.

ALTER TABLE allocations_quota SET (fillfactor = 40);
ALTER TABLE allocations_hold SET (fillfactor = 40);
ALTER TABLE allocations_meterworker SET (fillfactor = 40);

REVOKE INSERT, UPDATE, DELETE ON allocations_hold FROM tank_app;
REVOKE UPDATE, DELETE ON allocations_quota FROM tank_app;
GRANT UPDATE ("limit", is_open) ON allocations_quota TO tank_app;
REVOKE INSERT ON ledger_usagerecord FROM tank_app;
REVOKE DELETE ON allocations_allocation, allocations_allocationline, allocations_quotakey,
    allocations_keysecret, allocations_meterworker FROM tank_app;

-- Gateways keep keys, models and rates in memory; any change to them empties that memory everywhere.
CREATE FUNCTION allocations_catalogue_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tank_catalogue', TG_TABLE_NAME);
    RETURN NULL;
END $$;
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['allocations_quotakey', 'allocations_keysecret', 'allocations_allocation',
        'allocations_allocationline', 'ledger_provider', 'ledger_aimodel', 'ledger_rate'] LOOP
        EXECUTE format('CREATE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION allocations_catalogue_changed()', relation);
    END LOOP;
END $$;

-- Settle calls whose cost exceeded their hold, one by one: what fits is charged, the rest is overage.
CREATE FUNCTION allocations_split_overage(quotas bigint[], bound numeric, cost numeric) RETURNS numeric
LANGUAGE sql STABLE AS $$
    SELECT bound + least(cost - bound, greatest(coalesce(min("limit" - spent - held), cost - bound), 0))
      FROM allocations_quota WHERE id = ANY (quotas)
$$;


CREATE TYPE allocations_admit AS (quotas bigint[], bound numeric, least numeric);
CREATE TYPE allocations_settle AS (
    request_id uuid, worker uuid, quotas bigint[], bound numeric, cost numeric, void boolean, sent_at timestamptz,
    account_id bigint, team_id bigint, key_id bigint, provider_id bigint, model_id bigint, rate_id bigint,
    model_asked text, model_returned text, surface text, streamed boolean, input_tokens bigint,
    cache_read_tokens bigint, cache_write_5m_tokens bigint, cache_write_1h_tokens bigint, output_tokens bigint,
    reasoning_tokens bigint, settle_kind text, service_tier text, upstream_id text, tags jsonb
);

-- Settle calls whose cost is within their hold, and voids, set-wise. A request that is already recorded changes
-- nothing: its acknowledgement was lost, not its settle.
CREATE FUNCTION allocations_settle_within(p_settles json) RETURNS void LANGUAGE sql AS $$
    WITH s AS MATERIALIZED (
        SELECT * FROM json_populate_recordset(null::allocations_settle, p_settles)
    ), fresh AS (
        INSERT INTO ledger_usagerecord (
            request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
            model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
            service_tier, upstream_id, tags)
        SELECT s.request_id, s.sent_at, s.account_id, s.team_id, s.key_id, s.provider_id, s.model_id, s.rate_id,
               s.model_asked, s.model_returned, s.surface, s.streamed, s.input_tokens, s.cache_read_tokens,
               s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, a.currency,
               s.cost, s.cost, 0, s.settle_kind, s.service_tier, s.upstream_id, s.tags
          FROM s JOIN ledger_account a ON a.id = s.account_id
         WHERE NOT void
        ON CONFLICT (request_id) DO NOTHING
        RETURNING request_id
    ), due AS MATERIALIZED (
        SELECT q.id AS quota_id, s.worker, s.bound, CASE WHEN s.void THEN 0 ELSE s.cost END AS cost
          FROM s CROSS JOIN LATERAL unnest(s.quotas) q (id)
         WHERE s.void OR s.request_id IN (SELECT request_id FROM fresh)
    ), charged AS (
        UPDATE allocations_quota q SET spent = q.spent + d.cost, held = q.held - d.bound
          FROM (SELECT quota_id, sum(cost) AS cost, sum(bound) AS bound FROM due GROUP BY 1) d
         WHERE q.id = d.quota_id
    )
    UPDATE allocations_hold h SET amount = h.amount - d.bound, calls = h.calls - d.calls
      FROM (SELECT worker, quota_id, sum(bound) AS bound, count(*) AS calls FROM due GROUP BY 1, 2) d
     WHERE h.worker_id = d.worker AND h.quota_id = d.quota_id
$$;

-- Settle a call that cost more than its hold: what still fits every quota is charged, the rest is overage.
-- Returns the overage; of a request that is already recorded, the one recorded.
CREATE FUNCTION allocations_settle_beyond(s allocations_settle) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    room numeric;
    beyond numeric;
BEGIN
    SELECT overage INTO beyond FROM ledger_usagerecord WHERE request_id = s.request_id;
    IF FOUND THEN
        RETURN beyond;
    END IF;
    SELECT min("limit" - spent - held) INTO room FROM allocations_quota WHERE id = ANY (s.quotas);
    beyond := greatest(s.cost - s.bound - greatest(room, 0), 0);
    INSERT INTO ledger_usagerecord (
        request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
        model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
        cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
        service_tier, upstream_id, tags)
    SELECT s.request_id, s.sent_at, s.account_id, s.team_id, s.key_id, s.provider_id, s.model_id, s.rate_id,
           s.model_asked, s.model_returned, s.surface, s.streamed, s.input_tokens, s.cache_read_tokens,
           s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, a.currency,
           s.cost, s.cost - beyond, beyond, s.settle_kind, s.service_tier, s.upstream_id, s.tags
      FROM ledger_account a WHERE a.id = s.account_id;
    UPDATE allocations_quota SET spent = spent + s.cost - beyond, held = held - s.bound WHERE id = ANY (s.quotas);
    UPDATE allocations_hold SET amount = amount - s.bound, calls = calls - 1
     WHERE worker_id = s.worker AND quota_id = ANY (s.quotas);
    IF beyond > 0 THEN
        -- The key admits nothing more; the sweep suspends it by name and tells people.
        UPDATE allocations_quota SET is_open = false WHERE id = ANY (s.quotas) AND key_id IS NOT NULL;
    END IF;
    RETURN beyond;
END $$;

-- One group commit. p_quotas: every quota id touched. Returns
-- {"granted": [amount or null], "blockers": [quota id or null], "overages": {request id: amount},
--  "quotas": {id: [limit, spent, held, is_open]}}; amounts as text, since JSON numbers become floats.
CREATE FUNCTION allocations_meter(
    p_worker uuid, p_epoch int, p_quotas bigint[], p_admits json, p_within json, p_beyond json
) RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    ids bigint[];
    room numeric[];
    open boolean[];
    adding numeric[];
    calls int[];
    granted text[] := '{}';
    blockers bigint[] := '{}';
    overages jsonb := '{}';
    beyond allocations_settle;
    admit allocations_admit;
    quota bigint;
    place int;
    least_room numeric;
    blocker bigint;
    amount numeric;
BEGIN
    UPDATE allocations_meterworker SET heartbeat_at = clock_timestamp()
     WHERE id = p_worker AND epoch = p_epoch AND state = 'alive';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not alive in epoch %', p_worker, p_epoch USING ERRCODE = 'TK010';
    END IF;
    PERFORM 1 FROM allocations_quota WHERE id = ANY (p_quotas) ORDER BY id FOR NO KEY UPDATE;

    IF p_within IS NOT NULL THEN
        PERFORM allocations_settle_within(p_within);
    END IF;
    IF p_beyond IS NOT NULL THEN
        FOR beyond IN SELECT * FROM json_populate_recordset(null::allocations_settle, p_beyond) LOOP
            overages := overages || jsonb_build_object(beyond.request_id, allocations_settle_beyond(beyond)::text);
        END LOOP;
    END IF;

    IF p_admits IS NOT NULL THEN
        SELECT array_agg(id), array_agg(coalesce("limit", 'Infinity') - spent - held), array_agg(is_open),
               array_agg(0::numeric), array_agg(0)
          INTO ids, room, open, adding, calls
          FROM allocations_quota WHERE id = ANY (p_quotas);
        FOR admit IN SELECT * FROM json_populate_recordset(null::allocations_admit, p_admits) LOOP
            least_room := 'Infinity';
            blocker := null;
            FOREACH quota IN ARRAY admit.quotas LOOP
                place := array_position(ids, quota);
                IF place IS NULL OR NOT open[place] THEN
                    least_room := '-Infinity';
                    blocker := quota;
                ELSIF room[place] < least_room THEN
                    least_room := room[place];
                    blocker := quota;
                END IF;
            END LOOP;
            amount := CASE WHEN least_room >= admit.bound THEN admit.bound
                           WHEN least_room >= admit.least THEN least_room END;
            IF amount IS NOT NULL THEN
                blocker := null;
                FOREACH quota IN ARRAY admit.quotas LOOP
                    place := array_position(ids, quota);
                    room[place] := room[place] - amount;
                    adding[place] := adding[place] + amount;
                    calls[place] := calls[place] + 1;
                END LOOP;
            END IF;
            granted := granted || amount::text;
            blockers := blockers || blocker;
        END LOOP;
        UPDATE allocations_quota q SET held = q.held + a.amount
          FROM unnest(ids, adding, calls) a (id, amount, calls) WHERE q.id = a.id AND a.calls > 0;
        INSERT INTO allocations_hold (worker_id, quota_id, amount, calls)
        SELECT p_worker, a.id, a.amount, a.calls FROM unnest(ids, adding, calls) a (id, amount, calls)
         WHERE a.calls > 0
        ON CONFLICT (worker_id, quota_id)
        DO UPDATE SET amount = allocations_hold.amount + excluded.amount,
                      calls = allocations_hold.calls + excluded.calls;
    END IF;

    RETURN json_build_object(
        'granted', granted, 'blockers', blockers, 'overages', overages,
        'quotas', (SELECT json_object_agg(id, json_build_array("limit"::text, spent::text, held::text, is_open))
                     FROM allocations_quota WHERE id = ANY (p_quotas)));
END $$;

-- After a lost connection: the new epoch shuts out a statement of the old connection that is still on its way,
-- and taking the worker's row waits for one that runs. Returns the new epoch.
CREATE FUNCTION allocations_fence(p_worker uuid) RETURNS int LANGUAGE sql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
    UPDATE allocations_meterworker SET epoch = epoch + 1, heartbeat_at = clock_timestamp() WHERE id = p_worker
    RETURNING epoch
$$;

-- A worker says what it truly holds after a commit whose acknowledgement it lost; what it does not claim is
-- freed. p_truth: [{quota, amount, calls}].
CREATE FUNCTION allocations_resync(p_worker uuid, p_truth json) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_meterworker SET state = 'alive', heartbeat_at = clock_timestamp() WHERE id = p_worker;
    PERFORM 1 FROM allocations_quota WHERE id IN (SELECT quota_id FROM allocations_hold WHERE worker_id = p_worker)
      ORDER BY id FOR NO KEY UPDATE;
    WITH truth AS (
        SELECT h.id, h.quota_id, least(h.amount, coalesce(t.amount, 0)) AS amount, coalesce(t.calls, 0) AS calls,
               h.amount - least(h.amount, coalesce(t.amount, 0)) AS freed
          FROM allocations_hold h
          LEFT JOIN json_to_recordset(p_truth) t (quota bigint, amount numeric, calls int) ON t.quota = h.quota_id
         WHERE h.worker_id = p_worker
    ), freed AS (
        UPDATE allocations_quota q SET held = q.held - t.freed FROM truth t WHERE q.id = t.quota_id AND t.freed <> 0
    )
    UPDATE allocations_hold h SET amount = t.amount, calls = t.calls, state = 'active' FROM truth t WHERE h.id = t.id;
END $$;

-- Holds of processes that went away stay held, and say so. Returns how many workers lapsed.
CREATE FUNCTION allocations_lapse(p_after interval) RETURNS int LANGUAGE plpgsql SECURITY DEFINER
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

CREATE FUNCTION allocations_unsettle(p_workers uuid[]) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_hold SET state = 'unsettled' WHERE worker_id = ANY (p_workers) AND amount > 0;
    DELETE FROM allocations_hold h USING allocations_meterworker w
     WHERE w.id = h.worker_id AND w.state <> 'alive' AND h.amount = 0 AND h.calls = 0;
END $$;

-- A process that ends in good order: what it could not settle is unsettled at once.
CREATE FUNCTION allocations_worker_stop(p_worker uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE allocations_meterworker SET state = 'stopped' WHERE id = p_worker;
    PERFORM allocations_unsettle(ARRAY[p_worker]);
END $$;

-- Settle calls of processes that are gone, from their spools.
CREATE FUNCTION allocations_replay(p_quotas bigint[], p_within json, p_beyond json) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    beyond allocations_settle;
BEGIN
    PERFORM 1 FROM allocations_quota WHERE id = ANY (p_quotas) ORDER BY id FOR NO KEY UPDATE;
    IF p_within IS NOT NULL THEN
        PERFORM allocations_settle_within(p_within);
    END IF;
    IF p_beyond IS NOT NULL THEN
        FOR beyond IN SELECT * FROM json_populate_recordset(null::allocations_settle, p_beyond) LOOP
            PERFORM allocations_settle_beyond(beyond);
        END LOOP;
    END IF;
END $$;

REVOKE EXECUTE ON FUNCTION
    allocations_settle_within(json), allocations_settle_beyond(allocations_settle),
    allocations_meter(uuid, int, bigint[], json, json, json), allocations_fence(uuid),
    allocations_resync(uuid, json), allocations_lapse(interval), allocations_unsettle(uuid[]),
    allocations_worker_stop(uuid), allocations_replay(bigint[], json, json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    allocations_meter(uuid, int, bigint[], json, json, json), allocations_fence(uuid),
    allocations_resync(uuid, json), allocations_lapse(interval), allocations_worker_stop(uuid),
    allocations_replay(bigint[], json, json) TO tank_app;
