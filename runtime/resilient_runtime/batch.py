"""An SQS batch, message by message: what each one became, and what goes back to the queue.

The one promise: every message is completed, or stored in the dead-letter queue, or returned. Whatever goes
wrong, in the handler or here, a message that is neither completed nor stored is returned; what cannot even be
returned by itself takes the whole batch back.

Powertools has a batch processor. Ours exists because a batch must cost no more than about a third of that one
with its log lines (a consumer's per-message overhead is paid a million times), and because rejection,
correlation and the status records are one decision here, not four wrapped around each other.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .batch_budget import BatchBudget
from .call import Boundary, Call, active_call
from .chance import uniform
from .circuit_open import CircuitOpen
from .deliveries import Deliveries, Invocation, read_into
from .in_progress import InProgress
from .interruption import DeadlineExceeded, exceeded_in
from .last_receive import DeadLetters, LastReceive, rejection_of, store_guarded
from .lifecycle import Guard, Remaining, kept_ms
from .messages import group_of, records_of
from .refusals import Refusals
from .reject import Reject
from .sent_back import SentBack
from .settings import DownstreamSettings
from .slow_down import NoTurn
from .status import StatusLines, Teller, describe, text_of
from .unfinished import refuse_unfinished

if TYPE_CHECKING:
    from .evictions import Evictions
    from .late_returns import LateReturns
    from .returning import Returns

__all__ = ["Batch", "DeadLetters"]

_NOT_STORED = (
    "The handler rejected this message, but the dead-letter queue did not take it, so it was returned to its "
    "queue and nothing is lost. Check sqs:SendMessage of the function's role on that queue (and the grant "
    "on its KMS key), and that the queue exists; the message is tried again."
)
_IN_ORDER = "an earlier message of its group goes back, and a group keeps its order"


class Batch:
    """Gives a handler one message at a time.

    :param function: the user's ``f(body, call)``
    :param dead_letters: where a rejected message goes
    :param lines: writes the status records
    :param tell: takes each of them
    :param downstreams: what the handler may call, by name
    :param boundary: what happens around each downstream call
    :param guard: interrupts the handler before its time is over
    :param in_progress: is told which message is being handled
    :param returns: when messages that go back may be received again. Default: when the visibility timeout of
        their queue ends
    :param refuses: whether a downstream's breaker would refuse a call now; asked after it refused one
    :param urgent_queue: the ARN of the urgent lane's queue. Default: there is one lane only
    :param evictions: archives messages that are too old to be begun. Default: none is too old
    :param last_receive: stores messages whose receives are used up. Default: SQS moves them, without a reason
    :param sleep: waits for so many seconds, in a slot that an open circuit leaves nothing to do
    :param random: from 0 up to 1, for jitter
    """

    def __init__(
        self,
        function: Callable[[Any, Call], Any],
        *,
        dead_letters: DeadLetters,
        lines: StatusLines,
        tell: Teller,
        downstreams: Mapping[str, DownstreamSettings],
        boundary: Boundary,
        guard: Guard,
        in_progress: InProgress,
        refuses: Callable[[str], bool],
        returns: Returns | LateReturns | None = None,
        urgent_queue: str | None = None,
        evictions: Evictions | None = None,
        last_receive: LastReceive | None = None,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = uniform,
    ) -> None:
        self._function = function
        self._dead_letters = dead_letters
        self._lines = lines
        self._tell = tell
        self._guard = guard
        self._in_progress = in_progress
        self._deliveries = Deliveries(downstreams, boundary, lines.clock, urgent_queue)
        self._sent_back = SentBack(returns, self._deliveries, lines, tell)
        self._evictions = evictions
        self._last_receive = last_receive or LastReceive(
            None, dead_letters=dead_letters, guard=guard, lines=lines, tell=tell
        )
        # What the first try of a message failed with: before its second one, and while that lasts.
        self._again: BaseException | None = None
        self._first_try: BaseException | None = None
        self._refusals = Refusals(refuses, lines=lines, tell=tell, sleep=sleep, random=random)
        self._budget = BatchBudget()
        self._clock = lines.clock

    def run(self, event: Any, context: Any, remaining: Remaining) -> dict[str, list[dict[str, str]]]:
        """Handle one batch.

        :returns: Lambda's partial batch response, naming the messages to return to the queue
        :raises ValueError: when the event is no SQS batch, before any message is touched: all of it returns
        """
        invocation = Invocation(
            str(getattr(context, "aws_request_id", "")), remaining, kept_ms(self._guard.margin)
        )
        try:
            records = records_of(event)
        except ValueError as error:
            call = Call(correlation_id=invocation.request_id, request_id=invocation.request_id)
            self._tell(self._lines.started, call)
            self._tell(self._lines.failed, call, 0.0, error, event)
            raise
        returned: list[str] = []
        stopped: set[str] = set()
        self._refusals.begin()
        self._budget.begin()
        self._sent_back.begin()
        evictions = self._evictions
        if evictions is not None:
            evictions.begin()
        for index, record in enumerate(records):
            group = group_of(record)
            if group is not None and group in stopped:
                # Its predecessor comes back, so it must too, or the group would be out of order.
                self._sent_back.hold(record, _IN_ORDER, invocation, self._refusals.off(), group=group)
            elif evictions is not None and evictions.is_due(record):
                # Before all that a message may be held for: no time, no circuit and no turn is spent on it.
                if self._evicted(record, invocation, evictions):
                    continue
                if group is not None:
                    stopped.add(group)
            elif (reason := self._no_time() or self._refusals.reason()) is not None:
                returned += self._sent_back.hold_all(
                    records[index:], reason, invocation, self._refusals.off()
                )
                break
            elif self._settled(record, invocation) or self._settled_again(record, invocation):
                continue
            elif group is not None:
                stopped.add(group)
            returned.append(record["messageId"])
        if evictions is not None:
            evictions.tell()
        guard = self._guard
        if returned:
            self._sent_back.tell(guard.left())
        # Told before the wait, while there is time for it. And never near the deadline, which would be told.
        self._refusals.end(is_idle=len(returned) == len(records), spare=guard.left() - 2 * guard.margin)
        return {"batchItemFailures": [{"itemIdentifier": one} for one in returned]}

    def _evicted(self, record: Mapping[str, Any], invocation: Invocation, evictions: Evictions) -> bool:
        """Whether the archive has the message, so that it may be deleted."""
        self._in_progress.call = call = self._deliveries.plain(record, invocation)
        try:
            with suppress(Exception):  # it is archived as it is; what tells of it then has its id alone
                read_into(call, record)
            after = evictions.evict(record, call)
        except Exception as error:  # noqa: BLE001
            self._tell(self._lines.broken, "eviction", error)
            return False
        if after is None:
            return True
        self._sent_back.after(record, after)
        return False

    def _no_time(self, taken: float = 0.0) -> str | None:
        """Why no further message is begun in this invocation, None when one is.

        :param taken: seconds that it took already, if it is a second try
        """
        guard, budget = self._guard, self._budget
        if guard.passed:
            return "the time of this invocation is over"
        left = guard.left()
        if budget.may_begin(left, guard.margin) and left - guard.margin >= taken:
            return None
        return (
            f"{left:.2f} s are left of this invocation, {guard.margin:.2f} s of them to report in, and a "
            f"message takes {max(budget.needed(), taken):.2f} s"
        )

    def _settled(self, record: Mapping[str, Any], invocation: Invocation) -> bool:
        """Whether the message may be deleted. An error of our own returns it: twice is better than never."""
        started = self._clock.ticks()
        self._in_progress.call = call = self._deliveries.plain(record, invocation)
        try:
            return self._settle(record, call, started)
        except Exception as error:  # noqa: BLE001
            self._tell(self._lines.broken, "batch", error)
            return False
        finally:
            self._budget.took(self._clock.ticks() - started)
            if call.crossing is not None and call.crossing.wanted is not None:
                self._budget.timeout(call.crossing.wanted)

    def _settled_again(self, record: Mapping[str, Any], invocation: Invocation) -> bool:
        """Whether a second try settles a message that fails so often that it may run out of receives."""
        if self._again is None:
            return False
        self._again, self._first_try = None, self._again
        try:
            return self._settled(record, invocation)
        finally:
            self._first_try = None

    def _settle(self, record: Mapping[str, Any], call: Call, started: float) -> bool:
        """Whether the message is completed or stored."""
        try:
            body = read_into(call, record)
        except Exception as error:  # noqa: BLE001  no message of SQS's own; each still gets both its records
            self._tell(self._lines.started, call)
            return self._failed(record, call, started, error)
        if call.attempt >= self._last_receive.most:
            self._last_receive.prepare()
        token = active_call.set(call)
        try:
            self._tell(self._lines.started, call)
            try:
                self._guard.enter()
                outcome = self._function(body, call)
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
            return self._reject(record, call, reject, started)
        except CircuitOpen as refusal:
            # No failure of this message: nothing was tried, so nothing is there to be looked into.
            reason = self._refusals.add(refusal)
            if self._is_given_up(call):
                return self._failed(record, call, started, self._first_try or refusal)
            self._sent_back.after(record, refusal.retry_after, refused=call.attempt)
            self._tell(self._lines.refused, call, reason)
            return False
        except NoTurn as no_turn:
            # Neither: the downstream is well, and this environment has called it often enough.
            if self._is_given_up(call):
                return self._failed(record, call, started, self._first_try or no_turn)
            self._sent_back.after(record, no_turn.wait)
            self._tell(self._lines.refused, call, f"no turn: {text_of(no_turn)}")
            return False
        except Exception as error:  # noqa: BLE001  this is where a handler's failure becomes a returned message
            return self._failed(record, call, started, error)
        except BaseException as error:
            if exceeded_in(error) is not None:
                # Interrupted by ourselves: this message returns, and so do those that are not begun.
                return self._failed(record, call, started, error)
            # The interpreter is going down (sys.exit): the whole batch returns, and the record says why.
            self._failed(record, call, started, error, goes_back=True)
            raise
        finally:
            active_call.reset(token)
        self._sent_back.settled()
        self._tell(self._lines.completed, call, self._clock.ticks() - started)
        return True

    def _is_given_up(self, call: Call) -> bool:
        """Whether a message that is put off failed before in this receive, its last: SQS knows no reason."""
        return self._first_try is not None and call.attempt >= self._last_receive.most

    def _failed(
        self,
        record: Mapping[str, Any],
        call: Call,
        started: float,
        error: BaseException,
        *,
        goes_back: bool = False,
        **why: Any,
    ) -> bool:
        """Whether the message is stored, as it would not be received again; if not, it goes back."""
        seconds = self._clock.ticks() - started
        self._sent_back.failed(record, call, error)
        is_first = self._first_try is None and not goes_back
        if is_first and self._no_time(seconds) is None and self._sent_back.takes_back(record):
            self._again = error
        elif not goes_back:
            why |= self._last_receive.store(record, call, error)
        is_kept = "dead_lettered" in why
        if is_kept:
            self._sent_back.kept(record)
        event = {"body": record.get("body"), "attributes": call.attributes}
        self._tell(self._lines.failed, call, seconds, error, event, **why)
        return is_kept

    def _reject(self, record: Mapping[str, Any], call: Call, reject: Reject, started: float) -> bool:
        seconds = self._clock.ticks() - started
        reason = text_of(getattr(reject, "reason", reject))
        cause = None if reject.__cause__ is None else describe(reject.__cause__)
        rejection = rejection_of(call, self._lines, reason=reason, error=cause)
        try:
            labelled = store_guarded(self._guard, self._dead_letters, record, rejection)
        except (Exception, DeadlineExceeded) as error:  # noqa: BLE001  whatever kept it from being stored
            # Nor is it stored as given up: the very same queue has just not taken it.
            self._failed(record, call, started, error, goes_back=True, reason=reason, remedy=_NOT_STORED)
            return False
        self._sent_back.settled()
        self._tell(self._lines.rejected, call, seconds, reason=reason, error=cause, labelled=labelled)
        return True
