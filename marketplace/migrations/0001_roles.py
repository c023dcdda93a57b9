"""Make the run-time role before any table exists, so that every table's rights start from one place."""

from typing import ClassVar

from django.db import migrations

MAKE_ROLE = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'tank_app') THEN
        BEGIN
            CREATE ROLE tank_app LOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this server made it a moment ago
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'tank_app', 'MEMBER') THEN
        EXECUTE format('GRANT tank_app TO %I', current_user);
    END IF;
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO tank_app;
GRANT SELECT ON django_migrations TO tank_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO tank_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO tank_app;
"""


class Migration(migrations.Migration):
    run_before: ClassVar = [("contenttypes", "0001_initial")]
    operations: ClassVar = [migrations.RunSQL(MAKE_ROLE, migrations.RunSQL.noop)]
