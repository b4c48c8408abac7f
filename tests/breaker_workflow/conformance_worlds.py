"""Two worlds that live through the same trace: state machines in one, the runtime's breakers in the other.

What "the same" means. An execution is one environment: in the other world it has one ``Breaker`` of its own.
A state machine reads the circuit before every call, and what it read is good for as long as that call; so
the breaker's ticks stand still during an attempt (nothing grows stale) and jump between two (everything has).
What an execution could not tell the table it forgets; so a breaker whose count was refused is replaced by a
new one. A change that somebody else was quicker with is read again by the machine, and comes back with the
refusal in the runtime; so nothing happens between the two. Time, chance, and what the downstream and the
table do are the trace's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilient_runtime.breaker import Breaker, BreakerPolicy, CircuitOpen, Lease
from resilient_runtime.clock import Clock
from resilient_runtime.stores.circuits import DynamoDBCircuits

from resilient_constructs.testing.states import Execution, StateMachine, StatesError, Table, TaskCall

__all__ = ["NAME", "WORK_SECONDS", "Downstream", "Machines", "Refused", "Time", "World", "comparable"]

NAME = "Courier"
LOST = "DynamoDB.ConditionalCheckFailedException"
WORK_SECONDS = 20


class Time:
    """Milliseconds, and the one number that chance has at a step."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_000
        self.chance = 0.5

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.ms / 1000

    def random(self) -> float:
        """From 0 up to 1."""
        return self.chance


class Refused(Exception):  # noqa: N818
    """The table does not answer."""


class _LostError(Exception):
    def __init__(self, item: Mapping[str, Any]) -> None:
        super().__init__(LOST)
        self.response = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": item}


class Downstream(Exception):  # noqa: N818
    """The downstream's error; its subclasses are named as Step Functions would name them."""


class World:
    """What both worlds have: a table, its past, and environments that are no executions.

    :param policy: the circuit's
    :param time: both worlds' time
    """

    def __init__(self, policy: BreakerPolicy, time: Time) -> None:
        self.policy, self.time = policy, time
        self.table = Table()
        self.past: list[dict[str, Any]] = [{}]
        self.is_away = False
        self.environments: dict[str, tuple[Breaker, list[tuple[float, Lease | None]]]] = {}

    @property
    def item(self) -> dict[str, Any]:
        """What is stored."""
        return self.table.items.get(NAME, {})

    def get_item(self, **arguments: Any) -> Mapping[str, Any]:
        """As boto3, for environments that are no executions."""
        self._answer()
        return self.table.get_item(**arguments)

    def update_item(self, **arguments: Any) -> Mapping[str, Any]:
        """As boto3."""
        self._answer()
        try:
            return self.table.update_item(**arguments)
        except StatesError as error:
            if error.name == LOST:
                raise _LostError(self.item) from None
            raise

    def store(self) -> DynamoDBCircuits:
        """The runtime's own store over this table."""
        return DynamoDBCircuits("circuits", lambda: self)

    def enter(self, name: str) -> str:
        """An environment begins a call."""
        if name not in self.environments:
            clock = Clock(self.time.wall, self.time.wall)
            breaker = Breaker(
                NAME,
                self.policy,
                store=self.store(),
                environment=name,
                clock=clock,
                random=self.time.random,
                redact=lambda _: "",
            )
            self.environments[name] = (breaker, [])
        breaker, calls = self.environments[name]
        try:
            lease = breaker.enter()
        except CircuitOpen as refusal:
            return f"refused {refusal.state}"
        calls.append((self.time.wall(), lease))
        return "call" if lease is None else "probe"

    def leave(self, name: str, error: BaseException | None) -> str:
        """An environment's oldest call ends."""
        breaker, calls = self.environments.get(name, (None, []))
        if breaker is None or not calls:
            return "nothing"
        began, lease = calls.pop(0)
        breaker.leave(round(self.time.wall() - began, 3), error, lease)
        return "left"

    def _answer(self) -> None:
        if self.is_away:
            raise Refused


