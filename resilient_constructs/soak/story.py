"""What a soak found: what was observed, what it means, and what is to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .prediction import Outlook
from .processes import Figures
from .replies import InvocationError

__all__ = ["RESOURCES", "Culprit", "Observation", "Progress", "Resource", "ResourceName", "Story", "amount"]

_MB = 1 << 20

ResourceName = Literal["descriptors", "memory", "tmp", "threads"]
RESOURCES: tuple[ResourceName, ...] = ("descriptors", "memory", "tmp", "threads")


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One invocation.

    :param figures: what the runtime used after it
    :param seconds: how long it took
    """

    figures: Figures
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far it is.

    :param phase: what is going on
    :param done: invocations so far
    :param wanted: invocations at most
    :param last: the last one
    """

    phase: str
    done: int
    wanted: int
    last: Observation


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One of the things that run out.

    :param name: descriptors, memory, tmp or threads
    :param limit: the most there may be; bytes for memory and tmp
    :param values: use after each invocation; None was not seen
    :param outlook: what will become of it
    """

    name: ResourceName
    limit: float
    values: Sequence[int | None]
    outlook: Outlook


@dataclass(frozen=True, kw_only=True, slots=True)
class Culprit:
    """Something that is left behind.

    :param what: a file, a socket with its peer, objects
    :param where: the line of the user's code, empty where it is not known
    :param count: how many in the explaining run
    :param size: bytes, 0 where that makes no sense
    """

    what: str
    where: str
    count: int
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """A finished soak.

    :param handler: as the user named it
    :param engine: which engine ran it
    :param has_own_tmp: whether ``/tmp`` was a file system of its own
    :param wanted: how many invocations were asked for
    :param limits: what the environment had
    :param observations: one for each invocation that was made, the failed one included
    :param resources: each with its outlook
    :param leak: the resource that runs out first, None where none does
    :param predicted: what was said of it: after a tenth of the way where the run went on to the failure, at
        the end otherwise
    :param failed_at: the invocation that failed, None where none did
    :param error: why it failed
    :param culprits: what is left behind, the most first
    :param explained_in: how many invocations the explaining run had
    :param restarts: processes that Lambda had to replace
    :param recycles: how often the runtime executed itself anew
    :param notes: what else must be known to judge
    :param seconds: how long it all took
    """

    handler: str
    engine: str
    has_own_tmp: bool
    wanted: int
    limits: Mapping[ResourceName, float]
    observations: Sequence[Observation]
    resources: Mapping[ResourceName, Resource]
    leak: ResourceName | None
    predicted: Outlook | None
    failed_at: int | None
    error: InvocationError | None
    culprits: Sequence[Culprit] = ()
    explained_in: int = 0
    restarts: int = 0
    recycles: int = 0
    notes: Sequence[str] = field(default_factory=tuple)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing leaks and nothing failed."""
        return self.leak is None and self.failed_at is None

    def to_json(self) -> dict[str, object]:
        """What a CI job reads, and nothing else."""
        predicted = self.predicted
        return {
            "leak": self.leak,
            "fails_at": None if predicted is None else predicted.fails_at,
            "interval": None if predicted is None or predicted.interval is None else list(predicted.interval),
            "failed_at": self.failed_at,
        }


def amount(name: ResourceName, value: float) -> str:
    """A number of this resource, as people read it."""
    if name not in ("memory", "tmp"):
        return f"{value:,.0f}"
    return f"{value / _MB:,.0f} MB" if value % _MB == 0 else f"{value / _MB:,.1f} MB"
