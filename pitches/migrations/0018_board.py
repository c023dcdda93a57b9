"""Put the rules of `pitches/sql/board.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "board.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0017_board_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
