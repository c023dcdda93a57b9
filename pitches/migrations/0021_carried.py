"""Let a screening say which earlier one it is carried over from, and let the caps leave out what came back."""

from pathlib import Path
from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("pitches", "0020_choice_runs")]
    operations: ClassVar = [
        migrations.AddField(
            model_name="screening",
            name="carried_from",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pitches.screening",
            ),
        ),
        migrations.RunSQL(
            (SQL / "carried.sql").read_text(),
            "DROP TRIGGER screening_carried ON pitches_screening; DROP FUNCTION pitches_screening_carried();",
        ),
        # Without its way back the caps count what came back again, which refuses more and breaks nothing.
        migrations.RunSQL((SQL / "returned.sql").read_text(), migrations.RunSQL.noop),
    ]
