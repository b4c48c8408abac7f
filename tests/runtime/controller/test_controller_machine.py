"""Whatever happens to events, calls and processes: the mappings end as their circuits say."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule
from mapping_mishaps import NAMES, Mishaps
from resilient_runtime.breaker.circuit import CircuitState


class ControllerMachine(Mishaps):
    """Circuits change in any way, and time goes by."""

    @rule(name=st.sampled_from(NAMES), seconds=st.sampled_from([0, 1, 15, 60, 1000]))
    def opens(self, name: str, seconds: float) -> None:
        """Some environment opens a circuit."""
        self.stream.append(self.world.open(name, seconds=seconds))

    @rule(name=st.sampled_from(NAMES), state=st.sampled_from([s for s in CircuitState if s != "OPEN"]))
    def becomes(self, name: str, state: CircuitState) -> None:
        """An environment or a person brings a circuit into another state."""
        self.stream.append(self.world.be(name, state))

    @rule(seconds=st.sampled_from([0.5, 5, 30, 200]))
    def time_goes_by(self, seconds: float) -> None:
        """Meanwhile recovery times end."""
        self.world.now += seconds
        self.world.remaining = 30

    def teardown(self) -> None:
        """However it went, it ends well."""
        self.all_is_quiet_for_a_while()


TestController = ControllerMachine.TestCase
TestController.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
