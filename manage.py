#!/usr/bin/env python
"""Millrace's command line: every `python manage.py …` starts here."""

import os
import sys
from pathlib import Path

# platform/ is a source root, not a package: put it on the path so that a checkout works uninstalled.
sys.path.insert(0, str(Path(__file__).resolve().parent / "platform"))


def main() -> None:
    """Run the Django command named on the command line, with development settings unless told otherwise."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "millrace.settings.dev")
    # Line by line also into a file or a container's log: a program that waits would show nothing for hours.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    from django.core.management import execute_from_command_line  # Django must see the path above first

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
