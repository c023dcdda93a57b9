"""The message queue of `make run`: files in a folder, so that no server is needed.

kombu's own filesystem transport can hand out a message while it is still being written, and takes messages by
way of the shared temporary folder. Here a message appears and is taken by one rename inside the data folder.
"""

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads


class Channel(filesystem.Channel):
    """A channel whose messages appear whole and are taken once."""

    def _put(self, queue: str, payload: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override]  # kombu's two disagree
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020d}_{uuid.uuid4().hex}.{queue}.msg"
        unfinished = folder / f".{name}"
        unfinished.write_text(dumps(payload))
        unfinished.rename(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for name in _waiting(self.data_folder_in, queue):
            taken = Path(self.data_folder_in) / f".taken_{name}"
            try:
                (Path(self.data_folder_in) / name).rename(taken)
            except FileNotFoundError:
                continue  # another worker was faster
            payload = taken.read_text()
            taken.unlink()
            return loads(payload)
        raise Empty

    def _size(self, queue: str) -> int:
        return len(_waiting(self.data_folder_in, queue))

    def _purge(self, queue: str) -> int:
        names = _waiting(self.data_folder_in, queue)
        for name in names:
            (Path(self.data_folder_in) / name).unlink(missing_ok=True)
        return len(names)


class Transport(filesystem.Transport):
    """kombu's transport with our channel."""

    Channel = Channel


def _waiting(folder: str, queue: str) -> list[str]:
    """Return the names of the messages of a queue, oldest first."""
    ours = (name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208  # names are all we need
    return sorted(name for name in ours if name.partition(".")[2] == f"{queue}.msg")
