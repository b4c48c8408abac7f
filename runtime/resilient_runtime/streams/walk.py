"""The way through one batch of a shard: what is begun next, what is tried again, and what is poison.

Nothing here calls AWS, sleeps or reads a clock: all that is handed in.

**Order.** Records of one partition key are done in the order of the shard. A record that failed holds back
those of its key alone; the others go on, for they are what tells poison from weather.

**Poison or weather.** A record whose failure is its own (``FAULT``) is poison when it fails again alone.
A failure that the downstream may be to blame for (``WEATHER``) says nothing by itself: it is poison when
it failed twice and *others succeeded after each time* (at the end of a batch, in between), or when a breaker
that sees all shards lets it fail so often. While nothing succeeds it is an outage, and then no record is
poison: at most ``look_ahead`` records are tried, and the batch waits in its place for better weather. So a
stream is neither stuck by one bad record, nor emptied into the poison store by an outage.

The road not taken is to report the first failure and leave isolating to the event source mapping: that takes
an invocation for each halving, knows nothing of the weather, and forgets in between what it has seen. Its
bisecting is still needed where the process itself dies.
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from .effects import ALONE, FAILURES, OTHERS_SUCCEED, SILENCE, Effects, Outcome, Sight, Walked
from .memory import Seen

__all__ = ["Walk"]

LOOK_AHEAD = 5
"""Records that may have failed for the weather's sake before no other is begun."""

STRIKES = 2
"""Failures that make a record poison: its own, or such as others' successes tell from the weather."""

