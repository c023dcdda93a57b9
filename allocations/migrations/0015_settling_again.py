"""Bring settling up to date where earlier files were run: by hand, a day is charged what was sent on it."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

SETTLING = Path(__file__).resolve().parent.parent / "sql" / "settling.sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("allocations", "0014_token_alerts_generated")]
    operations: ClassVar = [migrations.RunSQL(SETTLING.read_text(), migrations.RunSQL.noop)]
