"""Puts the runtime together for one execution environment: settings, the user's handler, and its mode."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from .batch import Batch, DeadLetters
from .call import Boundary
from .chance import uniform
from .claim_check import made_whole
from .clock import SYSTEM_CLOCK, Clock
from .diagnostics import Diagnostics
from .equipment import (
    Recorded,
    caretaker_of,
    deadline_of,
    evictions_of,
    last_receive_of,
    load_configuration,
    made_idempotent,
    paced,
    rare_records,
    returns_of,
    with_breakers,
)
from .handler_lookup import Handler, find_handler, folder_of
from .in_progress import InProgress
from .late_returns import LateReturns
from .lifecycle import Caretaker, Guard, around
from .per_event import per_event
from .refusals import refuses_nothing, watches_nothing
from .reserve import Reserve
from .settings import Settings
from .status import StatusLines, Teller
from .stores.dead_letters import DeadLetterQueue

if TYPE_CHECKING:
    from .breaker import CircuitStore
    from .evictions import Archive, TellsEvents
    from .pacing import Pacer
    from .returning import ChangesVisibility
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
    _check(settings, has_dead_letters=dead_letters is not None, has_circuits=circuits is not None)
    about: dict[str, Any] = {
        "service": settings.service,
        "function_name": env.get("AWS_LAMBDA_FUNCTION_NAME") or settings.service,
        "clock": clock,
    }
    tell = Teller(emit)
    reserve = Reserve()
    refresh, known_secrets, irreplaceable = load_configuration(settings, emit, about)
    # After the configuration: the user's module may need it while it is imported.
    function = find_handler(settings.handler)
    caretaker = caretaker or caretaker_of(
        settings, env, emit=emit, tell=tell, reserve=reserve, irreplaceable=irreplaceable, about=about
    )
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
    guard = guard or deadline_of(settings, lines, tell, in_progress)
    downstreams = {one.name: one for one in settings.downstreams}
    boundary: Boundary = Recorded(lines, tell)
    refuses: Callable[[str], bool] = refuses_nothing
    watched: Callable[[], bool] = watches_nothing
    pacer: Pacer | None = None
    if any(one.is_paced for one in settings.downstreams):
        # Inside the breaker: who is refused need not wait for a turn.
        pacer, boundary = paced(boundary, clock, random, sleep)
    if _has_breaker(settings):
        boundary = guarded = with_breakers(settings, boundary, circuits, lines, tell, random)
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
            made_idempotent(function, settings, emit, about),
            lines=lines,
            tell=tell,
            records=rare_records(emit, about),
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
            made_idempotent(function, settings, emit, about),
            dead_letters=(kept := dead_letters or DeadLetterQueue(settings.dead_letter_queue_url or "")),
            last_receive=last_receive_of(settings, kept, guard, lines, tell),
            lines=lines,
            tell=tell,
            downstreams=downstreams,
            boundary=boundary,
            guard=guard,
            in_progress=in_progress,
            refuses=refuses,
            returns=LateReturns(partial(returns_of, visibility, clock, random, pacer)),
            urgent_queue=settings.urgent_queue_arn,
            evictions=evictions_of(settings, archive, bus, guard, lines, emit, about),
            sleep=sleep,
            random=random,
        ).run
    return around(work, caretaker=caretaker, guard=guard, refresh=refresh, lines=lines, tell=tell)


def _has_breaker(settings: Settings) -> bool:
    return any(one.breaker is not None for one in settings.downstreams)


def _check(settings: Settings, *, has_dead_letters: bool, has_circuits: bool) -> None:
    if settings.mode == "messages" and not has_dead_letters and not settings.dead_letter_queue_url:
        raise ValueError(
            "RESILIENT_DEAD_LETTER_QUEUE_URL is not set: in mode 'messages' a rejected message needs "
            "a queue that keeps it"
        )
    if settings.mode == "records" and settings.stream is None:
        raise ValueError(
            "RESILIENT_STREAM is not set: in mode 'records' a poison record needs a queue that keeps it"
        )
    if _has_breaker(settings) and not has_circuits and not settings.circuits_table:
        raise ValueError(
            "RESILIENT_CIRCUITS_TABLE is not set: a downstream with a breaker needs the table in which all "
            "environments share its circuit"
        )
