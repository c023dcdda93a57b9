"""Settings of the test suite: the product's own, on a database server that is running.

pytest-django reads the settings before any conftest, so the embedded server is started here. The worker
processes of pytest-xdist inherit DATABASE_URL and with it the server.
"""

import os
from pathlib import Path

import psycopg

from marketplace import embedded

DATA = Path(__file__).resolve().parent.parent / "var" / "test"
os.environ["TANK_DATA"] = str(DATA)
os.environ.pop("TANK_DB_ROLE", None)
if owner_url := os.environ.pop("DATABASE_OWNER_URL", ""):
    os.environ["DATABASE_URL"] = owner_url
if embedded.is_used():
    embedded.start(DATA)
    os.environ["DATABASE_URL"] = embedded.url(DATA)
    with psycopg.connect(embedded.url(DATA, user="postgres", database="postgres"), autocommit=True) as superuser:
        superuser.execute("ALTER SYSTEM SET fsync = off")  # what tests write need not outlive the machine
        superuser.execute("SELECT pg_reload_conf()")
        # Tests switch triggers off as far as that goes, to show which ones stay on.
        superuser.execute(f"GRANT SET ON PARAMETER session_replication_role TO {embedded.OWNER}")

from marketplace.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one is slow on purpose
