-- The metering hook's door. One call of allocations_meter is one group commit: it locks the touched quotas in id order,
-- settles, admits first come first served what fits, and keeps the worker's hold totals. Its time is every call's time:
-- what calls have in common travels once, plans are kept, and each table is written by one statement.
SET check_function_bodies = off;

-- Record settled calls, and add up by quota, at its place in p_ids, what they cost and what they held. A request that is
-- already recorded adds nothing: its acknowledgement was lost, not its settle.
CREATE OR REPLACE FUNCTION allocations_record(
    p_ids bigint[], p_kinds json, p_kind int[], p_requests uuid[], p_sent timestamptz[], p_held numeric[],
    p_tokens_held bigint[], p_costs numeric[], p_input bigint[], p_cache_read bigint[], p_cache_write_5m bigint[],
    p_cache_write_1h bigint[], p_output bigint[], p_reasoning bigint[], p_upstream text[],
    OUT cost numeric[], OUT held numeric[], OUT tokens bigint[], OUT tokens_held bigint[], OUT calls int[]
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH kind AS MATERIALIZED (
        SELECT k.*, a.currency
          FROM json_populate_recordset(null::allocations_kind, p_kinds) WITH ORDINALITY
               k (quotas, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked, model_returned, surface,
                  streamed, settle_kind, service_tier, served_because, tags, place)
          JOIN ledger_account a ON a.id = k.account_id
    ), settle AS MATERIALIZED (
        SELECT * FROM unnest(p_kind, p_requests, p_sent, p_held, p_tokens_held, p_costs, p_input, p_cache_read,
                             p_cache_write_5m, p_cache_write_1h, p_output, p_reasoning, p_upstream)
               s (place, request_id, sent_at, held, tokens_held, cost, input_tokens, cache_read_tokens,
                  cache_write_5m_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, upstream_id)
    ), fresh AS (
        INSERT INTO ledger_usagerecord (
            request_id, sent_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
            model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens,
            cache_write_1h_tokens, output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind,
            service_tier, upstream_id, tags, served_because)
        SELECT s.request_id, s.sent_at, k.account_id, k.team_id, k.key_id, k.provider_id, k.model_id, k.rate_id,
               k.model_asked, k.model_returned, k.surface, k.streamed, s.input_tokens, s.cache_read_tokens,
               s.cache_write_5m_tokens, s.cache_write_1h_tokens, s.output_tokens, s.reasoning_tokens, k.currency,
               s.cost, s.cost, 0, k.settle_kind, k.service_tier, s.upstream_id, k.tags, k.served_because
          FROM settle s JOIN kind k USING (place)
        ON CONFLICT (request_id) DO NOTHING
        RETURNING request_id
    ), due AS (
        SELECT q.id, sum(s.cost) AS cost, sum(s.held) AS held, sum(s.tokens_held)::bigint AS tokens_held, count(*) AS calls,
               sum(s.input_tokens + s.cache_read_tokens + s.cache_write_5m_tokens + s.cache_write_1h_tokens
                   + s.output_tokens)::bigint AS tokens
          FROM fresh JOIN settle s USING (request_id) JOIN kind k USING (place) CROSS JOIN LATERAL unnest(k.quotas) q (id)
         GROUP BY 1
    )
    SELECT array_agg(coalesce(d.cost, 0) ORDER BY i.place), array_agg(coalesce(d.held, 0) ORDER BY i.place),
           array_agg(coalesce(d.tokens, 0) ORDER BY i.place), array_agg(coalesce(d.tokens_held, 0) ORDER BY i.place),
           array_agg(coalesce(d.calls, 0)::int ORDER BY i.place)
      INTO cost, held, tokens, tokens_held, calls
      FROM unnest(p_ids) WITH ORDINALITY i (id, place) LEFT JOIN due d USING (id);
END $$;

-- One group commit. p_quotas: every quota id touched. A call's chain of quotas is a place, from 0, in p_chains; a settle's
-- kind is a place, from 1, in p_kinds. What comes as rows is in p_within (voids) and p_beyond (costs beyond their holds).
-- Returns {"granted", "blockers": as of allocations_admit_in_turn, or null when all was granted as wished,
--  "overages": {request id: amount},
--  "quotas": {id: [limit, spent, held, is_open, token limit, tokens spent, tokens held]}}; amounts as text, since JSON
-- numbers become floats.
CREATE OR REPLACE FUNCTION allocations_meter(
    p_worker uuid, p_epoch int, p_quotas bigint[], p_chains json DEFAULT NULL, p_chain int[] DEFAULT NULL,
    p_bounds numeric[] DEFAULT NULL, p_leasts numeric[] DEFAULT NULL, p_tokens bigint[] DEFAULT NULL,
    p_least_tokens bigint[] DEFAULT NULL, p_kinds json DEFAULT NULL, p_kind int[] DEFAULT NULL,
    p_requests uuid[] DEFAULT NULL, p_sent timestamptz[] DEFAULT NULL, p_held numeric[] DEFAULT NULL,
    p_tokens_held bigint[] DEFAULT NULL, p_costs numeric[] DEFAULT NULL, p_input bigint[] DEFAULT NULL,
    p_cache_read bigint[] DEFAULT NULL, p_cache_write_5m bigint[] DEFAULT NULL, p_cache_write_1h bigint[] DEFAULT NULL,
    p_output bigint[] DEFAULT NULL, p_reasoning bigint[] DEFAULT NULL, p_upstream text[] DEFAULT NULL,
    p_within json DEFAULT NULL, p_beyond json DEFAULT NULL
) RETURNS json LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ids bigint[];
    room numeric[];
    token_room numeric[];
    money_held numeric[];
    all_tokens_held bigint[];
    cost numeric[];
    due numeric[];
    tokens bigint[];
    tokens_due bigint[];
    ended int[];
    unused bigint[];
    adding numeric[];
    token_adding bigint[];
    calls int[];
    request_due float8[];
    token_due float8[];
    granted json;
    blockers json;
    is_plain boolean;
    has_holds boolean;
    fits boolean;
    overages jsonb := '{}';
    beyond allocations_settle;
    standings json;
BEGIN
    UPDATE allocations_meterworker SET heartbeat_at = clock_timestamp()
     WHERE id = p_worker AND epoch = p_epoch AND state = 'alive';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % is not alive in epoch %', p_worker, p_epoch USING ERRCODE = 'TK010';
    END IF;
    IF p_within IS NOT NULL OR p_beyond IS NOT NULL THEN
        PERFORM 1 FROM allocations_quota WHERE id = ANY (p_quotas) ORDER BY id FOR NO KEY UPDATE;
        PERFORM allocations_settle_within(p_within);
        FOR beyond IN SELECT * FROM json_populate_recordset(null::allocations_settle, coalesce(p_beyond, '[]')) LOOP
            overages := overages || jsonb_build_object(beyond.request_id, allocations_settle_beyond(beyond)::text);
        END LOOP;
    END IF;
    SELECT array_agg(q.id ORDER BY q.id), array_agg(coalesce(q."limit", 'Infinity') - q.spent - q.held ORDER BY q.id),
           array_agg(coalesce(q.token_limit, 'Infinity'::numeric) - q.tokens_spent - q.tokens_held ORDER BY q.id),
           array_agg(coalesce(h.amount, 0) ORDER BY q.id), array_agg(coalesce(h.tokens, 0) ORDER BY q.id),
           bool_and(h.id IS NOT NULL),
           bool_and(q.is_open AND num_nonnulls(q.calls_at_once, q.requests_per_minute, q.tokens_per_minute) = 0)
      INTO ids, room, token_room, money_held, all_tokens_held, has_holds, is_plain
      FROM (SELECT * FROM allocations_quota WHERE id = ANY (p_quotas) ORDER BY id FOR NO KEY UPDATE) q
      LEFT JOIN allocations_hold h ON h.worker_id = p_worker AND h.quota_id = q.id;
    IF p_kind IS NOT NULL THEN
        SELECT r.cost, r.held, r.tokens, r.tokens_held, r.calls INTO cost, due, tokens, tokens_due, ended
          FROM allocations_record(ids, p_kinds, p_kind, p_requests, p_sent, p_held, p_tokens_held, p_costs, p_input,
               p_cache_read, p_cache_write_5m, p_cache_write_1h, p_output, p_reasoning, p_upstream) r;
    END IF;

    -- A hold gives back what it still has: of one that was settled by hand while its process was away, nothing is left.
    -- Where all that is asked for fits, it is granted at once, whoever came first.
    WITH wished AS (
        SELECT q.id::bigint AS id, sum(a.bound) AS bound, sum(a.tokens)::bigint AS tokens, count(*)::int AS calls
          FROM unnest(p_chain, p_bounds, p_tokens) a (chain, bound, tokens)
         CROSS JOIN LATERAL json_array_elements_text(p_chains -> a.chain) q (id) GROUP BY 1
    ), figures AS (
        SELECT i.place, i.room - coalesce(i.cost, 0) + least(coalesce(i.due, 0), i.held) AS room,
               i.token_room - coalesce(i.tokens, 0) + least(coalesce(i.tokens_due, 0), i.tokens_held) AS token_room,
               least(coalesce(i.due, 0), i.held) AS due,
               least(coalesce(i.tokens_due, 0), i.tokens_held) AS tokens_due, i.tokens_due - i.tokens AS unused, coalesce(w.bound, 0) AS adding, coalesce(w.tokens, 0) AS token_adding,
               coalesce(w.calls, 0) AS calls
          FROM unnest(ids, room, token_room, money_held, all_tokens_held, cost, due, tokens, tokens_due) WITH ORDINALITY
               i (id, room, token_room, held, tokens_held, cost, due, tokens, tokens_due, place)
          LEFT JOIN wished w USING (id)
    )
    SELECT array_agg(f.room ORDER BY place), array_agg(f.token_room ORDER BY place), array_agg(f.due ORDER BY place),
           array_agg(f.tokens_due ORDER BY place), array_agg(f.unused ORDER BY place),
           array_agg(f.adding ORDER BY place), array_agg(f.token_adding ORDER BY place),
           array_agg(f.calls ORDER BY place), bool_and(f.adding <= f.room AND f.token_adding <= f.token_room)
      INTO room, token_room, due, tokens_due, unused, adding, token_adding, calls, fits
      FROM figures f;
    IF p_chain IS NOT NULL AND (NOT is_plain OR NOT fits OR cardinality(ids) < cardinality(p_quotas)) THEN
        SELECT a.* INTO granted, blockers, adding, token_adding, calls, request_due, token_due
          FROM allocations_admit_in_turn(ids, room, token_room, ended, unused, p_chains, p_chain, p_bounds, p_leasts,
               p_tokens, p_least_tokens) a;
    END IF;

    WITH quota AS (
        -- A minute's tokens were counted at the bound: what was not used is given back to the rate.
        UPDATE allocations_quota q
           SET spent = q.spent + coalesce(f.cost, 0), held = q.held - f.due + f.adding,
               tokens_spent = q.tokens_spent + coalesce(f.tokens, 0),
               tokens_held = q.tokens_held - f.tokens_due + f.token_adding,
               requests_until = coalesce(f.request_due, q.requests_until),
               tokens_until = coalesce(f.token_due,
                                       q.tokens_until - coalesce(f.unused * 60.0 / q.tokens_per_minute, 0)::float8)
          FROM unnest(ids, cost, due, tokens, tokens_due, ended, unused, adding, token_adding, calls, request_due, token_due)
               f (id, cost, due, tokens, tokens_due, ended, unused, adding, token_adding, calls, request_due, token_due)
         WHERE q.id = f.id
        RETURNING q.*, f.due, f.tokens_due, f.ended, f.adding, f.token_adding, f.calls
    ), hold AS (
        UPDATE allocations_hold h
           SET amount = h.amount - q.due + q.adding, tokens = h.tokens - q.tokens_due + q.token_adding,
               calls = greatest(h.calls - coalesce(q.ended, 0), 0) + q.calls
          FROM quota q WHERE h.worker_id = p_worker AND h.quota_id = q.id
    )
    SELECT json_object_agg(id, json_build_array("limit"::text, q.spent::text, q.held::text, q.is_open, q.token_limit,
                                                q.tokens_spent, q.tokens_held)) INTO standings FROM quota q;
    IF NOT has_holds AND p_chain IS NOT NULL THEN
        INSERT INTO allocations_hold (worker_id, quota_id, amount, tokens, calls)
        SELECT p_worker, a.id, a.amount, a.tokens, a.calls
          FROM unnest(ids, adding, token_adding, calls) a (id, amount, tokens, calls)
         WHERE a.calls > 0
        ON CONFLICT (worker_id, quota_id) DO NOTHING;
    END IF;
    RETURN json_build_object('granted', granted, 'blockers', blockers, 'overages', overages, 'quotas', standings);
END $$;

REVOKE EXECUTE ON FUNCTION
    allocations_record(bigint[], json, int[], uuid[], timestamptz[], numeric[], bigint[], numeric[], bigint[], bigint[],
                       bigint[], bigint[], bigint[], bigint[], text[]),
    allocations_meter(uuid, int, bigint[], json, int[], numeric[], numeric[], bigint[], bigint[], json, int[], uuid[],
                      timestamptz[], numeric[], bigint[], numeric[], bigint[], bigint[], bigint[], bigint[], bigint[],
                      bigint[], text[], json, json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    allocations_meter(uuid, int, bigint[], json, int[], numeric[], numeric[], bigint[], bigint[], json, int[], uuid[],
                      timestamptz[], numeric[], bigint[], numeric[], bigint[], bigint[], bigint[], bigint[], bigint[],
                      bigint[], text[], json, json) TO tank_app;
RESET check_function_bodies;
