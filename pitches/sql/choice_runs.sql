-- What the runs of choices refuse. Error codes: TK001 append-only, TK023 closed. All triggers are ENABLE ALWAYS.

ALTER TABLE pitches_choicerun
    ADD CONSTRAINT choice_run_inputs_match_their_hash
    CHECK (inputs_sha256 = encode(sha256(convert_to(inputs_text, 'UTF8')), 'hex'));

-- What was asked stays as it was asked, and what has ended has ended. A run is done with a choice of its own inputs.
CREATE FUNCTION pitches_choice_run_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.ended_at IS NOT NULL THEN
            RAISE EXCEPTION 'choice run % has ended', OLD.id USING ERRCODE = 'TK023';
        END IF;
        IF (NEW.round_id, NEW.asked_by_id, NEW.asked_at, NEW.inputs_text, NEW.inputs_sha256)
            IS DISTINCT FROM (OLD.round_id, OLD.asked_by_id, OLD.asked_at, OLD.inputs_text, OLD.inputs_sha256) THEN
            RAISE EXCEPTION 'choice run % stays as it was asked for', OLD.id USING ERRCODE = 'TK001';
        END IF;
    END IF;
    IF NEW.selection_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM pitches_selection s
         WHERE s.id = NEW.selection_id AND s.round_id = NEW.round_id AND s.inputs_sha256 = NEW.inputs_sha256
           AND s.kind = 'final') THEN
        RAISE EXCEPTION 'choice run % is about other inputs than its choice', NEW.id USING ERRCODE = 'TK023';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER choice_run_guard BEFORE INSERT OR UPDATE ON pitches_choicerun
    FOR EACH ROW EXECUTE FUNCTION pitches_choice_run_guard();
ALTER TABLE pitches_choicerun ENABLE ALWAYS TRIGGER choice_run_guard;

REVOKE DELETE ON pitches_choicerun FROM tank_app;
