"""How sick an execution environment may become, and how far its cure may go, as users say it."""

from __future__ import annotations

from dataclasses import dataclass

from resilient_runtime.settings import HealthSettings

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .limits import HEALTH_THRESHOLD

__all__ = ["ContainerHealth"]

_RUNTIMES = HealthSettings()
"""What the runtime does when it is told nothing: a default is written down once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerHealth:
    """When an execution environment counts as sick, and how far its cure may go.

    The figures are open descriptors, memory, ``/tmp`` and threads. Past the threshold the runtime first
    cleans up, then re-executes the interpreter between two invocations, then exits at the start of an
    invocation that its source repeats. No step loses or fails an invocation; each is logged and counted.

    :param threshold: the share of the headroom that may be used, 0.1 to 0.95. The headroom lies between what
        a fresh environment uses and Lambda's limit. Default: half of it
    :param reexec: whether the interpreter may be re-executed. It never is under SnapStart. Default: yes
    :param exit: whether the environment may exit; only where the source repeats the invocation (a queue, or
        asynchronous events with retries), so that none is lost. Default: yes
    :param update_function: whether the function may, as the last resort, change a variable of its own
        configuration, which replaces all of its environments; those of a published version or an alias stay
        as they are. It is then granted ``lambda:UpdateFunctionConfiguration`` and
        ``lambda:GetFunctionConfiguration`` on itself. Default: no
    :param allocations: whether allocations are traced, so that a memory leak is told by its line of code;
        this slows Python down and takes memory of its own. Default: no

    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """

    threshold: float = _RUNTIMES.threshold
    reexec: bool = _RUNTIMES.reexec
    exit: bool = _RUNTIMES.exit
    update_function: bool = _RUNTIMES.update_function
    allocations: bool = _RUNTIMES.allocations

    def check(self, faults: Faults) -> None:
        """Note a threshold that would cure a healthy environment, or a sick one too late."""
        if is_token(self.threshold):
            # it stands inside JSON in one variable, and the alarm is computed from it
            faults.add(HEALTH_THRESHOLD.prop, "a token", "a number known at synth", HEALTH_THRESHOLD.page)
        else:
            faults.check(HEALTH_THRESHOLD, self.threshold)

    def settings(self, *, retried: bool) -> HealthSettings:
        """What the runtime is told.

        :param retried: whether the source repeats an invocation whose environment exits
        """
        return HealthSettings(
            threshold=self.threshold,
            reexec=self.reexec,
            exit=self.exit,
            retried=retried,
            update_function=self.update_function,
            allocations=self.allocations,
        )
