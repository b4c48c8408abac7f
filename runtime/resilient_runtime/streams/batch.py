"""A stream's batch: the walk through it, with the user's handler, the clock and the poison store behind it.

The one promise: a shard's checkpoint passes no record that is neither done nor kept. Whatever goes wrong, in
the handler or here, the batch is gone on with at the first such record.
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from resilient_runtime.batch_budget import BatchBudget
from resilient_runtime.call import Boundary, Call
from resilient_runtime.in_progress import InProgress
from resilient_runtime.interruption import DeadlineExceeded, timed_out
from resilient_runtime.lifecycle import Guard, Remaining, kept_ms, under_guard
from resilient_runtime.rare_records import RareRecords
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.status import StatusLines, Teller

from .attempts import Attempts
from .effects import Sight
from .keeping import Keeping, PoisonStore
from .memory import Memory, Seen
from .records import REPLAYED, StreamRecord, records_of
from .walk import FIRST_PAUSE, LONGEST_PAUSE, Walk

__all__ = ["ParkedKeys", "StreamBatch"]


class ParkedKeys(Protocol):
    """Which keys wait until a poison record of theirs is resolved, for all environments."""

    table_name: str

    def read(self) -> set[str]:
        """The keys that are parked now; raises when that cannot be known."""
        ...

    def holds_back(self, record: StreamRecord) -> bool:
        """Whether the record comes after the one that parked its key, as it was last read."""
        ...

    def add(self, key: str, record: StreamRecord) -> None:
        """Park a key; raises when it is not known to be parked."""
        ...

    def wait(self, key: str, record: StreamRecord) -> None:
        """Note a record that is about to be kept behind its key's poison; raises when that is not known."""
        ...


class StreamBatch:
    """Gives a handler the records of a shard, one at a time or many.

    :param function: the user's ``f(data, call)``; with ``per_batch``, of a list of data
    :param poison: where poison is kept
    :param lines: writes the status records
    :param records: writes POISONED, PARKED and NOT_KEPT
    :param tell: takes each of the former
    :param downstreams: what the handler may call, by name. Without any, every failure may be the weather's
    :param boundary: what happens around each downstream call
    :param guard: interrupts the handler before its time is over
    :param in_progress: is told which record is being handled
    :param sleep: waits for better weather
    :param watched: whether every downstream's breaker would refuse calls now, were it down
    :param per_batch: whether the handler takes all records at once
    :param parked_keys: where it is shared which keys wait. Default: none does, the shard goes on
    """

    def __init__(
        self,
        function: Callable[[Any, Call], Any],
        *,
        poison: PoisonStore,
        lines: StatusLines,
        records: RareRecords,
        tell: Teller,
        downstreams: Mapping[str, DownstreamSettings],
        boundary: Boundary,
        guard: Guard,
        in_progress: InProgress,
        sleep: Callable[[float], None],
        watched: Callable[[], bool] = lambda: True,
        per_batch: bool = False,
        parked_keys: ParkedKeys | None = None,
    ) -> None:
        self._lines = lines
        self._tell = tell
        self._guard = guard
        self._sleep = sleep
        self._watched = watched
        self._per_batch = per_batch
        self._parked_keys = parked_keys
        self._convinced_after = _convincing(downstreams)
        self._memory = Memory()
        self._budget = BatchBudget()
        self._attempts = Attempts(
            function,
            lines=lines,
            tell=tell,
            downstreams=downstreams,
            boundary=boundary,
            guard=guard,
            in_progress=in_progress,
            budget=self._budget,
            per_batch=per_batch,
        )
        self._keeping = Keeping(
            poison,
            lines=lines,
            records=records,
            tell=tell,
            guard=guard,
            parked_table=None if parked_keys is None else parked_keys.table_name,
        )

    def run(self, event: Any, context: Any, remaining: Remaining) -> dict[str, list[dict[str, str]]]:
        """Handle one batch.

        :returns: Lambda's partial batch response, naming the record to go on at, or nothing
        :raises ValueError: when the event is no stream's batch, before any record is touched
        :raises Exception: what reading the parked keys raised until time was up: without them order cannot be
            kept
        """
        request_id = str(getattr(context, "aws_request_id", ""))
        try:
            records = records_of(event)
        except ValueError as error:
            call = Call(correlation_id=request_id, request_id=request_id)
            self._tell(self._lines.started, call)
            self._tell(self._lines.failed, call, 0.0, error, event)
            raise
        if not records:
            return {"batchItemFailures": []}
        # What is replayed has been waiting already.
        replayed = isinstance(event, Mapping) and event.get(REPLAYED) is True
        parked_keys = None if replayed else self._parked_keys
        self._budget.begin()
        names = [record.sequence for record in records]
        # What was kept when the shard had it was not done: it is replayed for that.
        seen = Seen() if replayed else self._memory.of(records[0].shard, names)
        margin_ms = kept_ms(self._guard.margin)
        effects = _Effects(self, records, request_id, remaining, margin_ms, parked_keys, is_replayed=replayed)
        parked = effects.read_parked()
        walked = Walk(
            [record.key for record in records],
            effects,
            seen=seen,
            chunk=len(records) if self._per_batch else 1,
            convinced_after=self._convinced_after,
            parks=parked_keys is not None,
            parked_keys=parked,
            waits_for_store=not replayed,
        ).run()
        if not replayed:
            self._memory.keep(records[0].shard, names, seen, walked.resume_at)
        effects.end(walked.sights)
        if walked.resume_at is None:
            return {"batchItemFailures": []}
        first = records[walked.resume_at]
        call = self._attempts.plain([first], request_id, remaining, margin_ms)
        self._tell(self._lines.held, call, effects.why(walked.resume_at, walked.sights))
        return {"batchItemFailures": [{"itemIdentifier": first.sequence}]}


