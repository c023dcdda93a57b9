"""What is fuzzed holds for any bytes, for bytes that look like the real thing, and for what was found before."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import targets

SAMPLES = sorted((Path(__file__).resolve().parent.parent / "data" / "inline").rglob("*.sse"))
LINES = st.sampled_from([b"data: ", b"data:", b"event: error", b": ", b"[DONE]", b"\n", b"\r", b"\r\n"])
LINES |= st.sampled_from([b'{"type":"response.completed"}', b'{"choices":[],"usage":{}}', b'{"type":"error"}'])
LINES |= st.sampled_from([b"\xef\xbb\xbf", b"\xff"])
SIGNS = st.sampled_from([b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u0022", b"model", b"1", b" "])
WORDS = st.sampled_from([b'"a":', b'"model":"m"', b'"input":', b'"messages":[', b'{"content":', b'"\\u0061":', b"null"])


@given(st.binary(max_size=100) | st.lists(LINES, max_size=20).map(b"".join))
def test_any_stream(data: bytes) -> None:
    targets.stream(data)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("size", [0, 2, 6])
def test_recorded_streams(sample: Path, size: int) -> None:
    targets.stream(bytes([size]) + sample.read_bytes())


@given(st.binary(max_size=60) | st.lists(SIGNS | WORDS, max_size=20).map(lambda parts: b"{" + b"".join(parts) + b"}"))
def test_any_body(data: bytes) -> None:
    targets.body(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"m","input":[]}',
        b'{"model":"m","input":[true]}',
        b'{"model":"m","messages":[null],"n":1e400}',
        b'{"model":"m","messages":[{}],"max_tokens":18446744073709551616}',
        b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"model":"m","messages":[' + b"[" * 900 + b"]" * 900 + b'],"x":"' + b"y" * 2000 + b'"}',
        b'{"":"","":""}',
        b'{"a":"\\u0022","a":1}',
    ],
)
def test_bodies_that_are_known_to_be_odd(data: bytes) -> None:
    targets.body(data)
