"""Executions as programs that guard their call by the runtime's breaker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from conformance_worlds import NAME, WORK_SECONDS, Downstream, Refused, Time, World
from resilient_runtime.breaker import Breaker, BreakerPolicy, CircuitOpen, CircuitState
from resilient_runtime.clock import Clock
from resilient_runtime.stores.circuits import DynamoDBCircuits

__all__ = ["Runtime"]

MOST_TRIES = 2


class Runtime(World):
    """The world in which each execution is a program around a breaker."""

    def __init__(self, policy: BreakerPolicy, time: Time, *, waits: bool) -> None:
        super().__init__(policy, time)
        self.executions: list[_Program] = []
        self.waits = waits

    def start(self) -> str:
        """One more execution."""
        program = _Program(self, len(self.executions))
        self.executions.append(program)
        return program.begin()

    def go_on(self, number: int, *, stale: int, is_away: bool, outcome: str) -> str:
        """The table or the downstream answers, or the wait is over."""
        return self.executions[number].go_on((stale, is_away, outcome))

    def end(self) -> None:
        """Stop the programs that are still at it."""
        for program in self.executions:
            program.stop()


class _Stopped(BaseException):
    pass


class _Program:
    """An execution as a program would be that guards its call by the runtime's breaker; the driver of a trace
    lets it go on from one question to the table, or the downstream, to the next."""

    def __init__(self, world: Runtime, number: int) -> None:
        self._world = world
        self._environment = f"arn:aws:states:eu-west-1:123456789012:execution:Machine:e{number}"
        self._ticks = 0.0
        self._refused: set[str] = set()
        self._is_first_read = True
        self.held = 0.0
        self._state = ""
        self._answer: tuple[int, bool, str] | None = (0, False, "")
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._breaker = self._new_breaker()

    def begin(self) -> str:
        self._thread.start()
        self._theirs.acquire()
        return self._state

    def go_on(self, answer: tuple[int, bool, str]) -> str:
        self._answer = answer
        self._mine.release()
        self._theirs.acquire()
        return self._state

    def stop(self) -> None:
        if self._thread.is_alive():
            self._answer = None
            self._mine.release()
            self._thread.join()

    def get_item(self, **arguments: Any) -> Mapping[str, Any]:
        stale, is_away, _ = self._ask("read")
        if is_away:
            self._refused.add("read")
            raise Refused
        if self._is_first_read:
            past = self._world.past[max(len(self._world.past) - 1 - stale, 0)]
            return {"Item": dict(past)} if past else {}
        return self._world.table.get_item(**arguments)

    def update_item(self, **arguments: Any) -> Mapping[str, Any]:
        kind = "change" if "ConditionExpression" in arguments else "count"
        _, is_away, _ = self._ask(kind)
        if is_away:
            self._refused.add(kind)
            raise Refused
        return World.update_item(self._world, **arguments)

    def _run(self) -> None:
        try:
            end = self._drive()
        except _Stopped:
            return
        except BaseException as fault:  # noqa: BLE001  a thread's fault would be nobody's
            end = f"broke: {fault!r}"
        self._state = end
        self._theirs.release()

    def _drive(self) -> str:
        tries = 0
        while True:
            self._ticks += 1e6
            self._refused.clear()
            self.held = 0.0
            try:
                lease = self._breaker.enter(lambda: WORK_SECONDS)
            except CircuitOpen:
                if self._circuit_is(CircuitState.CLOSED) or self._world.waits:
                    self._is_first_read = False
                    self._ask("wait")
                    continue
                return "parked"
            self._is_first_read = False
            was_unreachable = bool(self._refused) and self._circuit_is(CircuitState.CLOSED)
            began = self._world.time.ms
            _, _, outcome = self._ask("call" if lease is None else "probe")
            error = None if outcome == "success" else type(outcome, (Downstream,), {})()
            self._refused.clear()
            self._breaker.leave((self._world.time.ms - began) / 1000, error, lease)
            if error is None:
                return "done"
            self._look_whether_held()
            counts = outcome == "Broken"
            is_open = not self._circuit_is(CircuitState.CLOSED, CircuitState.DISABLED)
            if was_unreachable or "count" in self._refused:
                self._breaker = self._new_breaker()
            if counts and is_open:
                if not self._world.waits:
                    return "parked"
            elif tries < MOST_TRIES and outcome != "Ignored":
                tries += 1
            else:
                return "gave up"
            self._ask("wait")

    def _look_whether_held(self) -> None:
        try:
            self._breaker.check()
        except CircuitOpen as refusal:
            if refusal.state is CircuitState.CLOSED and refusal.retry_after is not None:
                self.held = refusal.retry_after

    def _circuit_is(self, *states: CircuitState) -> bool:
        return self._breaker.circuit.state in states

    def _new_breaker(self) -> Breaker:
        return Breaker(
            NAME,
            self._world.policy,
            store=DynamoDBCircuits("circuits", lambda: self),
            environment=self._environment,
            clock=Clock(self._world.time.wall, lambda: self._ticks),
            random=self._world.time.random,
            redact=lambda _: "",
            counts=lambda error: type(error).__name__ == "Broken",
        )

    def _ask(self, question: str) -> tuple[int, bool, str]:
        self._state = question
        self._theirs.release()
        self._mine.acquire()
        if self._answer is None:
            raise _Stopped
        return self._answer
