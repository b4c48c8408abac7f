"""Whatever environments do, in whatever order, and whatever becomes of them: what always holds."""

from __future__ import annotations

from breaker_machine import BY_HAND, POLICY, Environments
from hypothesis import HealthCheck, settings
from resilient_runtime.breaker import CircuitState


class WayOut(Environments):
    """The same, and at its end the trouble ends as well."""

    def teardown(self) -> None:
        """Once store and downstream are well again, everybody calls again within the recovery time."""
        self.the_store_is_well()
        self.store.is_deadly = None
        if self.store.history[-1].circuit.state in BY_HAND:
            self.a_person_decides(CircuitState.CLOSED, 0)
        self.under_way.clear()
        longest = POLICY.longest_recovery_seconds + POLICY.lease_seconds + 60
        until = self.now + longest + 30
        while self.now < until:
            for which in range(5):
                self.begin(which)
                if self.under_way:
                    breaker, _, lease = self.under_way.pop()
                    breaker.leave(0.01, None, lease)
            self.now += 0.5
        self.every_change_is_a_lawful_one()
        assert self.store.history[-1].circuit.state is CircuitState.CLOSED
        assert all(breaker.circuit.state is CircuitState.CLOSED for breaker in self.breakers)


TestEnvironments = WayOut.TestCase
TestEnvironments.settings = settings(
    max_examples=200,  # 10,000 steps, in a few seconds
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
