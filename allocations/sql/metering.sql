-- The metering hook's door. One call of allocations_meter is one group commit: it locks the touched quotas in
-- id order, settles, admits first come first served what fits, and keeps the worker's hold totals. The CHECK
-- constraints quota_is_hard and quota_tokens_are_hard are the last word, whatever these functions do. Error codes:
-- TK010 worker not alive, TK011 worker may still come back, TK012 hold is not what was seen. The file can be run again
-- over an earlier version of itself, and before later tables and columns exist.
SET check_function_bodies = off;

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
CREATE OR REPLACE FUNCTION allocations_catalogue_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tank_catalogue', TG_TABLE_NAME);
    RETURN NULL;
END $$;
DO $$
DECLARE
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['allocations_quotakey', 'allocations_keysecret', 'allocations_allocation',
        'allocations_allocationline', 'ledger_provider', 'ledger_aimodel', 'ledger_modelalias', 'ledger_rate'] LOOP
        IF to_regclass(relation) IS NOT NULL THEN
            EXECUTE format('CREATE OR REPLACE TRIGGER catalogue_changed AFTER INSERT OR UPDATE OR DELETE ON %I
                            FOR EACH STATEMENT EXECUTE FUNCTION allocations_catalogue_changed()', relation);
        END IF;
    END LOOP;
END $$;

DROP TYPE IF EXISTS allocations_admit CASCADE;
DROP TYPE IF EXISTS allocations_settle CASCADE;
CREATE TYPE allocations_admit AS (quotas bigint[], bound numeric, least numeric, tokens bigint, least_tokens bigint);
CREATE TYPE allocations_settle AS (
    request_id uuid, worker uuid, quotas bigint[], bound numeric, tokens_bound bigint, cost numeric, void boolean,
    sent_at timestamptz, account_id bigint, team_id bigint, key_id bigint, provider_id bigint, model_id bigint,
    rate_id bigint, model_asked text, model_returned text, surface text, streamed boolean, input_tokens bigint,
    cache_read_tokens bigint, cache_write_5m_tokens bigint, cache_write_1h_tokens bigint, output_tokens bigint,
    reasoning_tokens bigint, settle_kind text, service_tier text, upstream_id text, tags jsonb,
    served_because text
);

-- The tokens that a settle charges: all input classes and the output, which holds the reasoning.
CREATE OR REPLACE FUNCTION allocations_tokens(s allocations_settle) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT s.input_tokens + s.cache_read_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens + s.output_tokens
$$;

-- Settle calls whose cost is within their hold, and voids, set-wise. A request that is already recorded changes
-- nothing: its acknowledgement was lost, not its settle. A hold gives back what it still has: of one that was settled by
-- hand while its process was away, nothing is left.
CREATE OR REPLACE FUNCTION allocations_settle_within(p_settles json) RETURNS void LANGUAGE sql AS $$
    WITH s AS MATERIALIZED (
        SELECT * FROM json_populate_recordset(null::allocations_settle, p_settles)
    ), fresh AS (
        INSERT INTO ledger_usagerecord (
            request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
            model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
            service_tier, upstream_id, tags, served_because)
        SELECT s.request_id, s.sent_at, s.account_id, s.team_id, s.key_id, s.provider_id, s.model_id, s.rate_id,
               s.model_asked, s.model_returned, s.surface, s.streamed, s.input_tokens, s.cache_read_tokens,
               s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, a.currency,
               s.cost, s.cost, 0, s.settle_kind, s.service_tier, s.upstream_id, s.tags,
               coalesce(s.served_because, '')
          FROM s JOIN ledger_account a ON a.id = s.account_id
         WHERE NOT void
        ON CONFLICT (request_id) DO NOTHING
        RETURNING request_id
    ), due AS MATERIALIZED (
        SELECT q.id AS quota_id, s.worker, sum(CASE WHEN s.void THEN 0 ELSE s.cost END) AS cost,
               sum(s.bound) AS bound, sum(s.tokens_bound)::bigint AS tokens_bound, count(*) AS calls,
               sum(CASE WHEN s.void THEN 0 ELSE s.input_tokens + s.cache_read_tokens + s.cache_write_5m_tokens
                                                + s.cache_write_1h_tokens + s.output_tokens END)::bigint AS tokens
          FROM s CROSS JOIN LATERAL unnest(s.quotas) q (id)
         WHERE s.void OR s.request_id IN (SELECT request_id FROM fresh)
         GROUP BY 1, 2
    ), freed AS MATERIALIZED (
        SELECT d.*, least(d.bound, coalesce(h.amount, 0)) AS amount,
               least(d.tokens_bound, coalesce(h.tokens, 0)) AS tokens_freed
          FROM due d LEFT JOIN allocations_hold h ON h.worker_id = d.worker AND h.quota_id = d.quota_id
    ), charged AS (
        -- A minute's tokens were counted at the bound: what was not used is given back to the rate.
        UPDATE allocations_quota q
           SET spent = q.spent + f.cost, held = q.held - f.amount, tokens_spent = q.tokens_spent + f.tokens,
               tokens_held = q.tokens_held - f.tokens_freed,
               tokens_until = q.tokens_until
                   - coalesce((f.tokens_bound - f.tokens) * 60.0 / q.tokens_per_minute, 0)::float8
          FROM (SELECT quota_id, sum(cost) AS cost, sum(amount) AS amount, sum(tokens)::bigint AS tokens,
                       sum(tokens_freed)::bigint AS tokens_freed, sum(tokens_bound)::bigint AS tokens_bound
                  FROM freed GROUP BY 1) f
         WHERE q.id = f.quota_id
    )
    UPDATE allocations_hold h
       SET amount = h.amount - f.amount, tokens = h.tokens - f.tokens_freed, calls = greatest(h.calls - f.calls, 0)
      FROM freed f WHERE h.worker_id = f.worker AND h.quota_id = f.quota_id
$$;

-- Settle a call that cost more than its hold: what still fits every quota is charged, the rest is overage.
-- Tokens beyond what fits are counted nowhere but in the usage record. Returns the overage; of a request that is already recorded, the one recorded.
CREATE OR REPLACE FUNCTION allocations_settle_beyond(s allocations_settle) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    fits numeric;
    tokens_fit numeric;
    counted numeric := allocations_tokens(s);
    beyond numeric;
BEGIN
    SELECT overage INTO beyond FROM ledger_usagerecord WHERE request_id = s.request_id;
    IF FOUND THEN
        RETURN beyond;
    END IF;
    SELECT min(q."limit" - q.spent - q.held + least(s.bound, coalesce(h.amount, 0))),
           coalesce(min(q.token_limit - q.tokens_spent - q.tokens_held
                        + least(s.tokens_bound, coalesce(h.tokens, 0)))::numeric, 'Infinity')
      INTO fits, tokens_fit
      FROM allocations_quota q LEFT JOIN allocations_hold h ON h.quota_id = q.id AND h.worker_id = s.worker
     WHERE q.id = ANY (s.quotas);
    beyond := greatest(s.cost - fits, 0);
    INSERT INTO ledger_usagerecord (
        request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
        model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
        cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
        service_tier, upstream_id, tags, served_because)
    SELECT s.request_id, s.sent_at, s.account_id, s.team_id, s.key_id, s.provider_id, s.model_id, s.rate_id,
           s.model_asked, s.model_returned, s.surface, s.streamed, s.input_tokens, s.cache_read_tokens,
           s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, a.currency,
           s.cost, s.cost - beyond, beyond, s.settle_kind, s.service_tier, s.upstream_id, s.tags,
           coalesce(s.served_because, '')
      FROM ledger_account a WHERE a.id = s.account_id;
    UPDATE allocations_quota q
       SET spent = q.spent + s.cost - beyond, held = q.held - least(s.bound, coalesce(h.amount, 0)),
           tokens_spent = q.tokens_spent + least(counted, greatest(tokens_fit, 0)),
           tokens_held = q.tokens_held - least(s.tokens_bound, coalesce(h.tokens, 0))
      FROM unnest(s.quotas) u (id)
      LEFT JOIN allocations_hold h ON h.quota_id = u.id AND h.worker_id = s.worker
     WHERE q.id = u.id;
    UPDATE allocations_hold
       SET amount = greatest(amount - s.bound, 0), tokens = greatest(tokens - s.tokens_bound, 0),
           calls = greatest(calls - 1, 0)
     WHERE worker_id = s.worker AND quota_id = ANY (s.quotas);
    IF (beyond > 0 OR counted > tokens_fit) AND s.settle_kind <> 'by_hand' THEN
        -- The key admits nothing more; the sweep suspends it by name and tells people.
        UPDATE allocations_quota SET is_open = false WHERE id = ANY (s.quotas) AND key_id IS NOT NULL;
    END IF;
    RETURN beyond;
END $$;

-- What stops a call at one quota, and in how many seconds a rate would let it pass; NULL when nothing does. Rates are
-- leaky buckets that hold a minute (GCRA, ITU-T I.371): a single call larger than the bucket passes when it is empty.
CREATE OR REPLACE FUNCTION allocations_rate_stop(
    q allocations_quota, clock float8, calls int, requests_until float8, tokens_until float8, tokens bigint,
    OUT reason text, OUT seconds float8
) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF calls >= q.calls_at_once THEN
        reason := 'calls_at_once';
        seconds := 1;
    ELSIF greatest(requests_until, clock) + 60.0 / q.requests_per_minute > clock + 60 THEN
        reason := 'requests_per_minute';
        seconds := requests_until + 60.0 / q.requests_per_minute - clock - 60;
    ELSIF tokens_until > clock AND tokens_until + tokens * 60.0 / q.tokens_per_minute > clock + 60 THEN
        reason := 'tokens_per_minute';
        seconds := least(tokens_until + tokens * 60.0 / q.tokens_per_minute - clock - 60, tokens_until - clock);
    END IF;
END $$;

-- One group commit. p_quotas: every quota id touched. Returns
-- {"granted": [[amount, tokens] or null], "blockers": [[quota id, reason, seconds] or null],
--  "overages": {request id: amount},
--  "quotas": {id: [limit, spent, held, is_open, token limit, tokens spent, tokens held]}}; amounts as text, since JSON
-- numbers become floats. Reasons: closed, money, tokens, calls_at_once, requests_per_minute, tokens_per_minute.
CREATE OR REPLACE FUNCTION allocations_meter(
    p_worker uuid, p_epoch int, p_quotas bigint[], p_admits json, p_within json, p_beyond json
) RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    rows allocations_quota[];
    ids bigint[];
    room numeric[];
    token_room numeric[];
    adding numeric[];
    token_adding bigint[];
    calls int[];
    in_flight int[];
    request_due float8[];
    token_due float8[];
    has_rates boolean;
    clock float8 := extract(epoch FROM clock_timestamp());
    granted jsonb[] := '{}';
    blockers jsonb[] := '{}';
    overages jsonb := '{}';
    beyond allocations_settle;
    admit allocations_admit;
    quota bigint;
    place int;
    least_room numeric;
    least_tokens numeric;
    blocker bigint;
    token_blocker bigint;
    stop text;
    wait float8;
    amount numeric;
    amount_tokens bigint;
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
        SELECT array_agg(q), array_agg(q.id), array_agg(coalesce(q."limit", 'Infinity') - q.spent - q.held),
               array_agg(coalesce(q.token_limit, 'Infinity'::numeric) - q.tokens_spent - q.tokens_held),
               array_agg(0::numeric), array_agg(0::bigint), array_agg(0), array_agg(q.requests_until),
               array_agg(q.tokens_until),
               bool_or(num_nonnulls(q.calls_at_once, q.requests_per_minute, q.tokens_per_minute) > 0)
          INTO rows, ids, room, token_room, adding, token_adding, calls, request_due, token_due, has_rates
          FROM allocations_quota q WHERE q.id = ANY (p_quotas);
        IF has_rates THEN
            SELECT array_agg((SELECT coalesce(sum(h.calls), 0) FROM allocations_hold h
                               WHERE h.quota_id = q.id AND h.state = 'active') ORDER BY q.place)
              INTO in_flight FROM unnest(ids) WITH ORDINALITY q (id, place);
        END IF;
        FOR admit IN SELECT * FROM json_populate_recordset(null::allocations_admit, p_admits) LOOP
            least_room := 'Infinity';
            least_tokens := 'Infinity';
            blocker := null;
            token_blocker := null;
            stop := null;
            wait := null;
            FOREACH quota IN ARRAY admit.quotas LOOP
                place := array_position(ids, quota);
                IF place IS NULL OR NOT rows[place].is_open THEN
                    stop := 'closed';
                    blocker := quota;
                    EXIT;
                END IF;
                IF room[place] < least_room THEN
                    least_room := room[place];
                    blocker := quota;
                END IF;
                IF token_room[place] < least_tokens THEN
                    least_tokens := token_room[place];
                    token_blocker := quota;
                END IF;
            END LOOP;
            IF stop IS NULL THEN
                amount := CASE WHEN least_room >= admit.bound THEN admit.bound
                               WHEN least_room >= admit.least THEN least_room END;
                amount_tokens := CASE WHEN least_tokens >= admit.tokens THEN admit.tokens
                                      WHEN least_tokens >= admit.least_tokens THEN least_tokens END;
                IF amount IS NULL THEN
                    stop := 'money';
                ELSIF amount_tokens IS NULL THEN
                    stop := 'tokens';
                    blocker := token_blocker;
                ELSIF has_rates THEN
                    FOREACH quota IN ARRAY admit.quotas LOOP
                        place := array_position(ids, quota);
                        SELECT * INTO stop, wait FROM allocations_rate_stop(rows[place], clock,
                            in_flight[place] + calls[place], request_due[place], token_due[place], amount_tokens);
                        blocker := quota;
                        EXIT WHEN stop IS NOT NULL;
                    END LOOP;
                END IF;
            END IF;
            IF stop IS NOT NULL THEN
                granted := granted || 'null'::jsonb;
                blockers := blockers || jsonb_build_array(blocker, stop, wait);
                CONTINUE;
            END IF;
            FOREACH quota IN ARRAY admit.quotas LOOP
                place := array_position(ids, quota);
                room[place] := room[place] - amount;
                token_room[place] := token_room[place] - amount_tokens;
                adding[place] := adding[place] + amount;
                token_adding[place] := token_adding[place] + amount_tokens;
                calls[place] := calls[place] + 1;
                IF has_rates THEN
                    request_due[place] := greatest(request_due[place], clock)
                        + coalesce(60.0 / rows[place].requests_per_minute, 0);
                    token_due[place] := greatest(token_due[place], clock)
                        + coalesce(amount_tokens * 60.0 / rows[place].tokens_per_minute, 0);
                END IF;
            END LOOP;
            granted := granted || jsonb_build_array(amount::text, amount_tokens);
            blockers := blockers || 'null'::jsonb;
        END LOOP;
        UPDATE allocations_quota q
           SET held = q.held + a.amount, tokens_held = q.tokens_held + a.tokens,
               requests_until = CASE WHEN q.requests_per_minute IS NULL THEN 0 ELSE a.request_due END,
               tokens_until = CASE WHEN q.tokens_per_minute IS NULL THEN 0 ELSE a.token_due END
          FROM unnest(ids, adding, token_adding, calls, request_due, token_due)
            a (id, amount, tokens, calls, request_due, token_due)
         WHERE q.id = a.id AND a.calls > 0;
        INSERT INTO allocations_hold (worker_id, quota_id, amount, tokens, calls)
        SELECT p_worker, a.id, a.amount, a.tokens, a.calls
          FROM unnest(ids, adding, token_adding, calls) a (id, amount, tokens, calls)
         WHERE a.calls > 0
        ON CONFLICT (worker_id, quota_id)
        DO UPDATE SET amount = allocations_hold.amount + excluded.amount,
                      tokens = allocations_hold.tokens + excluded.tokens,
                      calls = allocations_hold.calls + excluded.calls;
    END IF;

    RETURN json_build_object(
        'granted', to_json(granted), 'blockers', to_json(blockers), 'overages', overages,
        'quotas', (SELECT json_object_agg(id, json_build_array("limit"::text, spent::text, held::text, is_open,
                                                               token_limit, tokens_spent, tokens_held))
                     FROM allocations_quota WHERE id = ANY (p_quotas)));
END $$;

-- The quota of a key's day or month, made when it is first asked for with the cap that the key has then. NULL for a
-- key that is not there.
CREATE OR REPLACE FUNCTION allocations_window(p_key bigint, p_window text, p_starts_on date) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    quota bigint;
BEGIN
    SELECT id INTO quota FROM allocations_quota
     WHERE (window_of_id, "window", starts_on) = (p_key, p_window, p_starts_on);
    IF NOT FOUND THEN
        INSERT INTO allocations_quota (window_of_id, "window", starts_on, currency, is_open, "limit", token_limit)
        SELECT k.id, p_window, p_starts_on, q.currency, true,
               CASE p_window WHEN 'day' THEN k.day_cap ELSE k.month_cap END,
               CASE p_window WHEN 'day' THEN k.day_tokens ELSE k.month_tokens END
          FROM allocations_quotakey k JOIN allocations_quota q ON q.key_id = k.id WHERE k.id = p_key
        ON CONFLICT (window_of_id, "window", starts_on) DO NOTHING;
        SELECT id INTO quota FROM allocations_quota
         WHERE (window_of_id, "window", starts_on) = (p_key, p_window, p_starts_on);
    END IF;
    RETURN quota;
END $$;

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

-- A person settles what a process that is gone held for one key on one line: p_settle says what it cost and by which
-- rate, NULL that nothing was used. p_held is what the person saw; when it is another by now, nothing happens. A process
-- that went away without a word may come back, so it has to be gone for an hour. What the hold and the limits do not
-- take is overage. Returns the overage.
CREATE OR REPLACE FUNCTION allocations_settle_by_hand(
    p_worker uuid, p_line bigint, p_key bigint, p_held numeric, p_settle json
) RETURNS numeric LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    s allocations_settle := json_populate_record(null::allocations_settle, coalesce(p_settle, '{}'));
    lost int;
    beyond numeric := 0;
    windows bigint[] := (SELECT coalesce(array_agg(w.id), '{}') FROM allocations_quota w
                          JOIN allocations_quota k ON k.key_id = w.window_of_id
                          JOIN allocations_hold h ON h.quota_id = w.id AND h.worker_id = p_worker
                         WHERE k.id = p_key);
BEGIN
    PERFORM 1 FROM allocations_meterworker
      WHERE id = p_worker
        AND (state = 'stopped' OR (state = 'lapsed' AND heartbeat_at < clock_timestamp() - interval '1 hour'))
        FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'process % may still settle this itself', p_worker USING ERRCODE = 'TK011';
    END IF;
    s.quotas := ARRAY[p_line, p_key] || windows;
    PERFORM 1 FROM allocations_quota WHERE id = ANY (s.quotas) ORDER BY id FOR NO KEY UPDATE;
    SELECT least(lh.amount, kh.amount), least(lh.tokens, kh.tokens), least(lh.calls, kh.calls), l.account_id,
           o.team_id, k.id
      INTO s.bound, s.tokens_bound, lost, s.account_id, s.team_id, s.key_id
      FROM allocations_quota lq JOIN allocations_allocationline l ON l.id = lq.line_id
      JOIN allocations_allocation o ON o.id = l.allocation_id
      JOIN allocations_quotakey k ON k.allocation_id = o.id
      JOIN allocations_quota kq ON kq.key_id = k.id
      JOIN allocations_hold lh ON lh.quota_id = lq.id AND lh.worker_id = p_worker AND lh.state = 'unsettled'
      JOIN allocations_hold kh ON kh.quota_id = kq.id AND kh.worker_id = p_worker AND kh.state = 'unsettled'
     WHERE lq.id = p_line AND kq.id = p_key;
    IF NOT FOUND OR s.bound = 0 OR s.bound <> p_held THEN
        RAISE EXCEPTION 'the hold is % by now, not %', coalesce(s.bound, 0), p_held USING ERRCODE = 'TK012';
    END IF;
    s.worker := p_worker;
    s.settle_kind := 'by_hand';
    IF p_settle IS NULL THEN
        UPDATE allocations_quota q
           SET held = q.held - least(s.bound, h.amount), tokens_held = q.tokens_held - least(s.tokens_bound, h.tokens)
          FROM allocations_hold h
         WHERE h.worker_id = p_worker AND h.quota_id = q.id AND q.id = ANY (s.quotas);
        UPDATE allocations_hold
           SET amount = amount - least(s.bound, amount), tokens = tokens - least(s.tokens_bound, tokens)
         WHERE worker_id = p_worker AND quota_id = ANY (s.quotas);
    ELSE
        beyond := allocations_settle_beyond(s);
        lost := lost - 1;
    END IF;
    UPDATE allocations_hold SET calls = greatest(calls - lost, 0)
     WHERE worker_id = p_worker AND quota_id = ANY (s.quotas);
    -- A hold without money has no call left that could use its tokens.
    UPDATE allocations_quota q SET tokens_held = q.tokens_held - h.tokens
      FROM allocations_hold h
     WHERE h.worker_id = p_worker AND h.quota_id = q.id AND q.id = ANY (s.quotas) AND h.amount = 0 AND h.tokens > 0;
    DELETE FROM allocations_hold WHERE worker_id = p_worker AND quota_id = ANY (s.quotas) AND amount = 0;
    RETURN beyond;
END $$;

-- Say whether processes still hold what calls that are not recorded yet have to give back.
CREATE OR REPLACE FUNCTION allocations_are_held(p_settles json) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(bool_and(due.bound <= coalesce(h.amount, 0)), true)
      FROM (SELECT s.worker, q.id AS quota_id, sum(s.bound) AS bound
              FROM json_populate_recordset(null::allocations_settle, p_settles) s
             CROSS JOIN LATERAL unnest(s.quotas) q (id)
             WHERE NOT EXISTS (SELECT 1 FROM ledger_usagerecord r WHERE r.request_id = s.request_id)
             GROUP BY 1, 2) due
      LEFT JOIN allocations_hold h ON h.worker_id = due.worker AND h.quota_id = due.quota_id
$$;

-- Settle calls of processes that are gone, from their spools. Of a process whose holds were settled by hand meanwhile no
-- call is lost: what fits is charged, the rest is overage.
CREATE OR REPLACE FUNCTION allocations_replay(p_quotas bigint[], p_within json, p_beyond json) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    beyond allocations_settle;
BEGIN
    PERFORM 1 FROM allocations_quota WHERE id = ANY (p_quotas) ORDER BY id FOR NO KEY UPDATE;
    IF p_within IS NOT NULL AND allocations_are_held(p_within) THEN
        PERFORM allocations_settle_within(p_within);
        p_within := NULL;
    END IF;
    FOR beyond IN SELECT * FROM json_populate_recordset(null::allocations_settle, coalesce(p_within, '[]'))
        UNION ALL SELECT * FROM json_populate_recordset(null::allocations_settle, coalesce(p_beyond, '[]')) LOOP
        PERFORM allocations_settle_beyond(beyond);
    END LOOP;
END $$;

REVOKE EXECUTE ON FUNCTION
    allocations_settle_within(json), allocations_settle_beyond(allocations_settle),
    allocations_meter(uuid, int, bigint[], json, json, json), allocations_fence(uuid),
    allocations_resync(uuid, json), allocations_lapse(interval), allocations_unsettle(uuid[]),
    allocations_worker_stop(uuid), allocations_settle_by_hand(uuid, bigint, bigint, numeric, json),
    allocations_are_held(json), allocations_replay(bigint[], json, json), allocations_window(bigint, text, date),
    allocations_tokens(allocations_settle),
    allocations_rate_stop(allocations_quota, float8, int, float8, float8, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    allocations_meter(uuid, int, bigint[], json, json, json), allocations_fence(uuid),
    allocations_resync(uuid, json), allocations_lapse(interval), allocations_worker_stop(uuid),
    allocations_settle_by_hand(uuid, bigint, bigint, numeric, json), allocations_replay(bigint[], json, json),
    allocations_window(bigint, text, date) TO tank_app;
RESET check_function_bodies;
