"""What bad records and an outage cost a stream: with our runtime, and with a plain event source mapping.

Both meet the same four shards: 20,000 records, one in two hundred of them bad, and a downstream that is away
for half a minute. The plain one is what ``KinesisEventSource(bisect_batch_on_error=True, retry_attempts=3,
on_failure=…)`` makes around a handler that loops over its batch: what it gives up is pointed at by two
sequence numbers, and gone when the stream's retention is over. Of ours, what the process died of is pointed
at first; the resolver then fetches it, which is counted as kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resilient_runtime.application import build
from resilient_runtime.breaker import BreakerPolicy, MemoryCircuits
from resilient_runtime.call import Call
from resilient_runtime.lifecycle import NoCaretaker, NoGuard

from resilient_constructs.forecast.engine import Engine
from resilient_constructs.forecast.stream_mapping import Failed

from .harness import Result, Table
from .poison_world import Bad, Died, Load, Shard, Stream, record_of

__all__ = ["measure", "run"]

NAME = "Courier"
GOAL = {
    "good_records_lost": 0.0,
    "poison_not_kept_whole": 0.0,
    "order_broken": 0.0,
    "invocations_ratio_plain": 1.0,
    "stuck_ratio_plain": 1.0,
}


def run(repeats: int, tell: Callable[[str], None]) -> Result:
    """Simulate both, once for each seed; the figures are the worst of all seeds."""
    rows: list[list[Any]] = []
    worst: dict[str, dict[str, float]] = {}
    for seed in range(repeats):
        for side in SIDES:
            tell(f"{side}, seed {seed}")
            figures = measure(side, seed, Load())
            rows.append([f"{side}, seed {seed}", *figures.values()])
            known = worst.setdefault(side, dict(figures))
            worst[side] = {name: max(value, known[name]) for name, value in figures.items()}
    heads = ["", *(name.replace("_", " ") for name in worst["ours"])]
    ours, plain = worst["ours"], worst["plain"]
    ratios = {
        "invocations_ratio_plain": round(ours["invocations"] / plain["invocations"], 3),
        "stuck_ratio_plain": round(ours["seconds_stuck"] / plain["seconds_stuck"], 3),
    }
    return Result(
        name="poison",
        figures={**ours, **ratios, "plain": plain},
        goal=GOAL,
        tables=[Table(title="20,000 records, 100 bad, 30 s of outage", heads=heads, rows=rows)],
    )


def measure(side: str, seed: int, load: Load) -> dict[str, float]:
    """One run of one side.

    :returns: good records that were not done, poison that is pointed at only, records out of order in their
        key, invocations, calls into the outage, and seconds that the good record which waited longest did so
        beyond the outage
    """
    stream = Stream(load=load, seed=seed)
    with Engine() as engine:
        start, retries = SIDES[side]
        shards = [
            Shard(engine, stream, number, start(engine, stream), max_retries=retries)
            for number in range(load.shards)
        ]
        for shard in shards:
            engine.start(shard.run)
        engine.run()
    lost = set(stream.pointed_at)
    if side == "ours":
        # The resolver reads them from the stream, seconds later.
        stream.kept.extend(stream.pointed_at)
        lost = set()
    good = set(range(load.records)) - stream.bad.keys()
    assert good <= stream.done_at.keys() | lost | set(stream.kept)
    return {
        "good_records_lost": len(good - stream.done_at.keys()),
        "poison_not_kept_whole": len(stream.bad.keys() - set(stream.kept)),
        "order_broken": stream.order_broken,
        "invocations": stream.invocations,
        "calls_in_outage": stream.calls_in_outage,
        "seconds_stuck": _stuck(stream, shards),
    }


def _stuck(stream: Stream, shards: Sequence[Shard]) -> float:
    """How much longer than the outage the good record that waited longest had to wait."""
    began, ended = stream.load.outage
    longest = 0.0
    for number, shard in enumerate(shards):
        for position, record in enumerate(stream.of_shard(number)):
            done = stream.done_at.get(record)
            if done is not None:
                longest = max(longest, done - shard.arrives_at(position))
    return max(round(longest - (ended - began), 2), 0.0)


class _Lives(NoGuard):
    """An invocation that ends after the function's timeout."""

    def __init__(self, engine: Engine, timeout: float) -> None:
        self._engine = engine
        self._timeout = timeout
        self._ends = 0.0

    def arm(self, _: object) -> None:
        """It begins."""
        self._ends = self._engine.now + self._timeout

    def left(self) -> float:
        """Seconds until it ends."""
        return self._ends - self._engine.now


class _Kept:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def store(self, entry: Mapping[str, Any]) -> None:
        """Keep an entry."""
        self._stream.kept.append(int(entry["sequence_number"]))


def _work(engine: Engine, stream: Stream, number: int, downstream: Callable[[], Any]) -> None:
    """What the handler does with one record."""
    way = stream.bad.get(number)
    if way == Bad.DEADLY:
        raise Died
    if way == Bad.RAISES:
        raise ValueError("no address")
    with downstream():
        engine.sleep(stream.load.call)
        began, ended = stream.load.outage
        if began <= engine.now < ended:
            stream.calls_in_outage += 1
            raise ConnectionError("away")
        if way == Bad.REFUSED:
            raise ConnectionError("500")
    stream.done(number, engine.now)


_working: list[tuple[Engine, Stream]] = []


def handle(order: Mapping[str, int], call: Call) -> None:
    """The handler of our consumer, as a user writes it."""
    engine, stream = _working[-1]
    _work(engine, stream, order["order"], lambda: call.downstream(NAME))


def _ours(engine: Engine, stream: Stream) -> Callable[[Sequence[int]], int | None]:
    policy = BreakerPolicy().to_settings()
    circuits = _CIRCUITS.setdefault(id(engine), MemoryCircuits())
    _working[:] = [(engine, stream)]

    def fresh() -> Callable[..., Any]:
        return build(
            {
                "RESILIENT_HANDLER": f"{__name__}.handle",
                "RESILIENT_MODE": "records",
                "RESILIENT_SERVICE": "orders",
                "RESILIENT_STREAM": json.dumps({"poison_queue_url": "-", "poison_bucket": "-"}),
                "RESILIENT_DOWNSTREAMS": json.dumps([{"name": NAME, "breaker": policy}]),
            },
            clock=engine.clock,
            emit=lambda _: None,
            caretaker=NoCaretaker(),
            guard=_Lives(engine, stream.load.timeout),
            circuits=circuits,
            poison=_Kept(stream),
            sleep=engine.sleep,
        )

    process = [fresh()]

    def invoke(records: Sequence[int]) -> int | None:
        try:
            answer = process[0]({"Records": [record_of(stream, one) for one in records]}, _Context())
        except Died:
            process[0] = fresh()
            raise Failed from None
        failures = answer["batchItemFailures"]
        return int(failures[0]["itemIdentifier"]) if failures else None

    return invoke


class _Context:
    aws_request_id = "11111111-2222-3333-4444-555555555555"


class _Plain:
    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def _plain(engine: Engine, stream: Stream) -> Callable[[Sequence[int]], int | None]:
    def invoke(records: Sequence[int]) -> int | None:
        try:
            for one in records:
                _work(engine, stream, one, _Plain)
        except (Exception, Died) as error:
            raise Failed from error
        return None

    return invoke


_CIRCUITS: dict[int, MemoryCircuits] = {}
SIDES: Mapping[str, tuple[Callable[[Engine, Stream], Callable[[Sequence[int]], int | None]], int]] = {
    "ours": (_ours, 1),
    "plain": (_plain, 3),
}
