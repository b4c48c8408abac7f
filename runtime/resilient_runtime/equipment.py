"""What an execution environment is put together from, each part made as the settings say.

Most are imported late on purpose: a function pays at its cold start only for what it uses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .batch import DeadLetters
from .call import Boundary, Call
from .clock import Clock
from .deadline import Deadline, Firing
from .handler_lookup import Handler, folder_of
from .health.caretaker import Caretaker as HealthCaretaker
from .in_progress import InProgress
from .last_receive import LastReceive
from .lifecycle import Caretaker, Guard, NoCaretaker
from .reserve import Reserve
from .settings import DownstreamSettings, Settings
from .status import StatusLines, Teller
from .stores.dead_letters import DeadLetterQueue

if TYPE_CHECKING:
    from .breaker import CircuitStore, GuardedBoundary
    from .evictions import Archive, Evictions, TellsEvents
    from .pacing import Pacer
    from .rare_records import RareRecords
    from .returning import ChangesVisibility, Returns

__all__ = [
    "Recorded",
    "caretaker_of",
    "deadline_of",
    "evictions_of",
    "last_receive_of",
    "load_configuration",
    "made_idempotent",
    "paced",
    "rare_records",
    "returns_of",
    "with_breakers",
]


def caretaker_of(
    settings: Settings,
    env: Mapping[str, str],
    *,
    emit: Callable[[str], None],
    tell: Teller,
    reserve: Reserve,
    irreplaceable: Callable[[], str | None],
    about: Mapping[str, Any],
) -> Caretaker:
    """Who looks after the environment; nobody, where he cannot be had: that must not keep it from work."""
    try:
        return HealthCaretaker(
            settings.health,
            env=env,
            clock=about["clock"],
            emit=emit,
            reserve=reserve,
            irreplaceable=irreplaceable,
        )
    except Exception as error:  # noqa: BLE001  whatever is wrong there, messages are handled all the same
        tell(StatusLines(**about).broken, "health", error)
        return NoCaretaker()


def deadline_of(settings: Settings, lines: StatusLines, tell: Teller, in_progress: InProgress) -> Deadline:
    """What interrupts the handler before its time is over, and tells it."""

    def fired(firing: Firing) -> None:
        tell(lines.deadline, firing.subject, firing)

    def cannot(reason: str) -> None:
        tell(lines.unguarded, reason)

    return Deadline(
        setting=settings.deadline_margin,
        on_fire=fired,
        tell=cannot,
        home=folder_of(settings.handler),
        subject=lambda: in_progress.call,
    )


def with_breakers(
    settings: Settings,
    inner: Boundary,
    circuits: CircuitStore | None,
    lines: StatusLines,
    tell: Teller,
    random: Callable[[], float],
) -> GuardedBoundary:
    """A boundary with a breaker for each downstream that has one."""
    # Late on purpose: dataclasses and a client for the table take longer than all the rest of a start.
    from .breaker.equipment import guarded
    from .stores.circuits import DynamoDBCircuits

    store = circuits or DynamoDBCircuits(settings.circuits_table or "")
    return guarded(settings.downstreams, inner, store=store, lines=lines, tell=tell, random=random)


def paced(
    inner: Boundary, clock: Clock, random: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[Pacer, Boundary]:
    """A boundary whose calls wait for their turn."""
    from .paced_boundary import PacedBoundary
    from .pacing import Pacer

    pacer = Pacer(clock=clock, random=random, sleep=sleep)
    return pacer, PacedBoundary(pacer, inner)


def returns_of(
    visibility: ChangesVisibility | None, clock: Clock, random: Callable[[], float], pacer: Pacer | None
) -> Returns:
    """What tells the queue when messages come back."""
    from .returning import Returns
    from .stores.visibility import QueueVisibility

    heed = None if pacer is None else pacer.heed
    return Returns(visibility or QueueVisibility(), clock=clock, random=random, heed=heed)


def last_receive_of(
    settings: Settings, dead_letters: DeadLetters, guard: Guard, lines: StatusLines, tell: Teller
) -> LastReceive:
    """What becomes of a message that will not come again."""
    hurried = dead_letters.hurried() if isinstance(dead_letters, DeadLetterQueue) else None
    return LastReceive(
        settings.max_receive_count,
        dead_letters=dead_letters,
        hurried=hurried,
        prepare=None if hurried is None else hurried.connect,
        guard=guard,
        lines=lines,
        tell=tell,
    )


def evictions_of(
    settings: Settings,
    archive: Archive | None,
    bus: TellsEvents | None,
    guard: Guard,
    lines: StatusLines,
    emit: Callable[[str], None],
    about: Mapping[str, Any],
) -> Evictions | None:
    """What archives messages that are too old; None where none ever is."""
    if settings.eviction is None:
        return None
    # Late on purpose: most functions do all that they are sent.
    from .evictions import Evictions
    from .stores.archive import DefaultBus, S3Archive

    return Evictions(
        settings.eviction,
        consumer=settings.service,
        archive=archive or S3Archive(settings.eviction.bucket),
        bus=bus or DefaultBus(),
        records=rare_records(emit, about),
        guard=guard,
        clock=lines.clock,
        shown=lines.shown,
    )


def load_configuration(
    settings: Settings, emit: Callable[[str], None], about: Mapping[str, Any]
) -> tuple[Callable[[], None] | None, Callable[[], frozenset[str]], Callable[[], str | None]]:
    """What starts to renew the configuration, what tells its secrets, and what of it cannot be had anew."""
    if not settings.configuration:
        return None, frozenset, lambda: None
    # Late on purpose, here and below: most functions use neither, and both import much.
    from .configured import configuration

    configuration.load(settings.configuration, emit=emit, **about)

    def irreplaceable() -> str | None:
        names = configuration.relied_on()
        if not names:
            return None
        return f"the store of {', '.join(names)} does not answer, and what is there would be lost"

    return configuration.refresh_in_background, configuration.known_secrets, irreplaceable


def made_idempotent(
    function: Handler, settings: Settings, emit: Callable[[str], None], about: Mapping[str, Any]
) -> Handler:
    """The handler, which does nothing twice where the settings say so."""
    if settings.idempotency is None:
        return function
    from .idempotency import make_idempotent

    return make_idempotent(
        function,
        settings.idempotency,
        function_name=about["function_name"],
        records=rare_records(emit, about),
    )


def rare_records(emit: Callable[[str], None], about: Mapping[str, Any]) -> RareRecords:
    """Writes the records that few environments ever write."""
    from .rare_records import RareRecords

    return RareRecords(emit=emit, **about)


class Recorded:
    """A boundary that lets every call pass and records how it went."""

    def __init__(self, lines: StatusLines, tell: Teller) -> None:
        self._lines = lines
        self._tell = tell

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        """Let it pass."""

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        """Nothing was held for it."""

    def done(self, call: Call, error: BaseException | None) -> None:
        """Nothing waits for it."""

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        """Record it."""
        self._tell(self._lines.called, call, downstream.name, seconds, error)
