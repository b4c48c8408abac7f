"""Small simulated systems, for the tests of the engine's parts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.event_source_mapping import EventSourceMapping
from resilient_constructs.forecast.functions import Concurrency, Function, Scripted
from resilient_constructs.forecast.sqs import Message, Queue

Script = Callable[[Any], Generator[float, None, Any]]


@dataclass
class Consumed:
    """A queue, its mapping and its function."""

    queue: Queue
    mapping: EventSourceMapping
    function: Function


def consumer(engine: Engine, script: Script, *, max_concurrency: int = 10, **queue: Any) -> Consumed:
    """A function that works on each batch of a queue as the script says."""
    concurrency = Concurrency(engine)
    function = Function(engine, lambda: Scripted(engine, script, timeout=30), concurrency=concurrency)
    source = Queue(engine, **{"visibility": 60.0, **queue})
    mapping = EventSourceMapping(engine, source, function, max_concurrency=max_concurrency)
    return Consumed(queue=source, mapping=mapping, function=function)


def taking(seconds: float) -> Script:
    """Work that takes so many seconds and succeeds."""

    def work(batch: Sequence[Message]) -> Generator[float, None, set[int]]:
        yield seconds
        return set()

    return work


def failing(batch: Sequence[Message]) -> Generator[float, None, set[int]]:
    """Work that raises after a second."""
    yield 1.0
    raise ConnectionError
