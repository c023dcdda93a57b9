-- What offers, counter-offers and the waitlist refuse. Error codes as in pitches.sql: TK001 append-only, TK020 cap of a
-- round, TK021 conflict of interest, TK023 final. All triggers are ENABLE ALWAYS.

-- What is open or accepted in a round stays within what can be awarded, within what one team can be awarded, and within
-- what the frontier tier can be. Only a new line adds to these sums: lines never change, and an offer that ended never
-- opens again. The round's row is locked first, so two offers at once are summed one after the other.
CREATE FUNCTION pitches_offer_line_cap() RETURNS trigger LANGUAGE plpgsql AS $$
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
    SELECT coalesce(sum(l.awarded), 0),
           coalesce(sum(l.awarded) FILTER (WHERE p.team_id = the_team), 0),
           coalesce(sum(l.awarded) FILTER (WHERE l.tier = 'frontier'), 0)
      INTO together, of_team, of_frontier
      FROM pitches_offerline l JOIN pitches_offer o ON o.id = l.offer_id JOIN pitches_pitch p ON p.id = o.pitch_id
     WHERE p.round_id = the_round.id AND o.state IN ('open', 'accepted');
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
CREATE TRIGGER offer_line_cap AFTER INSERT ON pitches_offerline
    FOR EACH ROW EXECUTE FUNCTION pitches_offer_line_cap();
ALTER TABLE pitches_offerline ENABLE ALWAYS TRIGGER offer_line_cap;

-- What an offer offers never changes, nor where it came from, and its answer is final.
CREATE OR REPLACE FUNCTION pitches_offer_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.xact := pg_current_xact_id();
        RETURN NEW;
    END IF;
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'offer % is % and final', OLD.id, OLD.state USING ERRCODE = 'TK023';
    END IF;
    IF (NEW.pitch_id, NEW.revision_id, NEW.decision_id, NEW.counter_id, NEW.xact)
       IS DISTINCT FROM (OLD.pitch_id, OLD.revision_id, OLD.decision_id, OLD.counter_id, OLD.xact) THEN
        RAISE EXCEPTION 'offer % is for another pitch', OLD.id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;

-- A counter-offer is whole when it commits, counters an open offer, never changes, and its answer is final. Who speaks
-- for the committee, or answers for it, has a seat and no conflict.
ALTER TABLE pitches_counter ADD COLUMN xact xid8 NOT NULL DEFAULT pg_current_xact_id();

CREATE FUNCTION pitches_counter_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    countered pitches_offer := (SELECT o FROM pitches_offer o WHERE o.id = NEW.offer_id);
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF countered.state <> 'open' THEN
            RAISE EXCEPTION 'offer % is % and cannot be countered', countered.id, countered.state
                USING ERRCODE = 'TK023';
        END IF;
        IF NEW.side = 'committee' THEN
            PERFORM pitches_refuse_conflict(countered.pitch_id, NEW.by_id);
        END IF;
        NEW.xact := pg_current_xact_id();
        RETURN NEW;
    END IF;
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'counter-offer % is % and final', OLD.id, OLD.state USING ERRCODE = 'TK023';
    END IF;
    IF (NEW.offer_id, NEW.side, NEW.message, NEW.by_id, NEW.at, NEW.xact)
       IS DISTINCT FROM (OLD.offer_id, OLD.side, OLD.message, OLD.by_id, OLD.at, OLD.xact) THEN
        RAISE EXCEPTION 'what counter-offer % says never changes', OLD.id USING ERRCODE = 'TK023';
    END IF;
    IF NEW.side = 'team' AND NEW.state IN ('accepted', 'refused', 'countered') THEN
        PERFORM pitches_refuse_conflict(countered.pitch_id, NEW.answered_by_id);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER counter_guard BEFORE INSERT OR UPDATE ON pitches_counter
    FOR EACH ROW EXECUTE FUNCTION pitches_counter_guard();
ALTER TABLE pitches_counter ENABLE ALWAYS TRIGGER counter_guard;

CREATE FUNCTION pitches_part_of_counter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_counter c
                    WHERE c.id = NEW.counter_id AND c.xact = pg_current_xact_id()) THEN
        RAISE EXCEPTION 'counter-offer % is complete: nothing can be added to it', NEW.counter_id
            USING ERRCODE = 'TK001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER part_of_counter BEFORE INSERT ON pitches_counterline
    FOR EACH ROW EXECUTE FUNCTION pitches_part_of_counter();
ALTER TABLE pitches_counterline ENABLE ALWAYS TRIGGER part_of_counter;

SELECT tank_make_append_only('pitches_counterline');
REVOKE DELETE ON pitches_counter FROM tank_app;

-- One pitch per place of a round's waitlist. A decision knows its round only through its pitch, so no index can say it;
-- the round's row is locked, so two decisions at once are compared one after the other.
CREATE FUNCTION pitches_waitlist_place_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    the_round bigint;
BEGIN
    SELECT r.id INTO the_round FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
     WHERE p.id = NEW.pitch_id FOR NO KEY UPDATE OF r;
    IF EXISTS (SELECT 1 FROM pitches_decision d JOIN pitches_pitch p ON p.id = d.pitch_id
                WHERE p.round_id = the_round AND d.waitlist_place = NEW.waitlist_place AND d.id <> NEW.id) THEN
        RAISE EXCEPTION 'place % of the waitlist is taken', NEW.waitlist_place USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER waitlist_place_guard AFTER INSERT OR UPDATE ON pitches_decision
    FOR EACH ROW WHEN (NEW.waitlist_place IS NOT NULL) EXECUTE FUNCTION pitches_waitlist_place_guard();
ALTER TABLE pitches_decision ENABLE ALWAYS TRIGGER waitlist_place_guard;
