"""Prints the direct dependencies in pyproject.toml, one a line, with those of the extras named on the command line.

The container files install from this list, so that code changes do not rebuild the layer of packages.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
wanted = project["dependencies"] + [each for extra in sys.argv[1:] for each in project["optional-dependencies"][extra]]
sys.stdout.write("\n".join(wanted) + "\n")
