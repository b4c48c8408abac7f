"""What to do with a connection, as pure functions of its times and of how its last use ended.

An execution environment is frozen between invocations, for a millisecond or for an hour, and nothing in it
runs meanwhile: whoever is at the other end may have hung up, moved, or been replaced, and the news waits in
no buffer. Both clocks are asked, because it depends on the machine which of them stands still in a freeze.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from resilient_runtime.clock import Clock

__all__ = [
    "CHECK_AFTER_SECONDS",
    "HTTP_MAX_AGE_SECONDS",
    "MAX_AGE_SECONDS",
    "Moment",
    "advise",
    "after_use",
    "lifetime",
]

MAX_AGE_SECONDS = 300.0
"""Below the 350 seconds after which NAT gateways and Network Load Balancers forget an idle connection without
a word, so that one which was forgotten is never tried.
https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-troubleshooting.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/network/update-idle-timeout.html
"""

HTTP_MAX_AGE_SECONDS = 60.0
"""The time to live of a load balancer's addresses: after it, the name is looked up again.
https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/how-elastic-load-balancing-works.html
"""

CHECK_AFTER_SECONDS = 5.0
"""Many servers hang up on a client that was silent for longer: uvicorn and Node.js after five seconds."""

# How much of its lifetime a connection may lose, so that a fleet does not reconnect all at once.
_JITTER = 0.2

# PEP 249's names for what may have left a connection in the middle of an answer. Each driver has its own
# classes by these names, so the name is all that they share. https://peps.python.org/pep-0249/#exceptions
_BROKEN = frozenset({"OperationalError", "InterfaceError", "InternalError"})


class Moment(NamedTuple):
    """Now, by both clocks."""

    wall: float
    ticks: float

    @classmethod
    def now(cls, clock: Clock) -> Moment:
        """What the clocks say."""
        return cls(clock.wall(), clock.ticks())

    def since(self, earlier: Moment) -> float:
        """Seconds from ``earlier`` to this moment, by whichever clock saw more; never below zero."""
        return max(self.wall - earlier.wall, self.ticks - earlier.ticks, 0.0)


def lifetime(max_age: float, chance: float) -> float:
    """The age at which one connection is replaced: the maximum, less up to a fifth of it by chance."""
    return max_age * (1 - _JITTER * chance)


def advise(
    *, age: float, idle: float, lifetime: float, check_after: float, closed: bool, readable: bool
) -> Literal["use", "ping", "replace"]:
    """What to do with a pooled connection that is wanted now.

    :param age: seconds since it was opened
    :param idle: seconds since it was last used
    :param lifetime: the age at which it is replaced
    :param check_after: the idle time after which it is asked whether it lives
    :param closed: whether its driver knows it to be closed
    :param readable: whether something waits to be read, which nobody asked for: a farewell, most likely
    """
    if closed or age >= lifetime:
        return "replace"
    return "ping" if readable or idle >= check_after else "use"


def after_use(error: BaseException | None) -> Literal["commit", "roll back", "close"]:
    """What becomes of a connection when its block ends like this.

    An interrupted or broken connection is closed: half an answer may be on its way, and the next user would
    take it for theirs.
    """
    if error is None:
        return "commit"
    if not isinstance(error, Exception) or isinstance(error, OSError):
        return "close"
    return "close" if any(kind.__name__ in _BROKEN for kind in type(error).__mro__) else "roll back"
