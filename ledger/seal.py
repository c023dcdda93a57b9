"""The head of the seal chain for somebody outside: who keeps it can hold the ledger to everything up to it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.checks import Breach
from ledger.models import Seal

CHECK = "the exported head is in the chain"
LOOK = "manage.py export_seal"


class NotAHead(ValueError):
    """A file does not hold an exported head of the chain."""


@dataclass(frozen=True, slots=True)
class Head:
    """One link of the chain, by its number: the entry that it seals and its hash in hexadecimal digits."""

    seq: int
    hash: str
    entry: str


def head_export() -> dict[str, Any]:
    """Return the last link of the chain; `seq` is 0 and the hash all zeros while there is no entry."""
    last = Seal.objects.select_related("entry").order_by("-seq").first()
    return {
        "seq": last.seq if last else 0,
        "hash": bytes(last.hash).hex() if last else "00" * 32,
        "entry": str(last.entry) if last else "",
        "recorded_at": last.entry.recorded_at.astimezone(UTC) if last else None,
        "exported_at": datetime.now(UTC),
    }


def head_read(path: Path) -> Head:
    """Read what `head_export` wrote; raises NotAHead for a file that is not there or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        head = Head(int(content["seq"]), str(content["hash"]).lower(), str(content["entry"]))
    except OSError as error:
        raise NotAHead(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotAHead(f"{path} is not what `manage.py export_seal` writes.") from error
    if head.seq < 0 or len(head.hash) != 64 or set(head.hash) - set("0123456789abcdef"):
        raise NotAHead(f"{path} is not what `manage.py export_seal` writes.")
    return head


def head_breaches(head: Head) -> list[Breach]:
    """Return why an exported head is not in the chain; empty when it is. That the chain itself holds is not asked."""
    if head.seq == 0:
        return []
    link = Seal.objects.select_related("entry").filter(seq=head.seq).first()
    if link is None:
        last = Seal.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
        fault = f"it was exported, and the chain ends at seal {last}"
    elif bytes(link.hash).hex() != head.hash:
        fault = f"its hash was exported as {head.hash} and is {bytes(link.hash).hex()}"
    elif str(link.entry) != head.entry:
        fault = f"it sealed {head.entry} and now seals {link.entry}"
    else:
        return []
    return [Breach(4, CHECK, f"seal {head.seq} of {head.entry}: {fault}", LOOK)]
