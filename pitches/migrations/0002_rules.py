"""Put the rules of `pitches/sql/pitches.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "pitches.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0001_initial"), ("teams", "0002_append_only")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
