"""The size of a picture is read from its header as the providers' decoders read it, or not at all."""

import base64
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.metering.anthropic_bounds import ANTHROPIC_IMAGE, picture_tokens
from allocations.metering.openai_bounds import OPENAI_IMAGE, openai_chat_demand, openai_response_demand
from allocations.metering.openai_models import at_model, dearest_picture, tiles_of
from allocations.metering.pixels import MOST_HEADER, Size, size_of

ADDRESS = "https://api.openai.com"


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0" + bytes(40)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(data)) + data


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + bytes(9))


def jpeg(*segments: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(segments) + segment(0xDA, bytes(10)) + bytes(40)


def gif(width: int, height: int, *frames: tuple[int, int], palette: bool = True) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x91 if palette else 0, 0, 0) + bytes(12 if palette else 0)
    pause = b"!\xf9\x04\0\0\0\0\0"
    pictures = (pause + b"," + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x03abc\x01d\0" for size in frames)
    return b"GIF89a" + screen + b"".join(pictures) + b";"


def webp(kind: bytes, data: bytes) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBP" + kind + bytes(4) + data + bytes(30)


def lossy(width: int, height: int) -> bytes:
    return webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height))


def lossless(width: int, height: int) -> bytes:
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14))


def extended(width: int, height: int) -> bytes:
    return webp(b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"))


def plain_jpeg(width: int, height: int) -> bytes:
    return jpeg(segment(0xE0, b"JFIF\0" + bytes(9)), frame(width, height))


def plain_gif(width: int, height: int) -> bytes:
    return gif(width, height, (width, height))


MAKERS: list[Callable[[int, int], bytes]] = [png, plain_jpeg, plain_gif, lossy, lossless, extended]
SIDES = st.integers(1, 16_383)


@given(st.sampled_from(MAKERS), SIDES, SIDES)
def test_the_size_is_the_one_in_the_header(make: Callable[[int, int], bytes], width: int, height: int) -> None:
    assert size_of(encoded(make(width, height))) == (width, height)


@given(st.sampled_from(MAKERS), SIDES, SIDES, st.integers(0, 120))
def test_a_truncated_header_says_the_same_or_nothing(
    make: Callable[[int, int], bytes], width: int, height: int, kept: int
) -> None:
    assert size_of(encoded(make(width, height)[:kept])) in (None, (width, height))


@given(st.sampled_from([b"", b"\xff\xd8", b"GIF89a", b"RIFF....WEBPVP8X", b"\x89PNG\r\n\x1a\n"]), st.binary())
def test_no_bytes_at_all_break_the_reader(head: bytes, rest: bytes) -> None:
    found = size_of(encoded(head + rest))
    assert found is None or min(found) >= 1


def test_of_several_sizes_the_largest_sides_count() -> None:
    assert size_of(encoded(jpeg(frame(10, 900, 0xC2), frame(800, 20)))) == (800, 900)
    assert size_of(encoded(gif(10, 20, (5, 5), (300, 7), (8, 400)))) == (300, 400)
    assert size_of(encoded(gif(10, 20, (5, 5), palette=False))) == (10, 20)


def test_a_jpeg_with_long_metadata_is_read_and_one_with_longer_is_not() -> None:
    camera = [segment(0xE1, b"Exif\0\0" + bytes(60_000)), b"\xff", frame(4000, 3000)]
    assert size_of(encoded(jpeg(*camera) + bytes(400_000))) == (4000, 3000)
    profile = [segment(0xE2, bytes(65_000))] * (MOST_HEADER // 65_000)
    assert size_of(encoded(jpeg(*profile, frame(4000, 3000)) + bytes(400_000))) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"%PDF-1.7" + bytes(80),
        b"<svg xmlns='http://www.w3.org/2000/svg' width='1' height='1'/>",
        png(0, 10),
        jpeg(segment(0xE0, b"JFIF")),  # no frame
        jpeg(frame(100, 0)),  # its height comes after the scan
        jpeg(segment(0xDE, bytes(15)), frame(1, 1)),  # frames of several sizes, one upon another
        jpeg(b"\xff\xd8", frame(1, 1)),
        jpeg(*[segment(0xFE, b"")] * 3000, frame(1, 1)),
        b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"?" + bytes(40),
        gif(1, 1, (1, 1))[:-1] + b"!" + b"\0\x01a" * 5000,
        webp(b"VP9 ", bytes(20)),
    ],
)
def test_what_is_not_plain_to_see_has_no_size(data: bytes) -> None:
    assert size_of(encoded(data)) is None


