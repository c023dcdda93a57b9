"""Put the rights of `teams/sql/mail.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "mail.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("teams", "0008_mail_generated")]
    operations: ClassVar = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
