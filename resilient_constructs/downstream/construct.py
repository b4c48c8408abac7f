"""A scalability boundary: what the thing behind it can take, and how much its callers may ask of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from aws_cdk import Duration, Tokenization
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct
from resilient_runtime.pace_plan import PacePlan, plan_pace
from resilient_runtime.settings import DownstreamSettings

from resilient_constructs.limits import Faults
from resilient_constructs.monitoring import OnCall, monitor
from resilient_constructs.places import settle, stack_of
from resilient_constructs.tokens import is_token

from .breaker import BreakerPolicy
from .callers import Caller, Callers
from .circuits import Circuits
from .limits import (
    BURST,
    CONNECTIONS,
    MAX_CONCURRENCY,
    MIN_CONCURRENCY,
    REQUESTS_PER_SECOND,
    SCALING_PAGE,
    TYPICAL_LATENCY,
)
from .signals import circuit_section, circuit_signals

__all__ = ["Downstream", "pause_source"]


class Downstream(Construct):
    """Something that does not scale at will: an API, a database, a mainframe.

    Declare it once and hand it to every consumer that calls it, in whichever stack. Its construct ID is the
    name under which a handler crosses the boundary: ``call.downstream("Courier")``.

    A consumer's concurrency follows from it by Little's law: **concurrency = rate × time in service**. Ten
    requests a second that take five seconds each keep 50 callers busy. Half as many more are allowed, 75, so
    that a slow call costs no turn, and each of them waits for its turn: one call in 7.5 seconds.

    :param requests_per_second: what it takes from all callers together. Default: no limit of rate
    :param burst: how many requests it takes at once on top, as a token bucket's size. Default: one second's
        worth of requests
    :param typical_latency: how long one request usually takes. Default: one second
    :param connections: how many callers it can have at the same time, all consumers together; an app whose
        consumers could exceed it is refused at synth. Default: no limit of connections
    :param breaker: when to stop calling it, and how to begin again; ``BreakerPolicy()`` will do. Its state is
        shared by all environments of all consumers, and while it is open their sources are paused. Default:
        no breaker
    :param on_call: who is told when its circuit stays open. Default: nobody; the alarm exists all the same
    :raises ValueError: when neither a rate nor connections are given, or a value is out of range; all faults
        at once

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        requests_per_second: float | None = None,
        burst: float | None = None,
        typical_latency: Duration | None = None,
        connections: int | None = None,
        breaker: BreakerPolicy | None = None,
        on_call: OnCall | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        latency = TYPICAL_LATENCY.default or 0.0
        unresolved = typical_latency is not None and typical_latency.is_unresolved()
        if typical_latency is not None and not unresolved:
            latency = typical_latency.to_milliseconds() / 1000
        faults = Faults(f"Downstream {construct_id!r}")
        faults.check(REQUESTS_PER_SECOND, requests_per_second)
        faults.check(BURST, burst)
        faults.check(TYPICAL_LATENCY, latency)
        faults.check(CONNECTIONS, connections)
        if requests_per_second is None and connections is None:
            faults.add("requests_per_second", None, "a rate, or connections, or both", SCALING_PAGE)
        if burst is not None and requests_per_second is None:
            faults.add("burst", burst, "only together with requests_per_second", SCALING_PAGE)
        for prop, is_unknown in (
            ("requests_per_second", is_token(requests_per_second)),
            ("burst", is_token(burst)),
            ("typical_latency", unresolved),
            ("connections", is_token(connections)),
        ):
            if is_unknown:
                # concurrency and pace are computed from these at synth; a token has no value until deploy
                faults.add(prop, "a token", "a number known at synth", SCALING_PAGE)
        if breaker is not None:
            breaker.check(faults, None if unresolved else latency)
        faults.raise_any()

        self.name = construct_id
        """The name that handlers call it by."""
        self.requests_per_second = requests_per_second
        self.burst = burst
        self.typical_latency_seconds = latency
        self.connections = connections
        self._callers = Callers(
            construct_id,
            None
            if requests_per_second is None
            else plan_pace(
                requests_per_second=requests_per_second,
                burst=burst,
                typical_latency=latency,
                connections=connections,
            ),
            connections=connections,
        )
        self._callers.watch(self, stack_of(self))
        self.breaker = breaker
        """When its circuit opens and closes; None without a breaker."""
        self.circuits: Circuits | None = None
        """The table and the controller of this stack's circuits; None without a breaker."""
        self.alarms: Mapping[str, cloudwatch.CfnAlarm] = {}
        """The alarms by signal: ``CircuitOpen``, where there is a breaker."""
        if breaker is not None:
            self.circuits = Circuits.of(self, on_call=on_call)
            self.circuits.controller_in(self).tell(self.name)
            table = self.circuits.table_name
            self.alarms = monitor(
                self,
                signals=circuit_signals(table, self.name),
                section=circuit_section(table, self.name),
                on_call=on_call,
            )

    @property
    def plan(self) -> PacePlan | None:
        """How its rate is shared out among its callers, as far as they are known; None without a rate."""
        return self._callers.plan

    @property
    def concurrency_by_rate(self) -> int | None:
        """Little's law: rate × time in service, rounded up; None without a rate."""
        if self._callers.chosen is None:
            return None
        # rounded first, so that 10/s × 0.3 s is 3 and not the 4 that binary fractions make of it
        return max(1, math.ceil(round(self._callers.chosen.busy, 6)))

    @property
    def max_concurrency(self) -> int:
        """The concurrency that keeps it busy, for callers that wait for their turns.

        The smaller of Little's law with some headroom and its connections, within the 2 to 1,000 that an
        event source mapping can be held to.
        """
        chosen = self._callers.chosen
        return self.unpaced_concurrency if chosen is None else chosen.max_concurrency

    @property
    def unpaced_concurrency(self) -> int:
        """The concurrency for callers without this package's runtime: nothing holds these to the rate.

        The smaller of Little's law and its connections, within the same 2 to 1,000.
        """
        bounds = [bound for bound in (self.concurrency_by_rate, self.connections) if bound is not None]
        return max(MIN_CONCURRENCY, min(*bounds, MAX_CONCURRENCY))

    @property
    def arithmetic(self) -> str:
        """How ``max_concurrency`` came about, in words and numbers."""
        chosen = self._callers.chosen
        if chosen is None:
            return f"{self.connections} connections → max concurrency {self.max_concurrency}"
        return "; ".join(chosen.steps())

    def settings(self, max_concurrency: float) -> DownstreamSettings:
        """What a function that calls it needs to know.

        Where there is a rate, all callers share it, so the function is told of the sum of their concurrencies
        once the app is whole.

        :param max_concurrency: how many environments of that function may call it at once
        """
        return DownstreamSettings(
            name=self.name,
            requests_per_second=self.requests_per_second,
            burst=self.burst,
            max_concurrency=None if is_token(max_concurrency) else self._callers.shared(int(max_concurrency)),
            breaker=None if self.breaker is None else self.breaker.settings(self.typical_latency_seconds),
        )

    def pause(
        self,
        caller: Construct,
        mapping_id: str,
        *,
        max_concurrency: float | None = None,
        retry_attempts: float | None = None,
    ) -> None:
        """Pause an event source mapping while the circuit is open.

        Consumers of this package do it themselves; call it for a mapping of your own, whichever its source:
        SQS, Kinesis or a DynamoDB stream. Without a breaker it does nothing.

        :param caller: a construct of the stack that the mapping is in
        :param mapping_id: the mapping's UUID, which is its ``ref``
        :param max_concurrency: for SQS, its maximum concurrency while all is well. Default: it has none, as
            mappings of streams, and is only enabled and disabled
        :param retry_attempts: for a stream, how often it tries a batch again while all is well; until the
            circuit is closed it has no end of retries, so that probes which fail use up none. Default: its
            retries are left alone, and a long outage may use them up
        """
        pause_source(
            caller, [self], mapping_id, max_concurrency=max_concurrency, retry_attempts=retry_attempts
        )

    def register(
        self,
        caller: Construct,
        max_concurrency: float,
        *,
        is_paced: bool = False,
        timeout: float | None = None,
    ) -> None:
        """Note that ``caller`` may cross this boundary ``max_concurrency`` times at once.

        Consumers of this package do it themselves; call it for a caller of your own, so that the budget is
        complete. A concurrency that only CloudFormation knows is left out of the sum.

        Synth warns when the callers together are too many or too few for the rate. When they exceed the
        connections, it fails.

        :param caller: the construct that calls it; the error names it by its path
        :param max_concurrency: how many calls of it can be under way at the same time
        :param is_paced: whether it waits for its turns, as this package's runtime does. Default: no
        :param timeout: seconds that it may wait and call for. Default: not known
        """
        self._callers.add(
            Caller(
                construct=caller,
                max_concurrency=None if is_token(max_concurrency) else int(max_concurrency),
                is_paced=is_paced,
                timeout=None if timeout is None or is_token(timeout) else timeout,
            )
        )

    @property
    def registered_concurrency(self) -> int:
        """How many calls all its callers known so far can make at the same time."""
        return self._callers.total


def pause_source(
    caller: Construct,
    downstreams: Sequence[Downstream],
    mapping_id: str,
    *,
    max_concurrency: float | None,
    retry_attempts: float | None = None,
) -> None:
    """Pause a mapping while one of several downstreams is down; those without a breaker never are."""
    guarded = [each for each in downstreams if each.circuits is not None]
    if guarded and guarded[0].circuits is not None:
        names = [each.name for each in guarded]
        controller = guarded[0].circuits.controller_in(caller)
        controller.feed(mapping_id, names, _digits(max_concurrency), _digits(retry_attempts))


def _digits(number: float | None) -> str:
    if number is None:
        return ""
    return Tokenization.stringify_number(number) if is_token(number) else f"{number:g}"
