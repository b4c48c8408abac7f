"""An app of one stack that was deployed to the local AWS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resilient_constructs.local import Deployment, LocalAws

__all__ = ["Deployed"]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """What was deployed.

    :cvar stack: the name of its stack
    """

    stack: ClassVar[str]
    deployment: Deployment

    @property
    def aws(self) -> LocalAws:
        """The local AWS it is on."""
        return self.deployment.aws

    def made(self, kind: str, begins: str = "") -> str:
        """The physical ID of the one resource of a type whose logical ID begins so."""
        parts = self.deployment.templates[self.stack].resources
        (found,) = [name for name, part in parts.items() if part.type == kind and name.startswith(begins)]
        return self.deployment.physical_id(found)
