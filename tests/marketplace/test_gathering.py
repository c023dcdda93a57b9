"""What an answer is made of leaves in as few system calls as it can, in order, and never late."""

import asyncio
from collections.abc import Awaitable, Callable

from marketplace.runtime.http import MOST_GATHERED_BYTES, GatheringTransport

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"hello"
MUCH = b"x" * (MOST_GATHERED_BYTES + 1)


class Wire(asyncio.Transport):
    """A connection that notes every write; each would be a system call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def played(story: Callable[[GatheringTransport, Wire], Awaitable[None]]) -> list[bytes]:
    """Return what was written to the wire by the end of a story."""

    async def play() -> list[bytes]:
        wire = Wire()
        await story(GatheringTransport(wire, asyncio.get_running_loop()), wire)
        return wire.written

    return asyncio.run(play())


def test_what_is_written_in_one_turn_leaves_together() -> None:
    async def story(transport: GatheringTransport, wire: Wire) -> None:
        transport.write(HEAD)
        transport.write(BODY)
        assert wire.written == []
        await asyncio.sleep(0)
        transport.write(b"more")
        await asyncio.sleep(0)

    assert played(story) == [HEAD + BODY, b"more"]


def test_much_leaves_at_once_so_that_it_can_be_told_to_wait() -> None:
    async def story(transport: GatheringTransport, wire: Wire) -> None:
        transport.write(HEAD)
        transport.write(MUCH)
        assert wire.written == [HEAD + MUCH]
        transport.write(BODY)
        await asyncio.sleep(0)

    assert played(story) == [HEAD + MUCH, BODY]


def test_what_waits_is_written_before_the_connection_closes_and_nothing_after() -> None:
    async def story(transport: GatheringTransport, wire: Wire) -> None:
        transport.write(HEAD)
        transport.close()
        assert wire.is_closed
        assert transport.is_closing()
        transport.write(BODY)
        await asyncio.sleep(0)

    assert played(story) == [HEAD]


def test_of_a_connection_that_is_lost_nothing_is_kept() -> None:
    async def story(transport: GatheringTransport, wire: Wire) -> None:
        transport.write(HEAD)
        wire.close()
        await asyncio.sleep(0)

    assert played(story) == []
