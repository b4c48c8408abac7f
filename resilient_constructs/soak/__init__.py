"""Soaking: a handler run warm, thousands of times, under Lambda's limits.

``ExecutionEnvironment`` is one execution environment on this machine; see its docstring.
"""

from __future__ import annotations

from .emulator import find_rie
from .environment import ExecutionEnvironment
from .errors import SoakError
from .processes import Figures
from .replies import InvocationError, Reply

__all__ = ["ExecutionEnvironment", "Figures", "InvocationError", "Reply", "SoakError", "find_rie"]
