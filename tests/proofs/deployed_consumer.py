"""A consumer that was deployed, as the proofs on the local AWS see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resilient_constructs.local import Deployment, LocalAws
from resilient_constructs.local.permissions import policies_of

__all__ = ["DeployedConsumer"]


@dataclass(frozen=True, kw_only=True)
class DeployedConsumer:
    """The deployed consumer, and what one can do to it.

    :cvar stack: the name of the stack it is in
    """

    stack: ClassVar[str]
    deployment: Deployment

    @property
    def aws(self) -> LocalAws:
        """The local AWS it is on."""
        return self.deployment.aws

    def made(self, kind: str, begins: str = "") -> str:
        """The physical ID of the one resource of a type whose logical ID begins so."""
        (found,) = [
            name
            for name, part in self.deployment.templates[self.stack].resources.items()
            if part.type == kind and name.startswith(begins)
        ]
        return self.deployment.physical_id(found)

    @property
    def role(self) -> str:
        """The ARN of the function's role."""
        (found,) = {one.owner for one in policies_of(self.aws, [self.stack]) if "FunctionRole" in one.owner}
        return found
