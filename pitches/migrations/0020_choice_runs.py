"""Put the rules of `pitches/sql/choice_runs.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "choice_runs.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0019_choice_runs_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
