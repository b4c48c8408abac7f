"""Generated traces: what happens at each step, decided by a seed, and both worlds compared after it."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from conformance_programs import Runtime
from conformance_worlds import NAME, WORK_SECONDS, Downstream, Machines, Time, World, comparable
from resilient_runtime.breaker import BreakerPolicy, Circuit, CircuitState, order
from resilient_runtime.breaker.window import Bucket, bucket_of

from resilient_constructs.breaker_workflow.machine import (
    MachinePlan,
    PlatformRetry,
    RetryRule,
    WorkTask,
    definition,
)
from resilient_constructs.testing.states import StateMachine

__all__ = ["POLICIES", "Trace", "plan_of"]

POLICIES = [
    BreakerPolicy(
        outage_calls=2, minimum_calls=3, recovery_seconds=4, successes_to_close=1, cache_seconds=0.5
    ),
    BreakerPolicy(outage_calls=3, minimum_calls=4, recovery_seconds=2, successes_to_close=2, cache_seconds=1),
    BreakerPolicy(
        outage_calls=50, minimum_calls=3, failure_rate=0.5, recovery_seconds=8, probes=2, cache_seconds=0.5
    ),
    BreakerPolicy(
        outage_calls=4,
        minimum_calls=3,
        slow_call_seconds=2,
        slow_call_rate=0.5,
        window_seconds=12,
        cache_seconds=1,
    ),
    BreakerPolicy(
        outage_calls=2,
        outage_rate=0.75,
        minimum_calls=2,
        window_seconds=60,
        lease_seconds=2,
        recovery_seconds=1,
    ),
    BreakerPolicy(
        outage_calls=1, minimum_calls=1, recovery_growth=3, successes_to_close=2, probes=2, cache_seconds=0.25
    ),
    BreakerPolicy(outage_calls=3, failure_rate=0.25, minimum_calls=4, cache_seconds=4, window_seconds=15),
    BreakerPolicy(outage_calls=5, minimum_calls=8, longest_recovery_seconds=20, recovery_seconds=16),
]


def plan_of(policy: BreakerPolicy, **more: Any) -> MachinePlan:
    """A workflow of one call that has this policy."""
    return MachinePlan(
        **{
            "downstream": NAME,
            "table": "circuits",
            "policy": policy,
            "work": WorkTask(
                resource="work",
                arguments={"Payload": "{% $work %}"},
                output="{% $states.result.Payload %}",
                timeout_seconds=WORK_SECONDS,
                platform_retries=(PlatformRetry(errors=("Lambda.ServiceException",)),),
            ),
            "retries": (RetryRule(errors=("States.ALL",), attempts=2, interval_seconds=2),),
            "throttles": ("Throttled",),
            "rejects": ("Ignored",),
            "parked_queue_url": "parked",
            "dead_letter_queue_url": "dead",
            "timeout_seconds": 86_400,
            **more,
        }
    )


@cache
def machine_of(index: int, parking: str) -> StateMachine:
    """Compiled once: that costs more than a trace."""
    return StateMachine(definition(plan_of(POLICIES[index], parking=parking)))


class Trace:
    """One trace.

    :param seed: decides everything
    :param index: of the policy
    :param parking: QUEUE or WAIT
    """

    def __init__(self, seed: int, index: int, parking: str) -> None:
        self._chance = chance = Random(f"{seed}/{index}/{parking}")
        self.policy = POLICIES[index]
        self.time = Time()
        self.time.ms += chance.randrange(60_000)
        self.machines = Machines(machine_of(index, parking), self.policy, self.time)
        self.runtime = Runtime(self.policy, self.time, waits=parking == "WAIT")
        self._parallel = chance.randint(1, 4)
        self._environments = [f"lambda{n}" for n in range(chance.choice([0, 0, 1, 3]))]
        self._ill = chance.choice([0.0, 0.5, 1.0])
        self._has_troubles = chance.random() < 0.3
        self.seen: set[str] = set()
        self.calls = 0
        self.steps: list[str] = []
        if chance.random() < 0.6:
            self._begin_in_the_middle()

    def run(self, most_calls: int) -> None:
        """Go through with it; both worlds are compared after each step."""
        try:
            while self.calls < most_calls and len(self.steps) < 5 * most_calls:
                self._step()
        finally:
            self.runtime.end()

    def _begin_in_the_middle(self) -> None:
        """A past that is not told: any state, with counts."""
        chance, now, window = self._chance, self.time.wall(), self.policy.window_seconds
        state = chance.choice(
            [CircuitState.CLOSED, CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN]
        )
        is_half_open, is_open = state is CircuitState.HALF_OPEN, state is CircuitState.OPEN
        leases = {f"gone{n}": round(now + chance.uniform(-10, 20), 3) for n in range(chance.randint(0, 2))}
        circuit = Circuit(
            state=state,
            version=chance.randint(1, 9),
            changed_at=round(now - 40, 3),
            retry_at=round(now + chance.uniform(-5, 10), 3) if is_open else None,
            closed_at=chance.choice([None, round(now - chance.uniform(0, 2 * window), 3)]),
            openings=chance.randint(0, 4),
            successes=chance.randint(0, self.policy.successes_to_close - 1) if is_half_open else 0,
            leases=leases if is_half_open else {},
            reason="told by nobody",
            by="gone",
        )
        counts = {
            bucket_of(now - chance.uniform(-0.2, 3) * window, self.policy): Bucket(
                calls=(calls := chance.randint(0, 9)),
                failed=(failed := chance.randint(0, calls)),
                slow=chance.randint(0, calls - failed),
                ill=chance.randint(0, 3),
                well=chance.randint(0, 3),
                since=round(now - chance.uniform(0, window), 3) if failed else 0,
            )
            for _ in range(chance.randint(0, 4))
        }
        for world in self._worlds:
            world.store().change(NAME, circuit, before=Circuit())
            if counts:
                world.store().count(NAME, counts)
            world.past.append(dict(world.item))

    def _step(self) -> None:
        chance = self._chance
        self.time.ms += chance.choice([0, 1, 50, 300, 1_000, 2_500, chance.randrange(40_000)])
        # With 1,009ths no time ends on half a millisecond, which JSONata and Python round apart.
        self.time.chance = chance.randrange(1, 1_009) / 1_009
        if chance.random() < 0.08:
            self._ill = chance.choice([0.0, 0.5, 1.0])
        running = [
            n for n in range(len(self.machines.executions)) if self.machines.executions[n].status == "RUNNING"
        ]
        dice = chance.random()
        if dice < 0.01:
            self._order()
        elif self._environments and dice < 0.25:
            self._environment()
        elif len(running) < self._parallel and (not running or dice < 0.5):
            self._compare("start", self.machines.start(), self.runtime.start())
        else:
            self._go_on(chance.choice(running))

    def _go_on(self, number: int) -> None:
        chance, machines = self._chance, self.machines
        at = machines.waits_for(number)
        if at == "wait":
            self.time.ms = max(self.time.ms, round(machines.until(number) * 1000))
        if at in {"call", "probe"}:
            self.calls += 1
        answer: dict[str, Any] = {
            "stale": chance.choice([0, 0, 0, 1, 3]) if at == "read" else 0,
            "is_away": self._has_troubles and chance.random() < 0.1,
            "outcome": self._outcome(),
        }
        step = f"e{number} {at} {answer}"
        self._compare(step, machines.go_on(number, **answer), self.runtime.go_on(number, **answer))
        if at != "wait" and machines.waits_for(number) == "wait":
            held = self.runtime.executions[number].held
            assert machines.until(number) >= self.time.wall() + held - 0.001, "\n".join(self.steps[-14:])

    def _environment(self) -> None:
        chance = self._chance
        name = chance.choice(self._environments)
        is_away = self._has_troubles and chance.random() < 0.1
        for world in self._worlds:
            world.is_away = is_away
        if chance.random() < 0.5:
            answers = [f"{name} enters", *(world.enter(name) for world in self._worlds)]
        else:
            error = None if chance.random() >= self._ill else Downstream("down")
            self.calls += 1
            answers = [f"{name} leaves {error!r}", *(world.leave(name, error) for world in self._worlds)]
        for world in self._worlds:
            world.is_away = False
        self._compare(*answers)

    def _order(self) -> None:
        state = self._chance.choice([CircuitState.FORCED_OPEN, CircuitState.DISABLED, CircuitState.CLOSED])
        for world in self._worlds:
            order(world.store(), NAME, state, now=self.time.wall(), reason="a person", by="ops")
        self._compare(f"order {state}", "", "")

    def _outcome(self) -> str:
        if self._chance.random() >= self._ill:
            return "success"
        return self._chance.choice(["Broken"] * 8 + ["Ignored", "Throttled"])

    @property
    def _worlds(self) -> tuple[World, World]:
        return self.machines, self.runtime

    def _compare(self, step: str, one: str, other: str) -> None:
        self.steps.append(f"{self.time.ms} {step} → {one}")
        self.seen.add(one)
        self.seen.add(str(self.machines.item.get("state", {}).get("S")))
        before = "\n".join(self.steps[-14:])
        assert one == other, f"{before}\n{one!r} is not {other!r}\n{self.machines.item}"
        mine, theirs = comparable(self.machines.item), comparable(self.runtime.item)
        assert mine == theirs, f"{before}\n{mine}\nis not\n{theirs}"
        for world in self._worlds:
            world.past.append(dict(world.item))
