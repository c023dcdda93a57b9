"""What OpenAI publishes of some of its models: how they cut text into tokens, and how they count pictures.

It tightens the bound of a call to one of these models at OpenAI itself; whatever else is called so elsewhere, and
every model that is not named here, keeps the bound that holds for all.

Text. These models use o200k_base (`tiktoken/model.py`). Text is first cut into words, a word with the space before it;
a word becomes tokens by merging, until no two neighbours together are a token. In o200k_base every pair of two of the
letters `LETTERS` is a token, and so is every space with one or two of them, but for `NO_PIECE`. So in a run of such
letters no two tokens of one byte are neighbours: of three bytes one at least is saved. Where a space begins the run,
its first two tokens together have four bytes at least, which saves one more.

Pictures. "Calculate costs" at platform.openai.com/docs/guides/images-vision: scaled into 2048 x 2048, then to a
shortest side of 768, cut into tiles of 512 x 512: so many tokens for the picture and for each tile; `detail: low` is
the picture alone.
"""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from allocations.metering.bounds import Demand
from allocations.metering.pixels import Size

LETTERS = "abcdefghilmnoprstuw"
NO_PIECE = " uo"
_LETTERS_ALIKE = bytes(ord("a") if chr(byte) in LETTERS else byte if byte == ord(" ") else 0 for byte in range(256))

MOST_TILES = 8
TILE, SHORT_SIDE, PATCH = 512, 768, 32

HOSTS = {"api.openai.com", "eu.api.openai.com", "us.api.openai.com"}
SNAPSHOT = re.compile(r"-20\d\d-\d\d-\d\d$")


class Counting(NamedTuple):
    """How a model counts pictures, in tokens."""

    picture: int
    tile: int


MODELS = {
    "gpt-4o": Counting(85, 170),
    "gpt-4.1": Counting(85, 170),
    "gpt-4o-mini": Counting(2833, 5667),
    "o1": Counting(75, 150),
    "o3": Counting(75, 150),
    "gpt-5": Counting(70, 140),
}
# The dearest of all models at hand, published or not: tiles of one, or patches with a factor of three.
DEAREST = MODELS["gpt-4o-mini"]
DEAREST_PATCH = 3


@lru_cache(maxsize=1024)
def counting_of(name: str, base_url: str) -> Counting | None:
    """Return how a model at an address counts; None where that is not published."""
    return MODELS.get(SNAPSHOT.sub("", name)) if urlsplit(base_url).hostname in HOSTS else None


def at_model(demand: Demand, name: str, base_url: str) -> Demand:
    """Return what a request can use at most at a model: less, where OpenAI publishes how that model counts."""
    counting = counting_of(name, base_url)
    if counting is None or demand.input_tokens is None:
        return demand
    pictures = counting.picture * demand.images + counting.tile * demand.tiles
    tokens = demand.input_tokens - demand.spared - demand.picture_tokens + pictures
    return demand._replace(input_tokens=tokens, picture_tokens=pictures, spared=0, is_published=True)


def tiles_of(size: Size | None) -> int:
    """Return the most tiles of a picture; the most there can be when its size is not known."""
    if size is None:
        return MOST_TILES
    short, long = sorted(size)
    # As if small pictures were scaled up, which not all that is published denies. No rounding on the way makes it more:
    # where a further tile begins, the sides of a picture within 2048 x 2048 are whole numbers.
    return 2 * min(MOST_TILES // 2, -(-(SHORT_SIDE * long) // (TILE * short)))


def dearest_picture(size: Size, *, is_low: bool, most: int) -> int:
    """Return the most tokens of a picture at any model, `most` at most."""
    tiles = 0 if is_low else tiles_of(size)
    patches = -(-size.width // PATCH) * -(-size.height // PATCH)
    return min(most, max(DEAREST.picture + DEAREST.tile * tiles, DEAREST_PATCH * patches))


def spared_in(text: str) -> int:
    """Return how many tokens fewer than bytes a text has at least, in o200k_base."""
    alike = text.encode(errors="replace").translate(_LETTERS_ALIKE)
    # Of n letters after a space, 2 + (n - 2) // 3 are saved, and of n others n // 3: n // 5 is at most that, and quick.
    spared = 2 * alike.count(b" aa") + alike.count(b"aaaaa")
    # An apostrophe may cut a word in two.
    return max(0, spared - text.count("'") - 2 * text.count(NO_PIECE))
