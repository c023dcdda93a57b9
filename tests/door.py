"""The metering transaction as a gateway process calls it, on the test's own connection."""

from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from allocations.metering.wire import METER_TYPES, Batch, meter_parameters

METER = f"SELECT allocations_meter({', '.join(f'%s::{kind}' for kind in METER_TYPES)})::text"


def meter(worker: UUID, epoch: int, batch: Batch) -> dict[str, Any]:
    """Commit a batch; return the answer, with what was granted as wished written out."""
    with connection.cursor() as cursor:
        cursor.execute(METER, meter_parameters(worker, epoch, batch))
        answer: dict[str, Any] = orjson.loads(cursor.fetchone()[0])
    if answer["granted"] is None:
        answer["granted"] = [[str(wish.bound), wish.tokens] for wish in batch.wishes]
        answer["blockers"] = [None for _ in batch.wishes]
    return answer
