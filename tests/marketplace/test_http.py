"""The head of a request has limits in length and time."""

import socket
import sys
from collections.abc import Iterator

import pytest

from tests.conftest import FreshDatabase
from tests.processes import answers, free_port, start_process


@pytest.fixture(scope="module")
def port(module_database: FreshDatabase) -> Iterator[int]:
    number = free_port()
    serving = [sys.executable, "-m", "marketplace.runtime.serving", "allocations.sandbox.app:application"]
    url = f"http://127.0.0.1:{number}/sandbox/v1/models"
    with start_process([*serving, "--port", str(number)], module_database.env, ready=lambda _: answers(url)):
        yield number


def say(port: int, *pieces: bytes) -> bytes:
    """Send pieces on one connection and return all that comes back before it ends, or pauses."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
            while data := client.recv(65536):
                received += data
        except OSError:
            return received
    return received


CLOSE = b"connection: close\r\n"
GET = b"GET /sandbox/v1/models HTTP/1.1\r\nhost: tank\r\n"


def test_a_usual_head_is_read_also_in_pieces_and_twice(port: int) -> None:
    assert say(port, GET, b"x-more: 1\r\n", b"\r\n", GET + CLOSE + b"\r\n").count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "head",
    [
        b"x-long: " + b"a" * 100_000,
        b"x-many: 1\r\n" * 10_000,
    ],
)
def test_a_head_that_is_too_long_is_refused(port: int, head: bytes) -> None:
    answer = say(port, GET + head)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert answer.endswith(b"The request's headers are too long.")


def test_an_address_that_is_too_long_is_refused(port: int) -> None:
    assert say(port, b"GET /" + b"a" * 200_000).startswith(b"HTTP/1.1 400 Bad Request")


def test_a_long_body_is_not_a_long_head(port: int) -> None:
    body = b'{"messages": [{"content": "' + b"a" * 200_000 + b'"}]}'
    head = b"POST /sandbox/v1/messages HTTP/1.1\r\nhost: tank\r\ncontent-length: %d\r\n" % len(body)
    assert say(port, head + b"\r\n" + body, head + CLOSE + b"\r\n" + body).count(b"HTTP/1.1 200 OK") == 2
