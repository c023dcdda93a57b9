"""Measure: `python -m tests.bench [bounds] [gateway] [ledger] [--rounds 5] [--seconds 3] [--size 1000000]`."""

import argparse
import os

import django

parser = argparse.ArgumentParser(description="Measure the bounds, the gateway beside a bare proxy, and the ledger.")
parser.add_argument(
    "what", nargs="*", default=["bounds", "gateway", "ledger"], help="bounds, gateway, ledger; all when left out"
)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=3, help="of each round of the gateway")
parser.add_argument(
    "--size", type=int, default=1_000_000, help="postings and usage records of the ledger's large cases"
)
arguments = parser.parse_args()

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.bench import bounds, gateway, ledger  # noqa: E402

if "bounds" in arguments.what:
    bounds.main()
if "gateway" in arguments.what:
    gateway.main(arguments.rounds, arguments.seconds)
if "ledger" in arguments.what:
    ledger.main(arguments.rounds, arguments.size)
