"""How large the longest runs are.

By default a part of the whole, which goes through everything that the whole goes through, so that all tests
stay within minutes. ``make acceptance`` runs them in full.
"""

from __future__ import annotations

import os
from typing import TypeVar

__all__ = ["sized"]

_T = TypeVar("_T")


def sized(full: _T, part: _T) -> _T:
    """The size of a run."""
    return full if os.environ.get("RESILIENT_FULL_RUNS") == "1" else part
