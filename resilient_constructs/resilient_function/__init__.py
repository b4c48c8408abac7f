"""A Lambda function that runs the user's handler through our universal entry point."""

from __future__ import annotations

from .construct import ResilientFunction
from .handler import Handler
from .layer import RuntimeLayer
from .signals import async_signals, function_panels, function_section, function_signals

__all__ = [
    "Handler",
    "ResilientFunction",
    "RuntimeLayer",
    "async_signals",
    "function_panels",
    "function_section",
    "function_signals",
]
