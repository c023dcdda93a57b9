"""Measure: `python -m tests.bench [--rounds 5] [--seconds 3]`."""

import argparse
import os

import django

parser = argparse.ArgumentParser(description="Measure the gateway beside a bare pass-through proxy.")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--seconds", type=float, default=3)
arguments = parser.parse_args()

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.bench import gateway  # noqa: E402

gateway.main(arguments.rounds, arguments.seconds)
