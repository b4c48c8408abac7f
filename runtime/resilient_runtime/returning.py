"""When a message that failed comes back: soon from a stumble, ever later from an outage, never all at once.

Nothing sleeps for it. The message lies in its queue, invisible, while the slot that it had does the next one.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .call import Call
from .chance import uniform
from .clock import SYSTEM_CLOCK, Clock
from .slow_down import Asked, asked_in

__all__ = [
    "LONGEST_VISIBILITY",
    "ChangesVisibility",
    "CouldNotDelay",
    "ReturnPolicy",
    "Returns",
    "deserves_another_try",
    "visibility_after",
]

LONGEST_VISIBILITY = 43_200
"""Seconds, counted from the receive.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

# A message was received some time ago, and SQS counts from then: up to 300 seconds that a batch was gathered,
# and up to a function's 900. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
_LONGEST_DELAY = LONGEST_VISIBILITY - 300 - 900
_MOST_DOUBLINGS = 64
_AWAY = 60.0
_AT_ONCE = 10
"""Messages that are told before it is looked again how much time is left: one call of SQS.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnPolicy:
    """How long a message that failed stays away, and from when on it is tried twice before it goes.

    :param first: seconds, the longest that it stays away the first time. Default: 5
    :param least: the shortest, as a share of the longest; the wait is anything between. Default: 0.4
    :param growth: what the longest is multiplied by with each further failure. Default: 2
    :param bad_luck: failures in a row that are no sign of an outage yet. Default: 3; where one call in five
        fails, one failure in 25 is the third in a row
    :param longest: seconds that no wait exceeds, without what ``Retry-After`` adds. Default: 900
    :param longest_retry_after: seconds that a ``Retry-After`` adds at most, as one wrong header or clock must
        not hide messages for half a day. Default: 3,600
    :param second_try_from: the receive from which on a message has two tries in each. Default: 5, half of
        what a consumer's queue allows
    :raises ValueError: when a number is out of its range
    """

    first: float = 5.0
    least: float = 0.4
    growth: float = 2.0
    bad_luck: int = 3
    longest: float = 900.0
    longest_retry_after: float = 3_600.0
    second_try_from: int = 5

    def __post_init__(self) -> None:
        faults = [] if 0 <= self.least <= 1 else [f"least is {self.least!r}; allowed: 0 to 1"]
        if not self.growth >= 1:
            faults.append(f"growth is {self.growth!r}; allowed: 1 or more")
        if not self.second_try_from >= 1:
            faults.append(f"second_try_from is {self.second_try_from!r}; allowed: 1 receive or more")
        faults += [
            f"{name} is {getattr(self, name)!r}; allowed: 0 to {_LONGEST_DELAY:,} seconds"
            for name in ("first", "longest", "longest_retry_after")
            if not 0 <= getattr(self, name) <= _LONGEST_DELAY
        ]
        if faults:
            raise ValueError(f"ReturnPolicy: {'; '.join(faults)}")


def visibility_after(
    attempt: int,
    policy: ReturnPolicy,
    random: Callable[[], float],
    retry_after: float | None = None,
    *,
    failures: int | None = None,
) -> float:
    """Seconds until a message that failed may be received again.

    The wait grows with the message's attempts, but only as this environment sees one failure after the other.
    Where everything fails, that is an outage, and ten receives last for a quarter of an hour. Where the
    others succeed, this one was unlucky, and making it wait for minutes would help nobody.

    :param attempt: how many times the message has been received
    :param random: a number from 0 up to but not including 1
    :param retry_after: seconds that the downstream asked to wait; believed up to the policy's longest, and
        the jitter comes on top, as it told everybody the same
    :param failures: messages in a row that failed in this environment, this one included. Default: as many
        as it takes
    """
    steps = attempt if failures is None else min(attempt, failures - policy.bad_luck)
    ceiling = min(policy.longest, policy.first * policy.growth ** min(max(steps, 1) - 1, _MOST_DOUBLINGS))
    wait = ceiling * (policy.least + (1 - policy.least) * random())
    return min(min(retry_after or 0.0, policy.longest_retry_after) + wait, _LONGEST_DELAY)


def deserves_another_try(call: Call, policy: ReturnPolicy, *, failures: int) -> bool:
    """Whether a message that failed is tried again in the same receive, at the environment's next turn.

    Where one call in five fails, one message in ten million fails in all of its ten receives, however long it
    stays away in between: with a million a day, a dead letter for nothing every week or two. So whoever has
    half of its receives behind it gets two tries in each. While there is a backlog that costs nothing: the
    slot waits for its next turn anyway, and one message has it or another.

    Only where the downstream failed it, and in its turn: a message that fails by itself would fail again, and
    without a pace there is no pause between the tries. And not in an outage, where it would be for nothing.

    :param failures: messages in a row that failed in this environment, this one included
    """
    crossing = call.crossing
    if crossing is None or crossing.outcome != "failed":
        return False
    downstream = (call.downstreams or {}).get(crossing.name)
    is_paced = downstream is not None and downstream.is_paced
    return is_paced and call.attempt >= policy.second_try_from and failures <= policy.bad_luck


class CouldNotDelay(Exception):  # noqa: N818  it reads as what happened
    """Some messages return when their queue's visibility timeout ends, not when they should.

    :param refused: how many
    :param told: of how many
    :param codes: what was said about them
    :param remedy: what a person should do, if anything
    """

    def __init__(self, refused: int, told: int, codes: Iterable[str], remedy: str = "") -> None:
        self.refused = refused
        self.codes = frozenset(codes)
        self.remedy = remedy
        super().__init__(
            f"SQS does not delay {refused} of {told} messages ({', '.join(sorted(self.codes))}); they return "
            f"when the queue's visibility timeout ends{remedy and '. '}{remedy}"
        )


class ChangesVisibility(Protocol):
    """Where a message's return can be told."""

    @property
    def needs(self) -> float:
        """Seconds that telling may take; with less left, it is not begun."""
        ...

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Have each record return after its seconds.

        :raises CouldNotDelay: when some do not, although all were tried
        :raises Exception: when it is of no use to try any others
        """


class Returns:
    """What one environment sends back of its batches, and when it comes back.

    :param queue: where it is told
    :param heed: is told when a message failed because the downstream wants fewer calls
    """

    def __init__(
        self,
        queue: ChangesVisibility,
        policy: ReturnPolicy | None = None,
        *,
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = uniform,
        heed: Callable[[Call, Asked], None] | None = None,
    ) -> None:
        self._queue = queue
        self._policy = policy or ReturnPolicy()
        self._clock = clock
        self._random = random
        self._heed = heed
        self._failures = 0
        self._delays: list[tuple[Mapping[str, Any], float]] = []
        self._groups: dict[str, float] = {}
        self._unlucky: Mapping[str, Any] | None = None
        self._not_before = float("-inf")

    def begin(self) -> None:
        """A batch begins."""
        self._delays = []
        self._groups = {}
        self._unlucky = None

    def settled(self) -> None:
        """A message was completed or rejected: whoever it was for is there."""
        self._failures = 0

    def failed(self, record: Mapping[str, Any], call: Call, error: BaseException, group: str | None) -> None:
        """A message failed.

        :param group: its message group, where order is kept
        """
        self._failures += 1
        asked = asked_in(error, now=self._clock.wall())
        # A turn that was too far off says nothing about whoever was called before.
        if asked is not None and not asked.uncalled and self._heed is not None:
            self._heed(call, asked)
        seconds = visibility_after(
            call.attempt,
            self._policy,
            self._random,
            None if asked is None else asked.retry_after,
            failures=self._failures,
        )
        self._delays.append((record, seconds))
        if group is not None:
            self._groups[group] = seconds
        deserves = asked is None and deserves_another_try(call, self._policy, failures=self._failures)
        self._unlucky = record if deserves else None

    def takes_back(self, record: Mapping[str, Any]) -> bool:
        """Whether the message that has just failed is tried again instead; it then does not go back yet."""
        if self._unlucky is not record:
            return False
        self._unlucky = None
        self._delays.pop()
        return True

    def kept(self, record: Mapping[str, Any], group: str | None) -> None:
        """The message that has just failed does not go back: it is a dead letter, and its group goes on."""
        if self._delays and self._delays[-1][0] is record:
            self._delays.pop()
        if group is not None:
            self._groups.pop(group, None)

    def held(
        self, record: Mapping[str, Any], group: str | None, after: float = 0.0, *, refused: int | None = None
    ) -> None:
        """A message goes back untouched: with the one of its group that failed, else within moments.

        :param after: seconds before which it would be for nothing again
        :param refused: of a message that an open circuit refused, how many times it has been received. It
            stays away as if it had failed: one that came back for every probe would be out of receives
            within ten minutes of outage, and a dead letter that nobody ever tried
        """
        policy = self._policy
        seconds = min(after, policy.longest) + policy.first * policy.least * self._random()
        if refused is not None:
            # All environments together say that it is an outage: what fails here next is none of bad luck.
            self._failures = max(self._failures, policy.bad_luck + refused)
            seconds = max(seconds, visibility_after(refused, policy, self._random))
        if group is not None:
            known = self._groups.get(group)
            if known is not None and known >= after:
                seconds = known
            elif after:
                self._groups[group] = seconds
        self._delays.append((record, seconds))

    def tell(self, left: float) -> None:
        """Tell the queue.

        With too little time left it is not told: a message that returns late is better than an invocation
        that is killed, and with it what its batch completed. A queue that does not answer is not told for a
        minute: what fails meanwhile must not wait for that in its slot.

        :param left: seconds until the invocation must end
        :raises CouldNotDelay: when the queue does not take some of them
        :raises Exception: whatever the queue raises; the messages return then all the same, later
        """
        delays = self._delays
        refusals: list[CouldNotDelay] = []
        now = self._clock.ticks()
        if now < self._not_before:
            return
        ends = now + left
        for first in range(0, len(delays), _AT_ONCE):
            if ends - self._clock.ticks() <= self._queue.needs:
                break
            try:
                self._queue.change(delays[first : first + _AT_ONCE])
            except CouldNotDelay as refusal:
                refusals.append(refusal)
            except Exception:
                self._not_before = self._clock.ticks() + _AWAY
                raise
        if refusals:
            raise CouldNotDelay(
                sum(one.refused for one in refusals),
                len(delays),
                {code for one in refusals for code in one.codes},
                next((one.remedy for one in refusals if one.remedy), ""),
            )
