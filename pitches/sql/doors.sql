-- Conflicts of interest by type, declarations before reviews, and the lock of the ballots.

-- Which rule says that somebody has a conflict about a pitch, as things stand now; NULL where none does. The words are
-- those of RecusalType. The one place where rules stand: pages, services and triggers all ask it.
CREATE FUNCTION pitches_rule_conflict(pitch bigint, person bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN p.owner_id = person THEN 'owner'
        WHEN EXISTS (SELECT 1 FROM teams_membership m WHERE m.team_id = p.team_id AND m.user_id = person)
            THEN 'same_team'
        -- Above the team, or below the owner.
        WHEN EXISTS (SELECT 1 FROM teams_team t JOIN teams_businessunit u ON u.id = t.business_unit_id
                      WHERE t.id = p.team_id AND u.head_id = person)
          OR EXISTS (SELECT 1 FROM teams_membership m JOIN teams_team t ON t.id = m.team_id
                       JOIN teams_businessunit u ON u.id = t.business_unit_id
                      WHERE m.user_id = person AND u.head_id = p.owner_id)
            THEN 'reporting_line'
        WHEN EXISTS (SELECT 1 FROM pitches_coapplicant a WHERE a.revision_id = p.current_id AND a.user_id = person)
            THEN 'co_applicant'
        WHEN EXISTS (SELECT 1 FROM pitches_pitchrevision r
                      WHERE r.id = p.current_id AND person IN (r.sign_off_id, r.accountable_id))
            THEN 'sign_off'
    END FROM pitches_pitch p WHERE p.id = pitch
$$;

CREATE OR REPLACE FUNCTION pitches_has_conflict(pitch bigint, person bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM pitches_recusal r
                    WHERE r.pitch_id = pitch AND r.member_id = person AND r.state = 'recused')
        OR pitches_rule_conflict(pitch, person) IS NOT NULL
$$;

-- What was found before conflicts had types.
UPDATE pitches_recusal SET type = coalesce(pitches_rule_conflict(pitch_id, member_id), 'same_team') WHERE kind = 'rule';

-- First the declaration, then the review.
CREATE FUNCTION pitches_refuse_undeclared(pitch bigint, person bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pitches_declarationanswer a JOIN pitches_declaration d ON d.id = a.declaration_id
                    WHERE a.pitch_id = pitch AND d.member_id = person) THEN
        RAISE EXCEPTION 'person % has not declared yet whether they have a conflict about pitch %', person, pitch
            USING ERRCODE = 'TK021';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION pitches_review_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    pitch bigint := (SELECT pitch_id FROM pitches_pitchrevision WHERE id = NEW.revision_id);
BEGIN
    PERFORM pitches_refuse_conflict(pitch, NEW.reviewer_id);
    PERFORM pitches_refuse_undeclared(pitch, NEW.reviewer_id);
    RETURN NEW;
END $$;

-- Who declared so far, declared with what was there then: a review that exists stands for it.
INSERT INTO pitches_declaration (round_id, member_id, at)
    SELECT p.round_id, v.reviewer_id, min(v.submitted_at)
      FROM pitches_review v JOIN pitches_pitchrevision r ON r.id = v.revision_id JOIN pitches_pitch p ON p.id = r.pitch_id
     GROUP BY p.round_id, v.reviewer_id;
INSERT INTO pitches_declarationanswer (declaration_id, pitch_id, type, reason)
    SELECT DISTINCT d.id, p.id, '', ''
      FROM pitches_declaration d JOIN pitches_pitch p ON p.round_id = d.round_id
      JOIN pitches_pitchrevision r ON r.pitch_id = p.id
      JOIN pitches_review v ON v.revision_id = r.id AND v.reviewer_id = d.member_id;

-- An envelope changes only while voting, and opens once, after voting has closed.
CREATE OR REPLACE FUNCTION pitches_ballot_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    round_state text := (SELECT r.state FROM pitches_round r JOIN pitches_pitch p ON p.round_id = r.id
                          WHERE p.id = NEW.pitch_id FOR SHARE OF r);
BEGIN
    IF TG_OP = 'UPDATE' AND (OLD.revealed_at IS NOT NULL
                             OR (NEW.pitch_id, NEW.member_id) IS DISTINCT FROM (OLD.pitch_id, OLD.member_id)) THEN
        RAISE EXCEPTION 'ballot % is final', OLD.id USING ERRCODE = 'TK022';
    END IF;
    IF NEW.revealed_at IS NOT NULL THEN
        IF TG_OP = 'INSERT' OR round_state <> 'deciding' OR NEW.sealed IS DISTINCT FROM OLD.sealed THEN
            RAISE EXCEPTION 'ballots are opened when voting has closed, as they were cast' USING ERRCODE = 'TK022';
        END IF;
        RETURN NEW;
    END IF;
    IF round_state <> 'voting' THEN
        RAISE EXCEPTION 'ballots are cast while the round is voting; it is %', round_state USING ERRCODE = 'TK022';
    END IF;
    PERFORM pitches_refuse_conflict(NEW.pitch_id, NEW.member_id);
    PERFORM pitches_refuse_undeclared(NEW.pitch_id, NEW.member_id);
    RETURN NEW;
END $$;

-- The receipt of every envelope is written by the database, in the transaction that casts it.
CREATE FUNCTION pitches_ballot_receipt() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.sealed IS DISTINCT FROM OLD.sealed THEN
        INSERT INTO pitches_ballotreceipt (ballot_id, pitch_id, member_id, number, sha256)
            SELECT NEW.id, NEW.pitch_id, NEW.member_id, coalesce(max(number), 0) + 1, encode(sha256(NEW.sealed), 'hex')
              FROM pitches_ballotreceipt WHERE ballot_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ballot_receipt AFTER INSERT OR UPDATE ON pitches_ballot
    FOR EACH ROW EXECUTE FUNCTION pitches_ballot_receipt();
ALTER TABLE pitches_ballot ENABLE ALWAYS TRIGGER ballot_receipt;
INSERT INTO pitches_ballotreceipt (ballot_id, pitch_id, member_id, number, sha256, cast_at)
    SELECT id, pitch_id, member_id, times_cast, encode(sha256(sealed), 'hex'), cast_at FROM pitches_ballot;

-- The private half of a round's ballot key, encrypted under the installation's key. The run-time role puts it in and
-- cannot read it; it is handed out when the vote has closed, and every time leaves a line in the server's log, which
-- a rolled back transaction does not take away.
CREATE TABLE pitches_ballot_secret (
    round_id bigint PRIMARY KEY REFERENCES pitches_round,
    sealed bytea NOT NULL
);
REVOKE ALL ON pitches_ballot_secret FROM PUBLIC, tank_app;
GRANT INSERT ON pitches_ballot_secret TO tank_app;

CREATE FUNCTION pitches_ballot_secret_take(p_round bigint) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    round_state text := (SELECT state FROM pitches_round WHERE id = p_round FOR SHARE);
BEGIN
    RAISE LOG 'ballot key of round % is asked for by % (%): the round is %', p_round, session_user,
        current_setting('application_name'), round_state;
    IF round_state IS NULL OR round_state NOT IN ('deciding', 'published', 'settled') THEN
        RAISE EXCEPTION 'the ballots of round % open when voting has closed; it is %', p_round, round_state
            USING ERRCODE = 'TK022';
    END IF;
    RETURN (SELECT sealed FROM pitches_ballot_secret WHERE round_id = p_round);
END $$;
REVOKE EXECUTE ON FUNCTION pitches_ballot_secret_take(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pitches_ballot_secret_take(bigint) TO tank_app;

SELECT tank_make_append_only('pitches_declaration');
SELECT tank_make_append_only('pitches_declarationanswer');
SELECT tank_make_append_only('pitches_ballotkey');
SELECT tank_make_append_only('pitches_ballotreceipt');
SELECT tank_make_append_only('pitches_ballot_secret');
REVOKE INSERT ON pitches_ballotreceipt FROM tank_app;
