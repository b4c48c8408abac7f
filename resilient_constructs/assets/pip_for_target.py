"""Runs pip with the environment markers of another machine: ``pip_for_target.py MARKERS_JSON ARGUMENT...``.

pip takes ``--platform`` and ``--python-version`` for wheel tags, but asks *this* interpreter when a
dependency says ``; python_version >= "3.12"`` or ``; sys_platform == "darwin"``. Installing from macOS for
Lambda would leave out what Lambda needs. This file is run by path and imports nothing of its package.
"""

from __future__ import annotations

import json
import sys


def main(markers: str, arguments: list[str]) -> int:
    """Run pip as if on the machine that the markers describe."""
    from pip._internal.cli.main import main as pip
    from pip._vendor.packaging import markers as packaging_markers

    there = json.loads(markers)
    here = packaging_markers.default_environment
    packaging_markers.default_environment = lambda: {**here(), **there}
    return int(pip(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
