"""The function that Lambda is told to call: ``resilient_runtime.entry.handler``.

Importing this module is the init phase: the settings are read and the user's module is imported while Lambda
lends a whole processor, and a handler that does not exist fails the deployment's first invocation, loudly.
"""

from __future__ import annotations

import os

from .application import build

__all__ = ["handler"]

try:
    handler = build(os.environ)
except BaseException:  # a module may call sys.exit() for want of its configuration
    # Late: a start that succeeds, as nearly all do, has no need of it.
    from .health.recycle import start_again_after_failure

    if not start_again_after_failure(os.environ):
        raise
    from .late_start import built_when_called

    handler = built_when_called(build, os.environ)
