"""Parameters and secrets, as a handler reads them: ``from resilient_runtime import configuration``.

Imported only by a function that is given some, or by a handler that asks for some.
"""

from __future__ import annotations

from .reading import Configuration, ConfigurationUnavailable, UnknownConfiguration, configuration

__all__ = ["Configuration", "ConfigurationUnavailable", "UnknownConfiguration", "configuration"]
