-- One refusal for every table that is only ever added to. ENABLE ALWAYS: session_replication_role does not
-- switch the triggers off. Rights are the second wall: tank_app has no UPDATE, DELETE or TRUNCATE on such tables.

CREATE FUNCTION tank_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: this table is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'TK001', HINT = 'Record a correction as a new row.';
END $$;

CREATE FUNCTION tank_make_append_only(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only_row BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION tank_refuse_change()', relation);
    EXECUTE format('CREATE TRIGGER append_only_table BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION tank_refuse_change()', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_row', relation);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only_table', relation);
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM tank_app', relation);
END $$;
REVOKE EXECUTE ON FUNCTION tank_make_append_only(regclass) FROM PUBLIC;

SELECT tank_make_append_only('teams_auditevent');