FAIR = 5
"""Successes in a row after which who failed tries again, where there are so many: a breaker that has just let
its first probes through must not be opened again by a record that never succeeds."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.5
LONGEST_PAUSE_WITH_BREAKER = 0.5
"""Seconds between two attempts while nothing succeeds. A breaker ends that after ten of them; without one
they must be few."""


class Walk:
    """One way through one batch.

    :param keys: the partition key of each record, in the shard's order
    :param effects: what is done for it
    :param seen: what this environment remembers of the batch's records, by position
    :param chunk: how many records the handler takes at once
    :param convinced_after: failed attempts of one record, with no success and no refusal in between, after
        which it is poison: the breaker, which sees the calls of all shards, would have refused by then. None
        where there is no breaker that could
    :param parks: whether the later records of a poison record's key are kept until it is resolved
    :param parked_keys: keys whose records are kept instead of done; changed in place
    :param waits_for_store: whether poison that could not be kept is offered again while there is time
    """

    def __init__(
        self,
        keys: Sequence[str],
        effects: Effects,
        *,
        seen: Seen,
        chunk: int = 1,
        look_ahead: int = LOOK_AHEAD,
        convinced_after: int | None = None,
        parks: bool = False,
        parked_keys: set[str] | None = None,
        waits_for_store: bool = True,
    ) -> None:
        self._keys = keys
        self._effects = effects
        self._seen = seen
        self._chunk = chunk
        self._look_ahead = look_ahead
        self._convinced_after = convinced_after
        self._parks = parks
        self._parked_keys = set() if parked_keys is None else parked_keys
        self._waits_for_store = waits_for_store
        self._todo: list[list[int]] = []
        """A heap of segments: the one with the earliest record is next, which keeps the order of a key."""
        self._failed: dict[int, Sight] = {}
        """By position; each holds back its key, until something succeeds."""
        self._unkept: dict[int, Sight] = {}
        """Poison that could not be stored; it holds back its key, and comes again."""
        self._elsewhere: dict[int, Sight] = {}
        """What others are at work on; it holds back its key alone, and comes again. Whoever was killed at a
        record leaves it so for up to an invocation's time, in which all other keys can be done."""
        self._suspects: set[int] = set()
        """Records of a list that failed by itself. Whose fault it was is not known, so it is no strike: the
        weather's next failure would make poison of a good one."""
        self._behind: dict[str, list[int]] = {}
        self._done: set[int] = set()
        self._stored: set[int] = set()
        self._parked: set[int] = set()
        self._well = 0
        self._is_last_round = False
        self._pause = FIRST_PAUSE
        self._wait: float | None = None
        self._enqueue(range(len(keys)))

    def run(self) -> Walked:
        """Go on until everything is done or kept, or time is up."""
        going = True
        while going and (self._todo or self._failed or self._elsewhere or self._unkept_poison()):
            if self._todo and self._wait is None and len(self._failed) < self._look_ahead:
                going = self._step(heappop(self._todo))
            elif self._todo or self._failed:
                going = self._wait_for_better_weather()
            else:
                going = self._wait_for_others()
        left = {*self._failed, *self._elsewhere, *self._unkept}
        left.update(*self._todo, *self._behind.values())
        return Walked(
            resume_at=min(left, default=None),
            done=frozenset(self._done),
            stored=frozenset(self._stored),
            parked=frozenset(self._parked),
            sights=self._failed | self._elsewhere | self._unkept,
        )

    def _enqueue(self, positions: Sequence[int]) -> None:
        for start in range(0, len(positions), self._chunk):
            heappush(self._todo, list(positions[start : start + self._chunk]))

    def _step(self, segment: list[int]) -> bool:
        """Begin what may be begun of a segment; False when time is up."""
        ready = [one for one in segment if not self._is_settled(one)]
        if not ready:
            return True
        if not self._effects.may_begin():
            heappush(self._todo, ready)
            return False
        return self._look(ready, self._attempt(ready))

    def _attempt(self, segment: Sequence[int]) -> Sight:
        sight = self._effects.attempt(segment)
        if sight.outcome in FAILURES:
            for one in segment:
                self._seen.failed(one)
        return sight

    def _is_settled(self, position: int) -> bool:
        """Whether nothing is to be begun for a record now: done before, parked, or behind one that failed."""
        key = self._keys[position]
        if self._seen.is_done(position):
            self._done.add(position)
        elif key in self._behind:
            self._behind[key].append(position)
        elif key in self._parked_keys:
            self._park(position)
        else:
            return False
        return True

    def _park(self, position: int) -> None:
        if self._effects.park(position):
            self._parked.add(position)
        else:
            self._hold_back(position, Sight(Outcome.NO_TIME), self._unkept)

    def _look(self, segment: list[int], sight: Sight) -> bool:
        """Draw the conclusions from an attempt; False when time is up."""
        outcome = sight.outcome
        if outcome is Outcome.DONE:
            self._done.update(segment)
            for one in segment:
                self._seen.done(one)
            self._went_well()
        elif outcome is Outcome.NO_TIME:
            heappush(self._todo, segment)
            return False
        elif outcome is Outcome.REFUSED and sight.is_of_these_alone and len(segment) == 1:
            self._hold_back(segment[0], sight, self._elsewhere)
        elif outcome is Outcome.REFUSED:
            # Of a list, too, that others are at work on: which of its records may be begun is not known.
            heappush(self._todo, segment)
            self._refused(sight)
        elif len(segment) > 1:
            self._halve(segment, sight)
        elif outcome is Outcome.WEATHER:
            self._well = 0
            if self._is_last_round and self._seen.strikes(segment[0]):
                # There is nobody left whose success could tell more.
                self._blame(segment[0], sight)
            else:
                self._hold_back(segment[0], sight, self._failed)
        else:
            self._blame(segment[0], sight)
        return True

    def _halve(self, segment: list[int], sight: Sight) -> None:
        if sight.outcome is Outcome.FAULT:
            self._suspects.update(segment)
        middle = len(segment) // 2
        heappush(self._todo, segment[:middle])
        heappush(self._todo, segment[middle:])

    def _blame(self, position: int, sight: Sight) -> None:
        """It failed alone, and the downstream is not to blame."""
        self._seen.strike(position)
        if sight.outcome is not Outcome.REJECTED:
            if self._seen.strikes(position) + (position in self._suspects) < STRIKES:
                heappush(self._todo, [position])
                return
            sight = sight._replace(proof=ALONE if sight.outcome is Outcome.FAULT else OTHERS_SUCCEED)
        if not self._keep(position, sight):
            self._hold_back(position, sight, self._unkept)

    def _keep(self, position: int, sight: Sight) -> bool:
        if not self._effects.store(position, sight, self._seen.failures(position)):
            return False
        self._stored.add(position)
        self._seen.done(position)
        if self._parks:
            self._parked_keys.add(self._keys[position])
        return True

    def _unkept_poison(self) -> dict[int, Sight]:
        """What may be kept at another try; whose key could not be parked needs to know anew which are."""
        if not self._waits_for_store:
            return {}
        return {at: sight for at, sight in self._unkept.items() if sight.outcome is not Outcome.NO_TIME}

    def _wait_for_others(self) -> bool:
        """What is left waits for the poison store, or for whoever is at work on it.

        Whoever went back now would use up retries meanwhile.
        """
        looks = [sight.retry_after or self._pause for sight in self._elsewhere.values()]
        if not self._effects.pause(min(looks, default=self._pause)):
            return False
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._look_elsewhere()
        for position, sight in self._unkept_poison().items():
            if self._keep(position, sight):
                del self._unkept[position]
                self._release(position)
        return True

    def _look_elsewhere(self) -> None:
        """Whoever was at work on them may have ended."""
        elsewhere, self._elsewhere = self._elsewhere, {}
        for position in elsewhere:
            heappush(self._todo, [position])
            self._release(position)

    def _refused(self, sight: Sight) -> None:
        """The breaker says that it is the weather, or the downstream that it wants fewer calls."""
        self._wait = sight.retry_after or 0.0
        self._seen.forget_doubts()

    def _doubt(self, position: int, sight: Sight) -> None:
        """It failed again, and nobody says whether that is its fault; at last the breaker's silence does."""
        if self._convinced_after is None:
            return
        if not self._effects.is_watched():
            # Of a breaker that is disabled, or cannot reach its table, silence means nothing.
            self._seen.forget_doubts()
            return
        times = self._seen.doubt(position)
        if times < self._convinced_after:
            return
        del self._failed[position]
        sight = sight._replace(proof=SILENCE.format(times))
        if self._keep(position, sight):
            self._release(position)
        else:
            self._unkept[position] = sight

    def _hold_back(self, position: int, sight: Sight, among: dict[int, Sight]) -> None:
        among[position] = sight
        self._behind.setdefault(self._keys[position], [])

    def _release(self, position: int) -> None:
        self._enqueue(self._behind.pop(self._keys[position]))

    def _went_well(self) -> None:
        """Something succeeded; when enough did, it is fair weather."""
        self._pause = FIRST_PAUSE
        self._wait = None
        self._well += 1
        self._seen.forget_doubts()
        if self._well >= FAIR or not self._todo:
            self._it_is_fair()

    def _it_is_fair(self) -> None:
        """Whoever failed before has one excuse less, and tries again or is kept."""
        self._is_last_round = not self._todo
        failed, self._failed = self._failed, {}
        for position, sight in failed.items():
            self._seen.strike(position)
            if self._seen.strikes(position) < STRIKES:
                heappush(self._todo, [position])
            else:
                proven = sight._replace(proof=OTHERS_SUCCEED)
                if not self._keep(position, proven):
                    self._unkept[position] = proven
                    continue
            self._release(position)

    def _wait_for_better_weather(self) -> bool:
        """Nothing new may be begun: pause, and try again one that failed. False when time is up."""
        if self._failed and self._well and not self._todo and self._wait is None:
            self._it_is_fair()
            return True
        wait, self._wait = self._wait, None
        if not self._effects.pause(max(wait or 0.0, self._pause)) or not self._effects.may_begin():
            return False
        longest = LONGEST_PAUSE if self._convinced_after is None else LONGEST_PAUSE_WITH_BREAKER
        self._pause = min(self._pause * 2, longest)
        self._look_elsewhere()
        if not self._failed:
            return True
        # Who waited longest: were it always the same one, a record that never succeeds would be every probe
        # of a breaker that is half open, and keep it open.
        first = next(iter(self._failed))
        sight = self._attempt([first])
        if sight.outcome is Outcome.WEATHER:
            del self._failed[first]
            self._failed[first] = sight
            self._doubt(first, sight)
            return True
        if sight.outcome is Outcome.NO_TIME:
            return False
        if sight.outcome is Outcome.REFUSED and not sight.is_of_these_alone:
            self._refused(sight)
            return True
        del self._failed[first]
        self._release(first)
        return self._look([first], sight)
