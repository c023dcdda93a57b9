"""Put the rules of `pitches/sql/round_life.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "round_life.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0011_round_life_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
