"""Put the rules of `pitches/sql/round_caps.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "round_caps.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0003_round_caps_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
