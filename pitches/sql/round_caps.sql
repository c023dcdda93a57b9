-- What a decision rests on is fixed when the round opens.
CREATE OR REPLACE FUNCTION pitches_round_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.state <> 'draft' THEN
            RAISE EXCEPTION 'round % was opened and cannot be deleted', OLD.name USING ERRCODE = 'TK023';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.state <> 'draft'
       AND (NEW.cap, NEW.reserve_share, NEW.hurdle, NEW.quorum, NEW.seed_hash, NEW.seed_sealed, NEW.pool_id,
            NEW.starts_on, NEW.months, NEW.team_cap, NEW.frontier_cap)
           IS DISTINCT FROM
           (OLD.cap, OLD.reserve_share, OLD.hurdle, OLD.quorum, OLD.seed_hash, OLD.seed_sealed, OLD.pool_id,
            OLD.starts_on, OLD.months, OLD.team_cap, OLD.frontier_cap) THEN
        RAISE EXCEPTION 'cap, shares, hurdle, quorum, seed and period of round % are fixed since it opened', OLD.name
            USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
