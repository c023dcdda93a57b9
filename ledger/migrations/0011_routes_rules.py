"""Put the rules of `ledger/sql/routes.sql` into the database."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("ledger", "0010_routes_generated")]
    operations: ClassVar = [migrations.RunSQL((SQL / "routes.sql").read_text(), migrations.RunSQL.noop)]
