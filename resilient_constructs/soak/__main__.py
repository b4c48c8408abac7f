"""``python -m resilient_constructs.soak``: fetch AWS's runtime emulator now; later runs work offline."""

from __future__ import annotations

import sys

from .emulator import fetch_rie
from .errors import SoakError

if __name__ == "__main__":
    try:
        fetch_rie()
    except SoakError as error:
        sys.exit(str(error))
