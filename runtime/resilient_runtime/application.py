"""Puts the runtime together for one execution environment: settings, the user's handler, and its mode."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .batch import Batch, DeadLetters
from .call import Boundary, Call
from .chance import uniform
from .claim_check import made_whole
from .clock import SYSTEM_CLOCK, Clock
from .deadline import Deadline, Firing
from .diagnostics import Diagnostics
from .handler_lookup import Handler, find_handler, folder_of
from .health.caretaker import Caretaker as HealthCaretaker
from .in_progress import InProgress
from .last_receive import LastReceive
from .late_returns import LateReturns
from .lifecycle import Caretaker, Guard, NoCaretaker, around
from .per_event import per_event
from .refusals import refuses_nothing, watches_nothing
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
    from .streams.batch import ParkedKeys
    from .streams.keeping import PoisonStore

__all__ = ["build", "print_line"]


def print_line(line: str) -> None:
    """Write one line to standard output at once.

    Flushed, because an invocation that is killed a moment later must leave its STARTED record behind. A line
    that cannot be written is given up: a completed message must not come back because a log is full.
    """
    try:
        out = sys.stdout
        # One write with its newline, so that threads cannot tear a line apart.
        out.write(line + "\n")
        out.flush()
    except Exception:  # noqa: BLE001, S110
        pass


def build(
    env: Mapping[str, str],
    *,
    clock: Clock = SYSTEM_CLOCK,
    emit: Callable[[str], None] = print_line,
    dead_letters: DeadLetters | None = None,
    caretaker: Caretaker | None = None,
    guard: Guard | None = None,
    circuits: CircuitStore | None = None,
    visibility: ChangesVisibility | None = None,
    archive: Archive | None = None,
    bus: TellsEvents | None = None,
    poison: PoisonStore | None = None,
    parked_keys: ParkedKeys | None = None,
    random: Callable[[], float] = uniform,
    sleep: Callable[[float], None] = time.sleep,
) -> Handler:
    """The function that Lambda calls, as the environment variables describe it.

    :param clock: the time. Default: the machine's
    :param emit: takes each status record. Default: standard output
    :param dead_letters: where rejected messages go. Default: the queue that the settings name
    :param caretaker: who looks after the environment. Default: as the settings say
    :param guard: who interrupts the handler before its time is over. Default: as the settings say
    :param circuits: where the breakers' circuits are shared. Default: the table that the settings name
    :param visibility: where it is told when messages return. Default: the queue that they come from
    :param archive: where evicted messages go. Default: the bucket that the settings name
    :param bus: who is told of them. Default: the account's default event bus
    :param poison: where a stream's poison is kept. Default: the queue and bucket that the settings name
    :param parked_keys: where it is shared which keys wait. Default: the table that the settings name
    :param random: from 0 up to 1, for jitter. Default: the operating system's
    :param sleep: waits for a turn, and where a circuit is open. Default: ``time.sleep``
    :raises ValueError: when the settings are missing or contradict each other
    :raises HandlerNotFound: when the user's module or function does not exist
    """
    settings = Settings.from_env(env)
    if settings.mode == "messages" and dead_letters is None and not settings.dead_letter_queue_url:
        raise ValueError(
            "RESILIENT_DEAD_LETTER_QUEUE_URL is not set: in mode 'messages' a rejected message needs "
            "a queue that keeps it"
        )
    if settings.mode == "records" and settings.stream is None:
        raise ValueError(
            "RESILIENT_STREAM is not set: in mode 'records' a poison record needs a queue that keeps it"
        )
    has_breaker = any(one.breaker is not None for one in settings.downstreams)
    if has_breaker and circuits is None and not settings.circuits_table:
        raise ValueError(
            "RESILIENT_CIRCUITS_TABLE is not set: a downstream with a breaker needs the table in which all "
            "environments share its circuit"
        )
    about: dict[str, Any] = {
        "service": settings.service,
        "function_name": env.get("AWS_LAMBDA_FUNCTION_NAME") or settings.service,
        "clock": clock,
    }
    tell = Teller(emit)
    reserve = Reserve()
    refresh, known_secrets, irreplaceable = _load_configuration(settings, emit, about)
    # After the configuration: the user's module may need it while it is imported.
    function = find_handler(settings.handler)
    if caretaker is None:
        try:
            caretaker = HealthCaretaker(
                settings.health,
                env=env,
                clock=clock,
                emit=emit,
                reserve=reserve,
                irreplaceable=irreplaceable,
            )
        except Exception as error:  # noqa: BLE001  whoever looks after the environment must not keep it from work
            tell(StatusLines(**about).broken, "health", error)
            caretaker = NoCaretaker()
    lines = StatusLines(
        **about,
        diagnostics=Diagnostics(
            settings.redaction,
            facts=caretaker.facts,
            known_secrets=known_secrets,
            home=folder_of(settings.handler),
            reserve=reserve,
        ),
        may_refuse=any(one.may_refuse for one in settings.downstreams),
    )
    in_progress = InProgress()
    guard = guard or _deadline(settings, lines, tell, in_progress)
    downstreams = {one.name: one for one in settings.downstreams}
    boundary: Boundary = _Recorded(lines, tell)
    refuses: Callable[[str], bool] = refuses_nothing
    watched: Callable[[], bool] = watches_nothing
    pacer: Pacer | None = None
    if any(one.is_paced for one in settings.downstreams):
        # Inside the breaker: who is refused need not wait for a turn.
        pacer, boundary = _paced(boundary, clock, random, sleep)
    if has_breaker:
        boundary = guarded = _guarded(settings, boundary, circuits, lines, tell, random)
        refuses, watched = guarded.refuses, guarded.is_watching
    if settings.mode == "event":
        work = per_event(
            made_whole(function),
            lines=lines,
            tell=tell,
            downstreams=downstreams,
            boundary=boundary,
            guard=guard,
            in_progress=in_progress,
        )
    elif settings.mode == "records" and settings.stream is not None:
        # Late on purpose: no other mode needs any of it.
        from .streams.equipment import stream_batch

        work = stream_batch(
            settings.stream,
            _made_idempotent(function, settings, emit, about),
            lines=lines,
            tell=tell,
            records=_rare_records(emit, about),
            downstreams=downstreams,
            boundary=boundary,
            guard=guard,
            in_progress=in_progress,
            sleep=sleep,
            watched=watched,
            poison=poison,
            parked_keys=parked_keys,
        ).run
    else:
        work = Batch(
            _made_idempotent(function, settings, emit, about),
            dead_letters=(kept := dead_letters or DeadLetterQueue(settings.dead_letter_queue_url or "")),
            last_receive=_last_receive(settings, kept, guard, lines, tell),
            lines=lines,
            tell=tell,
            downstreams=downstreams,
            boundary=boundary,
            guard=guard,
            in_progress=in_progress,
            refuses=refuses,
            returns=LateReturns(partial(_returns, visibility, clock, random, pacer)),
            urgent_queue=settings.urgent_queue_arn,
            evictions=_evictions(settings, archive, bus, guard, lines, emit, about),
            sleep=sleep,
            random=random,
        ).run
    return around(work, caretaker=caretaker, guard=guard, refresh=refresh, lines=lines, tell=tell)


def _deadline(settings: Settings, lines: StatusLines, tell: Teller, in_progress: InProgress) -> Deadline:
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


def _guarded(
    settings: Settings,
    inner: Boundary,
    circuits: CircuitStore | None,
    lines: StatusLines,
    tell: Teller,
    random: Callable[[], float],
) -> GuardedBoundary:
    # Late on purpose: dataclasses and a client for the table take longer than all the rest of a start.
    from .breaker.equipment import guarded
    from .stores.circuits import DynamoDBCircuits

    store = circuits or DynamoDBCircuits(settings.circuits_table or "")
    return guarded(settings.downstreams, inner, store=store, lines=lines, tell=tell, random=random)


def _paced(
    inner: Boundary, clock: Clock, random: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[Pacer, Boundary]:
    from .paced_boundary import PacedBoundary
    from .pacing import Pacer

    pacer = Pacer(clock=clock, random=random, sleep=sleep)
    return pacer, PacedBoundary(pacer, inner)


def _returns(
    visibility: ChangesVisibility | None, clock: Clock, random: Callable[[], float], pacer: Pacer | None
) -> Returns:
    from .returning import Returns
    from .stores.visibility import QueueVisibility

    heed = None if pacer is None else pacer.heed
    return Returns(visibility or QueueVisibility(), clock=clock, random=random, heed=heed)


def _last_receive(
    settings: Settings, dead_letters: DeadLetters, guard: Guard, lines: StatusLines, tell: Teller
) -> LastReceive:
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


def _evictions(
    settings: Settings,
    archive: Archive | None,
    bus: TellsEvents | None,
    guard: Guard,
    lines: StatusLines,
    emit: Callable[[str], None],
    about: Mapping[str, Any],
) -> Evictions | None:
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
        records=_rare_records(emit, about),
        guard=guard,
        clock=lines.clock,
        shown=lines.shown,
    )


def _load_configuration(
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


def _made_idempotent(
    function: Handler, settings: Settings, emit: Callable[[str], None], about: Mapping[str, Any]
) -> Handler:
    if settings.idempotency is None:
        return function
    from .idempotency import make_idempotent

    return make_idempotent(
        function,
        settings.idempotency,
        function_name=about["function_name"],
        records=_rare_records(emit, about),
    )


def _rare_records(emit: Callable[[str], None], about: Mapping[str, Any]) -> RareRecords:
    from .rare_records import RareRecords

    return RareRecords(emit=emit, **about)


class _Recorded:
    """A boundary that lets every call pass and records how it went."""

    def __init__(self, lines: StatusLines, tell: Teller) -> None:
        self._lines = lines
        self._tell = tell

    def enter(self, call: Call, downstream: DownstreamSettings) -> None:
        pass

    def give_up(self, call: Call, downstream: DownstreamSettings) -> None:
        pass

    def done(self, call: Call, error: BaseException | None) -> None:
        pass

    def leave(
        self, call: Call, downstream: DownstreamSettings, seconds: float, error: BaseException | None
    ) -> None:
        self._tell(self._lines.called, call, downstream.name, seconds, error)
