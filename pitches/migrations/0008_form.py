"""Put the rules of `pitches/sql/form.sql` into the database, and give existing rounds their checklist."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "form.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0007_form_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
