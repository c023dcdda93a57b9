-- What awards of a round gave back when they ended, by team and tier: it counts against no cap any more. Without a tier
-- is what was never released to one. A return that was reversed is none.
CREATE OR REPLACE FUNCTION pitches_returned(the_round bigint) RETURNS TABLE (team_id bigint, tier text, amount numeric)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT p.team_id, a.tier::text, -sum(leg.amount)
      FROM pitches_pitch p
      JOIN pitches_offer o ON o.pitch_id = p.id AND o.state = 'accepted'
      JOIN (SELECT allocation_id, account_id FROM allocations_allocationline
            UNION ALL SELECT id, committed_account_id FROM allocations_allocation) own
        ON own.allocation_id = o.allocation_id
      JOIN ledger_account a ON a.id = own.account_id
      JOIN ledger_posting leg ON leg.account_id = a.id
      JOIN ledger_journalentry e ON e.id = leg.entry_id
      LEFT JOIN ledger_journalentry was ON was.id = e.reverses_id
     WHERE p.round_id = the_round AND 'return' IN (e.kind, was.kind)
     GROUP BY p.team_id, a.tier
$$;

-- The caps of offers.sql, without what came back.
CREATE OR REPLACE FUNCTION pitches_offer_line_cap() RETURNS trigger LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    the_round pitches_round;
    the_team bigint := (SELECT p.team_id FROM pitches_offer o JOIN pitches_pitch p ON p.id = o.pitch_id
                         WHERE o.id = NEW.offer_id);
    together numeric;
    of_team numeric;
    of_frontier numeric;
BEGIN
    SELECT r.* INTO the_round FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
      JOIN pitches_offer o ON o.pitch_id = p.id WHERE o.id = NEW.offer_id FOR NO KEY UPDATE OF r;
    SELECT coalesce(sum(m.amount), 0),
           coalesce(sum(m.amount) FILTER (WHERE m.team_id = the_team), 0),
           coalesce(sum(m.amount) FILTER (WHERE m.tier = 'frontier'), 0)
      INTO together, of_team, of_frontier
      FROM (SELECT p.team_id, l.tier, l.awarded AS amount
              FROM pitches_offerline l JOIN pitches_offer o ON o.id = l.offer_id
              JOIN pitches_pitch p ON p.id = o.pitch_id
             WHERE p.round_id = the_round.id AND o.state IN ('open', 'accepted')
            UNION ALL
            SELECT b.team_id, b.tier, -b.amount FROM pitches_returned(the_round.id) b) m;
    IF together > the_round.cap - the_round.cap * the_round.reserve_share THEN
        RAISE EXCEPTION 'offers of round % sum to %, more than the % that can be awarded', the_round.name,
            trim_scale(together), trim_scale(the_round.cap - the_round.cap * the_round.reserve_share)
            USING ERRCODE = 'TK020';
    ELSIF of_team > the_round.cap * the_round.team_cap THEN
        RAISE EXCEPTION 'offers to one team in round % sum to %, more than the % that one team can be awarded',
            the_round.name, trim_scale(of_team), trim_scale(the_round.cap * the_round.team_cap)
            USING ERRCODE = 'TK020';
    ELSIF of_frontier > the_round.cap * the_round.frontier_cap THEN
        RAISE EXCEPTION 'offers on the frontier tier in round % sum to %, more than the % that it can be awarded',
            the_round.name, trim_scale(of_frontier), trim_scale(the_round.cap * the_round.frontier_cap)
            USING ERRCODE = 'TK020';
    END IF;
    RETURN NULL;
END $$;
