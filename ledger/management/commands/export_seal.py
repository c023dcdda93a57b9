"""Write the head of the seal chain for somebody outside to keep."""

from pathlib import Path
from typing import Any

from ledger.seal import head_export
from teams.commands import ExportCommand, as_json_text


class Command(ExportCommand):
    """Export the last link of the chain: what was recorded until now cannot be changed unnoticed any more."""

    help = "Write the last seal as JSON; `verify --against` proves later that it is still in the chain."

    def handle_contract(self, *, out: Path | None, **_: Any) -> dict[str, Any]:
        head = head_export()
        self.write(out, [as_json_text(head), "\n"])
        return {"file": str(out) if out else "standard output", "seq": head["seq"], "entry": head["entry"]}