def test_what_is_no_base64_has_no_size() -> None:
    given = encoded(png(10, 10))
    for spoiled in ("*" + given, given[:9] + "\n" + given[9:], "é" + given, given[1:]):
        assert size_of(spoiled) is None


# --- What a size counts ----------------------------------------------------------------------------------------


def scaled_tiles(width: int, height: int) -> int:
    """Return the tiles as OpenAI describes them, by exact fractions: into 2048 x 2048, then the short side to 768."""
    short, long = sorted((width, height))
    if long > 2048:
        short, long = max(1, short * 2048 // long), 2048
    if short > 768:
        short, long = 768, long * 768 // short
    return -(-short // 512) * -(-long // 512)


@given(SIDES, SIDES)
def test_no_documented_count_of_a_picture_exceeds_its_bound(width: int, height: int) -> None:
    size, tiles = Size(width, height), scaled_tiles(width, height)
    assert tiles <= tiles_of(size) <= tiles_of(None)
    assert tiles_of(size) == tiles_of(Size(height, width))
    dearest = dearest_picture(size, is_low=False, most=OPENAI_IMAGE)
    patches = min(1536, -(-width // 32) * -(-height // 32))
    assert max(85 + 170 * tiles, 2833 + 5667 * tiles, patches * 246 // 100) <= dearest <= OPENAI_IMAGE
    assert min(4784, width * height // 750) <= picture_tokens(size) <= picture_tokens(None) == ANTHROPIC_IMAGE


def test_the_documented_examples_count_what_they_say() -> None:
    assert 85 + 170 * tiles_of(Size(1024, 1024)) == 765
    assert 85 + 170 * tiles_of(Size(2048, 4096)) == 1105
    assert 1334 <= picture_tokens(Size(1000, 1000)) <= 1334 + 20


def picture(data: bytes, media_type: str = "image/png", **more: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{encoded(data)}", **more}}


def asked(*parts: dict[str, object], name: str = "gpt-4o", address: str = ADDRESS) -> int:
    demand = openai_chat_demand({"messages": [{"role": "user", "content": list(parts)}]}, b"{" + bytes(2000) + b"}")
    tokens = at_model(demand, name, address).input_tokens
    assert tokens is not None
    return tokens


@pytest.mark.parametrize("make", MAKERS)
def test_a_picture_costs_what_its_pixels_say_whatever_media_type_it_claims(make: Callable[[int, int], bytes]) -> None:
    small, large = (asked(picture(make(*size), "image/gif")) for size in ((700, 700), (1000, 2000)))
    assert large - small == 170 * 2


def test_low_detail_is_one_small_picture() -> None:
    high, low = asked(picture(png(4000, 4000))), asked(picture(png(4000, 4000), detail="low"))
    assert high - low == 170 * 4
    item = {"type": "input_image", "image_url": "data:image/png;base64," + encoded(png(9, 9)), "detail": "low"}
    demand = openai_response_demand({"input": [{"role": "user", "content": [item]}]}, bytes(500))
    assert (demand.images, demand.tiles, demand.picture_tokens) == (1, 0, 2833)


def test_an_unreadable_picture_and_an_unknown_model_keep_the_worst_case() -> None:
    blurred, clear = picture(b"?" * len(png(1, 1))), picture(png(4000, 1000))
    assert asked(blurred) - asked(picture(png(1000, 1000))) == 170 * 4
    new, small = (asked(one, name="something-new") for one in (blurred, clear))
    assert (asked(blurred), new - small) == (asked(clear), OPENAI_IMAGE - (2833 + 8 * 5667))
    for name, address in (("gpt-4o-audio-preview", ADDRESS), ("gpt-4o", "https://elsewhere.example/v1")):
        assert asked(blurred, name=name, address=address) - asked(blurred) == OPENAI_IMAGE - (85 + 8 * 170)
    assert asked(blurred, name="gpt-4o-2024-11-20") == asked(blurred)
