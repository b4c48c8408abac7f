from __future__ import annotations

import sys

# These prove what only Linux has, as Lambda does: /proc, and a process that replaces its own program.
# Elsewhere the runtime has fewer figures and no recycling, which the other files prove on every system.
if sys.platform != "linux":
    collect_ignore = [
        "test_attribution.py",
        "test_probe_on_linux.py",
        "test_recycle.py",
        "test_tmp.py",
    ]
