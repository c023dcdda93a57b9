-- The rate card's steps, backups of models, and aliases: what a row may say depends on another row.

-- A further step is one price with its base: same model, moment, currency and source, made in the same transaction, so
-- that whoever approves a rate has seen all of it.
CREATE FUNCTION ledger_rate_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    base ledger_rate;
BEGIN
    IF NEW.base_id IS NULL THEN
        RETURN NEW;
    END IF;
    SELECT * INTO base FROM ledger_rate WHERE id = NEW.base_id;
    IF base.base_id IS NOT NULL OR (TG_OP = 'INSERT' AND base.created_at < transaction_timestamp())
       OR (base.model_id, base.valid_from, base.currency, base.source)
          IS DISTINCT FROM (NEW.model_id, NEW.valid_from, NEW.currency, NEW.source) THEN
        RAISE EXCEPTION 'a step of rate % must be proposed with it', NEW.base_id
            USING ERRCODE = 'TK001', HINT = 'Propose a new rate with all its steps.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rate_step BEFORE INSERT OR UPDATE ON ledger_rate FOR EACH ROW EXECUTE FUNCTION ledger_rate_step();
ALTER TABLE ledger_rate ENABLE ALWAYS TRIGGER rate_step;

-- A rate and its steps are approved together: no size of call is ever without the price that was meant for it.
CREATE FUNCTION ledger_rate_whole() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ledger_rate s JOIN ledger_rate b ON b.id = s.base_id
                WHERE b.id = coalesce(NEW.base_id, NEW.id) AND s.approved_at IS DISTINCT FROM b.approved_at) THEN
        RAISE EXCEPTION 'rate % is approved with all its steps or not at all', coalesce(NEW.base_id, NEW.id)
            USING ERRCODE = 'TK001';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER rate_whole AFTER INSERT OR UPDATE ON ledger_rate
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_rate_whole();
ALTER TABLE ledger_rate ENABLE ALWAYS TRIGGER rate_whole;

-- A backup shares tier and dialect with the model that it stands in for, so that it is paid by the same line and
-- understands the same calls; the sandbox understands all. Checked at commit, so that both can move together.
CREATE FUNCTION ledger_model_backup() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    IF NEW.backup_of_id IS NULL AND NOT EXISTS (SELECT 1 FROM ledger_aimodel WHERE backup_of_id = NEW.id) THEN
        RETURN NULL;
    END IF;
    -- Two who make each of two models the other's backup meet here.
    PERFORM 1 FROM ledger_aimodel WHERE id = NEW.backup_of_id FOR SHARE;
    SELECT format('model %s cannot be a backup of %s: ', b.name, m.name) || CASE
               WHEN m.backup_of_id IS NOT NULL THEN 'that is a backup itself'
               WHEN b.tier <> m.tier THEN 'they are of different tiers'
               ELSE 'their providers speak different dialects' END
      INTO wrong
      FROM ledger_aimodel b
      JOIN ledger_aimodel m ON m.id = b.backup_of_id
      JOIN ledger_provider bp ON bp.id = b.provider_id
      JOIN ledger_provider mp ON mp.id = m.provider_id
     WHERE (b.id = NEW.id OR m.id = NEW.id)
       AND (m.backup_of_id IS NOT NULL OR b.tier <> m.tier OR bp.dialect NOT IN (mp.dialect, 'sandbox'));
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'TK001';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER model_backup AFTER INSERT OR UPDATE ON ledger_aimodel
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_model_backup();
ALTER TABLE ledger_aimodel ENABLE ALWAYS TRIGGER model_backup;

-- A name means one thing: no alias is called like a model, and no model like an alias.
CREATE FUNCTION ledger_model_name() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_taken boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7246885);
    IF TG_TABLE_NAME = 'ledger_modelalias' THEN
        is_taken := EXISTS (SELECT 1 FROM ledger_aimodel WHERE name = NEW.name);
    ELSE
        is_taken := EXISTS (SELECT 1 FROM ledger_modelalias WHERE name = NEW.name);
    END IF;
    IF is_taken THEN
        RAISE EXCEPTION 'the name % is taken: an alias never stands before a model', NEW.name USING ERRCODE = 'TK001';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER alias_name AFTER INSERT OR UPDATE OF name ON ledger_modelalias
    FOR EACH ROW EXECUTE FUNCTION ledger_model_name();
ALTER TABLE ledger_modelalias ENABLE ALWAYS TRIGGER alias_name;
CREATE TRIGGER model_name AFTER INSERT OR UPDATE OF name ON ledger_aimodel
    FOR EACH ROW EXECUTE FUNCTION ledger_model_name();
ALTER TABLE ledger_aimodel ENABLE ALWAYS TRIGGER model_name;
