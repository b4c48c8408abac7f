"""A local AWS without Docker: start it, deploy to it with the real CDK CLI, see what it did.

Needs the ``local`` extra: ``pip install resilient-constructs[local]``.
"""

from __future__ import annotations

from .deploy import Deployment, deploy
from .emulator import LocalAws
from .errors import LocalAwsError

__all__ = ["Deployment", "LocalAws", "LocalAwsError", "deploy"]
