#!/usr/bin/env python
"""Run Tank's administrative commands."""

import os
import sys

from marketplace import embedded
from marketplace.runtime import lifeline


def main() -> None:
    """Choose the database role and server for the command, then hand over to Django."""
    lifeline.exit_on_sigterm()
    lifeline.hold()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
    embedded.prepare_command(sys.argv)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
