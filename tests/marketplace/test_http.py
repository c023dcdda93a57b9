"""What a client may send, and how long it may take to send and to take it, has limits."""

import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.allocations.wires import Wire, request, wire
from tests.conftest import FreshDatabase
from tests.processes import answers, free_port, start_process, until


@contextmanager
def served(database: FreshDatabase, **env: str) -> Iterator[int]:
    """Serve the sandbox, which needs no key, as we serve everything."""
    number = free_port()
    serving = [sys.executable, "-m", "marketplace.runtime.serving", "allocations.sandbox.app:application"]
    url = f"http://127.0.0.1:{number}/sandbox/v1/models"
    with start_process([*serving, "--port", str(number)], database.env | env, ready=lambda _: answers(url)):
        yield number


@pytest.fixture(scope="module")
def port(module_database: FreshDatabase) -> Iterator[int]:
    with served(module_database) as number:
        yield number


@pytest.fixture(scope="module")
def hasty_port(module_database: FreshDatabase) -> Iterator[int]:
    with served(module_database, GATEWAY_REQUEST_SECONDS="1", GATEWAY_WRITE_SECONDS="1") as number:
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


# --- Time ----------------------------------------------------------------------------------------------------


def dripped(line: Wire, drop: bytes) -> bytes:
    """Send a little, again and again, until the other side hangs up; return what it said."""
    said = b""
    line.line.settimeout(0.1)
    while True:
        try:
            line.send(drop)
            if not (more := line.line.recv(65536)):
                return said
            said += more
        except TimeoutError:
            continue
        except OSError:
            return said


BODY = b'{"messages": [{"content": "a"}]}'
POST = b"POST /sandbox/v1/messages HTTP/1.1\r\nhost: tank\r\n"
OK = b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("start", "drop", "answers"),
    [
        (b"", b"", 0),
        (b"G", b"", 0),
        (GET, b"x-more: 1\r\n", 0),
        (POST + b"content-length: 1000\r\n\r\n{", b" ", 0),
        (POST + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n", 0),
        (GET + b"\r\n", b"\r\n", 1),
        (GET + b"\r\n", b"G", 1),
        (b"POST /nowhere HTTP/1.1\r\nhost: tank\r\ncontent-length: 1000\r\n\r\n", b" ", 0),
    ],
    ids=[
        "nothing", "one byte", "a head", "a body", "a body in chunks", "blanks after a request", "a second head",
        "the body of a request that was answered",
    ],
)  # fmt: skip
def test_who_sends_too_slowly_is_hung_up_on(hasty_port: int, start: bytes, drop: bytes, answers: int) -> None:
    with wire(f"http://127.0.0.1:{hasty_port}") as line:
        line.send(start)
        assert dripped(line, drop).count(OK) == answers


def test_who_sends_in_time_is_not(hasty_port: int) -> None:
    with wire(f"http://127.0.0.1:{hasty_port}") as line, wire(f"http://127.0.0.1:{hasty_port}") as slow:
        line.send(GET + b"\r\n")
        assert line.answer()[0] == 200
        dripped(slow, b"")  # as long as a request may take
        line.send(POST + b"content-length: %d\r\n\r\n" % len(BODY) + BODY)
        assert line.answer()[0] == 200


def test_an_answer_that_nobody_takes_is_thrown_away(hasty_port: int) -> None:
    long = {"model": "m", "dimensions": 4096, "input": [str(number) for number in range(150)]}
    with wire(f"http://127.0.0.1:{hasty_port}", window=4096) as line:
        line.send(request("/sandbox/v1/embeddings", {}, long))
        poll = select.poll()
        poll.register(line.line, 0)
        until(lambda: bool(poll.poll(0)), within=20, what="the end of the connection")
        (broken,) = poll.poll(0)
    assert broken[1] & select.POLLHUP


def test_an_answer_that_is_taken_slowly_comes_whole(hasty_port: int) -> None:
    long = {"model": "m", "dimensions": 4096, "input": [str(number) for number in range(100)]}
    with wire(f"http://127.0.0.1:{hasty_port}", window=4096) as line, wire(f"http://127.0.0.1:{hasty_port}") as other:
        line.send(request("/sandbox/v1/embeddings", {}, long))
        head = line.until(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].split()[0])
        assert left > 8_000_000
        while left > 100_000:
            left -= len(line.read(512))
            other.send(GET + b"\r\n")
            assert other.answer()[0] == 200
        assert len(line.read(left)) == left


# --- What is no HTTP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "junk",
    [
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
        POST + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        POST + b"content-length: -1\r\n\r\n",
        POST + b"content-length: 99999999999999999999999\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        POST + b"transfer-encoding: gzip\r\n\r\nabc",
        GET + b"x: a\x00b\r\n\r\n",
        GET + b"no colon\r\n\r\n",
        GET + b" folded: 1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    ],
)
def test_a_request_that_can_be_read_in_two_ways_or_none_is_refused(port: int, junk: bytes) -> None:
    answer = say(port, junk)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert answer.count(b"HTTP/1.1") == 1
    assert OK in say(port, GET + CLOSE + b"\r\n")
