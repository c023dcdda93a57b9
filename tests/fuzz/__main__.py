"""Fuzz with coverage: `python -m tests.fuzz stream|body [libFuzzer's options, such as -max_total_time=60]`.

It needs atheris (`pip install atheris`), which is no dependency of the tests; without it, it says so and ends well.
What it finds belongs as a case into `test_targets.py`.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def main(arguments: list[str]) -> None:
    """Run one target until it is stopped or finds something."""
    if find_spec("atheris") is None:
        sys.stdout.write("atheris is not installed: nothing was fuzzed. `pip install atheris` first.\n")
        return
    import atheris

    with atheris.instrument_imports(include=["allocations", "tests.fuzz"]):
        django.setup()
        from tests.fuzz.targets import SEEDS, TARGETS
    if not arguments or arguments[0] not in TARGETS:
        raise SystemExit(f"Say what to fuzz: {' or '.join(TARGETS)}.")
    with TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS[arguments[0]]()):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *arguments[1:], corpus], TARGETS[arguments[0]])
        atheris.Fuzz()


main(sys.argv[1:])
