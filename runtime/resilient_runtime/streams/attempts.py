"""One attempt of the handler at one or more records, and whom its failure tells against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resilient_runtime.batch_budget import BatchBudget
from resilient_runtime.call import Boundary, Call, active_call
from resilient_runtime.circuit_open import CircuitOpen
from resilient_runtime.in_progress import InProgress
from resilient_runtime.interruption import DeadlineExceeded, exceeded_in
from resilient_runtime.late_answers import path_to_answer
from resilient_runtime.lifecycle import Guard, Remaining
from resilient_runtime.not_begun import NotBegun
from resilient_runtime.reject import Reject
from resilient_runtime.settings import DownstreamSettings
from resilient_runtime.slow_down import NoTurn, throttles
from resilient_runtime.status import StatusLines, Teller, text_of
from resilient_runtime.unfinished import refuse_unfinished

from .effects import Outcome, Sight
from .records import StreamRecord, key_of_list, words_of

__all__ = ["Attempts", "outcome_of"]


class Attempts:
    """Calls the handler; for the parameters see ``StreamBatch``."""

    def __init__(
        self,
        function: Callable[[Any, Call], Any],
        *,
        lines: StatusLines,
        tell: Teller,
        downstreams: Mapping[str, DownstreamSettings],
        boundary: Boundary,
        guard: Guard,
        in_progress: InProgress,
        budget: BatchBudget,
        per_batch: bool,
    ) -> None:
        self._function = function
        self._lines = lines
        self._tell = tell
        self._downstreams = downstreams
        self._boundary = boundary
        self._guard = guard
        self._in_progress = in_progress
        self._budget = budget
        self._per_batch = per_batch
        self._clock = lines.clock

    def plain(
        self, records: Sequence[StreamRecord], request_id: str, remaining: Remaining, margin_ms: int
    ) -> Call:
        """A call that says no more than where its first record stands."""
        first = records[0]
        own = f"{first.shard}:{first.sequence}"
        return Call(
            correlation_id=own,
            idempotency_key=own,
            message_id=first.sequence,
            request_id=request_id,
            downstreams=self._downstreams,
            boundary=self._boundary,
            remaining=remaining,
            clock=self._clock,
            margin_ms=margin_ms,
            attributes={"shard": first.shard, "partition_key": first.key},
        )

    def make(
        self,
        records: Sequence[StreamRecord],
        request_id: str,
        remaining: Remaining,
        margin_ms: int,
        *,
        early: bool,
    ) -> tuple[Call, Sight]:
        """Have the handler do these records.

        :param early: whether most of the invocation's time is left
        :raises BaseException: when the interpreter is going down
        """
        started = self._clock.ticks()
        call = self.plain(records, request_id, remaining, margin_ms)
        self._in_progress.call = call
        try:
            return call, self._made(records, call, started, early)
        finally:
            self._budget.took(self._clock.ticks() - started)
            if call.crossing is not None and call.crossing.wanted is not None:
                self._budget.timeout(call.crossing.wanted)

    def _made(self, records: Sequence[StreamRecord], call: Call, started: float, early: bool) -> Sight:
        try:
            data = self._read_into(call, records)
        except Exception as error:  # noqa: BLE001  no record of AWS's own; it gets both its status records
            self._tell(self._lines.started, call)
            self._failed(records, call, started, error)
            return Sight(Outcome.FAULT, error)
        token = active_call.set(call)
        try:
            self._tell(self._lines.started, call)
            try:
                self._guard.enter()
                outcome = self._function(data, call)
            except BaseException as error:
                # While it may still be interrupted: a verdict may have to be told to a store that hangs.
                call.boundary.done(call, error)
                raise
            else:
                try:  # noqa: SIM105  as the teller's
                    call.boundary.done(call, None)
                except DeadlineExceeded:
                    pass  # the handler has returned: what it did is done, whoever could not be told of it
            finally:
                self._guard.leave()
            if outcome is not None:
                refuse_unfinished(outcome)
        except Reject as reject:
            # Told as rejected once it is kept; of many records it is not yet known which one is meant.
            if len(records) > 1:
                self._failed(records, call, started, reject)
            return Sight(Outcome.REJECTED, reject)
        except CircuitOpen as refusal:
            reason = f"circuit open: {text_of(refusal.name)} is {text_of(refusal.state)}"
            self._tell(self._lines.refused, call, reason)
            return Sight(Outcome.REFUSED, refusal, refusal.retry_after)
        except NoTurn as no_turn:
            self._tell(self._lines.refused, call, f"no turn: {text_of(no_turn)}")
            return Sight(Outcome.REFUSED, no_turn, no_turn.wait)
        except NotBegun as error:
            self._tell(self._lines.refused, call, self._lines.shown(error))
            return Sight(Outcome.REFUSED, error, error.retry_after, is_of_these_alone=error.is_of_this_alone)
        except Exception as error:  # noqa: BLE001  this is where a handler's failure becomes a sight
            self._failed(records, call, started, error)
            outcome = outcome_of(error, call, knows_weather=bool(self._downstreams))
            return Sight(outcome, error, self._asked(error) if outcome is Outcome.REFUSED else None)
        except BaseException as error:
            self._failed(records, call, started, error)
            if exceeded_in(error) is None:
                # The interpreter is going down (sys.exit): the batch comes again, and the record says why.
                raise
            if not early:
                return Sight(Outcome.NO_TIME, error)
            return Sight(outcome_of(error, call, knows_weather=bool(self._downstreams)), error)
        finally:
            active_call.reset(token)
        self._tell(self._lines.completed, call, self._clock.ticks() - started)
        return Sight(Outcome.DONE)

    def _asked(self, error: BaseException) -> float | None:
        """Seconds that the downstream asked to wait; None when it did not say."""
        # Late on purpose: few are asked to wait.
        from resilient_runtime.slow_down import asked_in

        asked = asked_in(error, now=self._clock.wall())
        return None if asked is None else asked.retry_after

    def _read_into(self, call: Call, records: Sequence[StreamRecord]) -> Any:
        words = [words_of(record) for record in records]
        first = words[0]
        call.correlation_id = first.correlation_id
        if not self._per_batch:
            call.idempotency_key = first.idempotency_key
            call.event = first.event
            return first.data
        call.idempotency_key = key_of_list(records)
        return [one.data for one in words]

    def _failed(
        self, records: Sequence[StreamRecord], call: Call, started: float, error: BaseException
    ) -> None:
        event = records[0].raw if len(records) == 1 else {"Records": [record.raw for record in records]}
        self._tell(self._lines.failed, call, self._clock.ticks() - started, error, event)


def outcome_of(error: BaseException, call: Call, *, knows_weather: bool) -> Outcome:
    """Whom a failure tells against: the record, or whatever the handler was calling.

    :param knows_weather: whether the handler's calls are seen; where they are not, any failure may be a
        downstream's
    """
    if isinstance(error, TimeoutError) and call.remaining_ms() <= call.margin_ms:
        # The boundary let nothing out for lack of time.
        return Outcome.NO_TIME
    if not knows_weather:
        return Outcome.WEATHER
    crossing = call.crossing
    if crossing is None:
        return Outcome.FAULT
    told = crossing.outcome
    if told == "succeeded" and (path := path_to_answer(error)):
        # ``reply.raise_for_status()`` behind the block
        told = "throttled" if throttles(path[-1]) else "failed"
    if told == "throttled":
        # It wants fewer calls, of whomever: that never tells against a record.
        return Outcome.REFUSED
    return Outcome.WEATHER if told == "failed" else Outcome.FAULT