class Machines(World):
    """The world in which executions are state machines'."""

    def __init__(self, machine: StateMachine, policy: BreakerPolicy, time: Time) -> None:
        super().__init__(policy, time)
        self.executions: list[Execution] = []
        self.sent: list[dict[str, Any]] = []
        self._machine = machine

    def start(self) -> str:
        """One more execution."""
        name = f"e{len(self.executions)}"
        self.executions.append(
            self._machine.start(
                {"order": len(self.executions)}, clock=self.time.wall, random=self.time.random, name=name
            )
        )
        return self.waits_for(len(self.executions) - 1)

    def waits_for(self, number: int) -> str:
        """What the execution is at."""
        execution = self.executions[number]
        if execution.status != "RUNNING":
            if execution.status == "FAILED":
                return "gave up" if self.sent else f"broke: {execution.error}: {execution.cause}"
            is_parked = isinstance(execution.output, dict) and execution.output.get("outcome") == "PARKED"
            return "parked" if is_parked else "done"
        pending = execution.pending[0]
        if not isinstance(pending, TaskCall):
            return "wait"
        if pending.resource == "work":
            return "call" if execution.variables["lease"] == "none" else "probe"
        if pending.resource.endswith("getItem"):
            return "read"
        return "count" if pending.state == "Count" else "change"

    def go_on(self, number: int, *, stale: int, is_away: bool, outcome: str) -> str:
        """The table or the downstream answers, or the wait is over."""
        execution = self.executions[number]
        pending = execution.pending[0]
        if not isinstance(pending, TaskCall):
            pending.wake()  # type: ignore[attr-defined]
        elif pending.resource == "work":
            if outcome == "success":
                pending.succeed({"Payload": "done"})
            else:
                pending.fail(outcome, "secret")
        elif is_away:
            pending.fail("DynamoDB.InternalServerErrorException")
        else:
            self._ask_table(pending, self.past[max(len(self.past) - 1 - stale, 0)])
        self._do_what_is_not_compared(execution)
        return self.waits_for(number)

    def until(self, number: int) -> float:
        """When its wait is over."""
        return execution_until(self.executions[number])

    def _ask_table(self, call: TaskCall, past: dict[str, Any]) -> None:
        try:
            if call.resource.endswith("updateItem"):
                call.succeed(self.table.update_item(**call.arguments))
            elif call.arguments["ConsistentRead"]:
                call.succeed(self.table.get_item(**call.arguments))
            else:
                call.succeed({"Item": dict(past)} if past else {})
        except StatesError as error:
            call.fail(error.name, error.cause)

    def _do_what_is_not_compared(self, execution: Execution) -> None:
        while execution.pending:
            call = execution.pending[0]
            if not isinstance(call, TaskCall):
                return
            if call.resource.endswith("sendMessage"):
                self.sent.append(call.arguments)
                call.succeed({"MessageId": "1"})
            elif call.resource.endswith("getItem") and _has_lost(execution):
                self._ask_table(call, {})
            else:
                return


def execution_until(execution: Execution) -> float:
    """When the wait of an execution is over."""
    return float(getattr(execution.pending[0], "until", 0))


def comparable(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item without the two things that differ on purpose: a lease's suffix, and the error's message."""
    same = dict(item)
    if "leases" in same:
        leases = same["leases"]["M"]
        same["leases"] = sorted((_owner(id_), until["N"]) for id_, until in leases.items())
    if "reason" in same:
        same["reason"] = same["reason"]["S"].removesuffix(": ")
    return same


def _owner(lease: str) -> str:
    return lease.partition("@")[0].partition("/")[0]


def _has_lost(execution: Execution) -> bool:
    """Whether the read that it is at follows a change that somebody else was quicker with."""
    return execution.visited[-2:-1] != [] and execution.visited[-2] in {
        "OpenBefore",
        "Claim",
        "Open",
        "Conclude",
    }
