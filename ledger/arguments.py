"""Arguments of the commands that scripts rely on."""

import argparse
from decimal import Decimal

from ledger.money import InexactAmount, exact


def amount(text: str) -> Decimal:
    """Read an amount such as 12.50; refuses exponents, signs, thousands marks and more than twelve places."""
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount such as 12.50")
    try:
        return exact(text)
    except InexactAmount as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def whole(text: str, most: int = 10**15) -> int:
    """Read a count such as 1000; refuses signs, thousands marks and more than `most`."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number such as 1000")
    if len(text) > 18 or int(text) > most:
        raise argparse.ArgumentTypeError(f"{text} is more than {most}")
    return int(text)