def _convincing(downstreams: Mapping[str, DownstreamSettings]) -> int | None:
    """Failed calls in a row after which a breaker would refuse; None unless every downstream has one."""
    breakers = [one.breaker for one in downstreams.values()]
    if not breakers or None in breakers:
        return None
    # Late on purpose: where there is a breaker, its policy is loaded anyway.
    from resilient_runtime.breaker.policy import BreakerPolicy

    policies = [BreakerPolicy.from_settings(one) for one in breakers if one is not None]
    # Two more: what was counted is known to be judged only with the next call.
    return max(policy.outage_calls for policy in policies) + 2


class _Effects:
    """What one invocation does for its walk."""

    def __init__(
        self,
        batch: StreamBatch,
        records: Sequence[StreamRecord],
        request_id: str,
        remaining: Remaining,
        margin_ms: int,
        parked_keys: ParkedKeys | None,
        *,
        is_replayed: bool,
    ) -> None:
        self._parked_keys = parked_keys
        self._is_replayed = is_replayed
        self._batch = batch
        self._records = records
        self._invocation = request_id, remaining, margin_ms
        self._whole = batch._guard.left()
        self._last: dict[int, Call] = {}
        self._had_time = True

    def read_parked(self) -> set[str]:
        """Which keys wait. A batch that failed at once would use up its retries while the table is away."""
        parked_keys, guard = self._parked_keys, self._batch._guard
        if parked_keys is None:
            return set()
        seconds, is_told = FIRST_PAUSE, False
        while True:
            try:
                parked = under_guard(guard, parked_keys.read)
            except (Exception, DeadlineExceeded) as error:
                if not is_told:
                    is_told = True
                    first = self._records[0]
                    call = self._batch._attempts.plain([first], *self._invocation)
                    self._batch._keeping.refused(first, call, error, "read")
                if not self.pause(seconds):
                    if isinstance(error, DeadlineExceeded):
                        raise timed_out(error) from error
                    raise
            else:
                if not parked:
                    return set()
                # Poison is parked before it is kept, so the one that parked its key may be nowhere else.
                firsts = {record.key: record for record in reversed(self._records)}
                return {key for key in parked if key in firsts and parked_keys.holds_back(firsts[key])}
            seconds = min(seconds * 2, LONGEST_PAUSE)

    def attempt(self, positions: Sequence[int]) -> Sight:
        records = [self._records[at] for at in positions]
        # Begun late, it would be interrupted whatever it is; begun early, it takes too long.
        early = self._batch._guard.left() >= self._whole / 2
        call, sight = self._batch._attempts.make(records, *self._invocation, early=early)
        if len(positions) == 1:
            self._last[positions[0]] = call
        return sight

    def store(self, position: int, sight: Sight, strikes: int) -> bool:
        record, call = self._records[position], self._last[position]
        if self._is_replayed:
            # Stored anew it would be out of the way of its followers, which are replayed with it.
            return False
        # What is not parked is not kept either: its followers would pass.
        return self._noted(record, call, lambda keys: keys.add(record.key, record)) and (
            self._batch._keeping.poison(record, call, sight, strikes)
        )

    def park(self, position: int) -> bool:
        if self._is_over():
            return False
        record = self._records[position]
        call = self._batch._attempts.plain([record], *self._invocation)
        # Its key may be free again, which is known the next time.
        return self._noted(record, call, lambda keys: keys.wait(record.key, record)) and (
            self._batch._keeping.park(record, call)
        )

    def _noted(self, record: StreamRecord, call: Call, note: Callable[[ParkedKeys], None]) -> bool:
        """Whether the table of parked keys has it, where there is one."""
        parked_keys = self._parked_keys
        if parked_keys is None:
            return True
        try:
            under_guard(self._batch._guard, lambda: note(parked_keys))
        except (Exception, DeadlineExceeded) as error:  # noqa: BLE001  whatever kept it from being written
            self._batch._keeping.refused(record, call, error, "park")
            return False
        return True

    def _is_over(self) -> bool:
        """Whether the time to answer has come; records that are parked take time, too."""
        guard = self._batch._guard
        over = guard.passed or guard.left() <= guard.margin
        self._had_time = self._had_time and not over
        return over

    def may_begin(self) -> bool:
        guard = self._batch._guard
        self._had_time = not guard.passed and self._batch._budget.may_begin(guard.left(), guard.margin)
        return self._had_time

    def pause(self, seconds: float) -> bool:
        guard = self._batch._guard
        usable = guard.left() - guard.margin - self._batch._budget.needed()
        if usable == float("inf"):
            # Nobody knows when this invocation ends, so nobody may wait in it.
            usable = 0.0
        if usable > 0:
            # All of it: whoever goes back sooner comes back sooner, and uses up retries in an outage.
            self._batch._sleep(min(seconds, usable))
        self._had_time = seconds <= usable
        return self._had_time

    def is_watched(self) -> bool:
        return self._batch._watched()

    def end(self, sights: Mapping[int, Sight]) -> None:
        """Give those their end that are neither kept nor will be here."""
        for position, sight in sights.items():
            if position in self._last:
                self._batch._keeping.give_back(self._records[position], self._last[position], sight)

    def why(self, position: int, sights: Mapping[int, Sight]) -> str:
        """Why the shard goes on at this record."""
        sight = sights.get(position)
        if sight is not None:
            outcome = f"its last attempt: {sight.outcome.value}"
        elif not self._had_time:
            outcome = "the time of this invocation is over"
        else:
            outcome = "a record of its key comes again before it"
        return f"the shard goes on here: {outcome}"
