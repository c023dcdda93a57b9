-- What the board refuses. Error codes: TK001 append-only, TK021 conflict of interest, TK023 closed. All triggers are
-- ENABLE ALWAYS.

-- What is held in, or was moved, is an offer of its own pitch.
ALTER TABLE pitches_boardforce
    ADD CONSTRAINT board_force_option_is_its_pitchs
    FOREIGN KEY (pitch_id, option_id) REFERENCES pitches_pitchoption (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE pitches_boardmove
    ADD CONSTRAINT board_move_option_is_its_pitchs
    FOREIGN KEY (pitch_id, option_id) REFERENCES pitches_pitchoption (pitch_id, id) DEFERRABLE INITIALLY DEFERRED;

-- A move is made by somebody with a seat, without a conflict about the pitch that it is about, while the round decides.
CREATE FUNCTION pitches_board_move_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    the_round pitches_round;
BEGIN
    SELECT r.* INTO the_round FROM pitches_round r WHERE r.id = NEW.round_id FOR SHARE;
    IF the_round.state <> 'deciding' THEN
        RAISE EXCEPTION 'the board of round % is closed: it is %', the_round.name, the_round.state
            USING ERRCODE = 'TK023';
    END IF;
    IF NEW.pitch_id IS NOT NULL THEN
        IF NOT EXISTS (SELECT 1 FROM pitches_pitch p WHERE p.id = NEW.pitch_id AND p.round_id = NEW.round_id) THEN
            RAISE EXCEPTION 'pitch % is of another round than the move', NEW.pitch_id USING ERRCODE = 'TK023';
        END IF;
        PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.actor_id);
    ELSIF NOT EXISTS (SELECT 1 FROM pitches_committeeseat s
                       WHERE s.round_id = NEW.round_id AND s.user_id = NEW.actor_id) THEN
        RAISE EXCEPTION 'person % has no seat in the committee of round %', NEW.actor_id, the_round.name
            USING ERRCODE = 'TK021';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER board_move_guard BEFORE INSERT ON pitches_boardmove
    FOR EACH ROW EXECUTE FUNCTION pitches_board_move_guard();
ALTER TABLE pitches_boardmove ENABLE ALWAYS TRIGGER board_move_guard;

CREATE FUNCTION pitches_board_force_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_boardstate b JOIN pitches_pitch p ON p.round_id = b.round_id
                    WHERE b.id = NEW.board_id AND p.id = NEW.pitch_id) THEN
        RAISE EXCEPTION 'pitch % is of another round than the board', NEW.pitch_id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER board_force_guard BEFORE INSERT OR UPDATE ON pitches_boardforce
    FOR EACH ROW EXECUTE FUNCTION pitches_board_force_guard();
ALTER TABLE pitches_boardforce ENABLE ALWAYS TRIGGER board_force_guard;

SELECT tank_make_append_only('pitches_boardmove');
REVOKE DELETE ON pitches_boardstate FROM tank_app;
