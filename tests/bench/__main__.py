"""Measure: `python -m tests.bench [bounds] [gateway] [ledger] …`; `--help` says the rest."""

import argparse
import os
from pathlib import Path

import django

EVERYTHING = ("bounds", "gateway", "servers", "streams", "fire", "ledger", "selection", "board", "reconciliation")
TARGETS = ("proxy", "two", "nginx", "litellm", "tensorzero")

parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Tank.")
parser.add_argument("what", nargs="*", default=EVERYTHING, help=f"{', '.join(EVERYTHING)}; all when left out")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=int, default=3, help="of each round of a server")
parser.add_argument(
    "--targets", default=",".join(TARGETS), help="what the gateway is compared with, with commas between"
)
parser.add_argument("--minutes", type=float, default=5, help="of the fire")
parser.add_argument(
    "--size", type=int, default=1_000_000, help="postings and usage records of the ledger's large cases"
)
parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables of the servers as Markdown, too")
arguments = parser.parse_args()
if unknown := {*arguments.what} - {*EVERYTHING} | {*arguments.targets.split(",")} - {*TARGETS}:
    parser.error(f"there is no {', '.join(sorted(unknown))}")

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.bench import (  # noqa: E402
    board,
    bounds,
    fire,
    gateway,
    ledger,
    machine,
    reconciliation,
    selection,
    servers,
    streams,
)

machine.wait_for_disk()


def tell(table: str) -> None:
    """Print a table as soon as it is there, and add it to the file."""
    print(table)  # noqa: T201
    if arguments.write:
        with arguments.write.open("a") as file:
            file.write(f"{table}\n")


if arguments.write:
    arguments.write.write_text("")
if "bounds" in arguments.what:
    bounds.main()
if "gateway" in arguments.what:
    tell(gateway.main(arguments.rounds, arguments.seconds, arguments.targets.split(",")))
if "servers" in arguments.what:
    tell(servers.main(arguments.rounds, arguments.seconds))
if "streams" in arguments.what:
    tell(streams.main())
if "fire" in arguments.what:
    tell(fire.main(arguments.minutes))
if "ledger" in arguments.what:
    ledger.main(arguments.rounds, arguments.size)
if "selection" in arguments.what:
    tell(selection.main(arguments.rounds))
if "board" in arguments.what:
    tell(board.main())
if "reconciliation" in arguments.what:
    tell(reconciliation.main())
