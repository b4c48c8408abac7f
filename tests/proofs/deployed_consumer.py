"""A consumer that was deployed, as the proofs on the local AWS see it."""

from __future__ import annotations

from dataclasses import dataclass

from deployed import Deployed

from resilient_constructs.local.permissions import policies_of

__all__ = ["DeployedConsumer"]


@dataclass(frozen=True, kw_only=True)
class DeployedConsumer(Deployed):
    """The deployed consumer, and what one can do to it."""

    @property
    def role(self) -> str:
        """The ARN of the function's role."""
        (found,) = {one.owner for one in policies_of(self.aws, [self.stack]) if "FunctionRole" in one.owner}
        return found
