"""The demonstration from its first process to its last: deploy, drive, break, drain, count, tidy."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from resilient_constructs.local import Deployment, LocalAws, LocalAwsError, deploy

from .account import account, stop_consuming
from .circuits import Sighting, changes, feeding, feeding_words
from .courier import Courier, Manner, Outcome
from .drive import Driver
from .errors import DemoError
from .orders import plan
from .profile import load_profile
from .screen import Screen, Standing
from .server import CourierServer
from .story import Story
from .witnesses import Depths, System, depths, discover

__all__ = ["Demo", "Wishes"]

_DIED = "the local AWS ended in the middle of the run; nothing of it is left. Run it again"
# A message on its way from the bus to the queue is in no queue's count, so empty has to be seen repeatedly.
_EMPTY_TIMES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a run is to be like.

    :param profile: an Artillery-format file
    :param seed: makes traffic and weather repeatable
    :param duration_factor: how many times as long as the profile says. Default: 1
    :param outage: the shares of the profile's time at which the courier goes down and comes back. Default:
        35 % and 65 %; both equal: no outage
    :param patience: seconds to wait for the queues to drain after the last request. Default: 150
    :param app: the command that synthesizes the CDK app
    :param directory: where that command runs. Default: the current directory
    :param stack: the stack to deploy; it has an output ``ApiUrl`` and takes ``examples/app.py``'s context
    :param manner: how the courier behaves
    :param recovery: seconds that the courier is left alone after it was found to be down. Default: 3, as the
        outage takes seconds and not minutes, too
    :raises ValueError: when the outage is no stretch of the profile
    """

    profile: Path
    seed: int = 7
    duration_factor: float = 1.0
    outage: tuple[float, float] = (0.35, 0.65)
    patience: float = 150.0
    app: str = "python examples/app.py"
    directory: Path = field(default_factory=Path.cwd)
    stack: str = "Courier"
    manner: Manner = field(default_factory=Manner)
    recovery: float = 3.0

    def __post_init__(self) -> None:
        begin, end = self.outage
        if not 0 <= begin <= end <= 1:
            raise ValueError(f"Wishes: outage is {self.outage!r}; allowed: two shares from 0 to 1, in order")

    @property
    def context(self) -> Mapping[str, str]:
        """The CDK context that fits the stack to this courier.

        Its mean time in service, not its mean delivery, is what occupies a slot (Little's law). It is rounded
        down to a whole number of slots: without pacing, one slot too many turns every moment of saturation
        into refusals that cost each message one of its receives.
        """
        per_slot = 1000 / self.manner.requests_per_second
        slots = max(2, int(self.manner.mean_time_in_service * 1000 / per_slot))
        return {
            "courier-latency-ms": str(round(slots * per_slot)),
            "courier-timeout-ms": str(round(self.manner.slowest * 1000) + 400),
            "courier-recovery-ms": str(round(self.recovery * 1000)),
        }


class Demo:
    """One demonstration run.

    :param wishes: what it is to be like
    :param screen: where it is shown
    :raises ProfileError: when the profile can't be driven; nothing has been started then
    """

    def __init__(self, wishes: Wishes, screen: Screen) -> None:
        self._wishes = wishes
        self._screen = screen
        self._profile = load_profile(wishes.profile).stretched(wishes.duration_factor)
        self._planned = plan(self._profile, seed=wishes.seed, run=f"demo-{int(time.time()):x}")
        self._courier = Courier(manner=wishes.manner, seed=wishes.seed)
        self._samples: list[Depths] = []
        self._fed: list[Sighting] = []
        self._over = threading.Event()
        self._timings: dict[str, float] = {}

    def run(self) -> Story:
        """Run it, leaving no process behind whatever happens.

        :raises DemoError: when the local AWS ends in the middle
        :raises LocalAwsError: when it cannot start, or the deployment fails
        """
        with ExitStack() as stack, self._timed("total"):
            with self._timed("start"):
                self._screen.step("starting the courier and the local AWS")
                server = stack.enter_context(CourierServer(self._courier))
                aws = stack.enter_context(LocalAws())
            stack.callback(self._over.set)
            try:
                return self._on(aws, server.url)
            except (LocalAwsError, DemoError):
                raise
            except Exception as error:
                # Its supervisor needs a moment to notice; until then one sees a refused connection only.
                if _ended(aws):
                    raise DemoError(_DIED) from error
                raise

    def _on(self, aws: LocalAws, courier_url: str) -> Story:
        with self._timed("deploy"):
            self._screen.step(f"cdk deploy {self._wishes.stack}")
            deployment = self._deploy(aws, courier_url)
            system, api = self._find(aws, deployment)
        threading.Thread(target=self._sample, args=(aws, system), name="sampler", daemon=True).start()
        driver = Driver(f"{api}{self._profile.path}")
        started = time.time()
        with self._timed("drive"):
            self._announce()
            sent = driver.drive(self._planned, tick=lambda elapsed: self._tick(aws, driver, elapsed))
            self._courier.up()
        with self._timed("drain"):
            drained = self._drain(aws, driver, system, started)
        ended = time.time()
        self._over.set()
        self._screen.settle()
        with self._timed("count"):
            self._screen.step("counting" if drained else "not drained in time; counting what still waits")
            if not drained:
                stop_consuming(aws.client, system)
            ledger = account(aws.client, system, sent=sent, calls=self._courier.seen())
        return Story(
            started=started,
            ended=ended,
            sent=sent,
            calls=self._courier.seen(),
            depths=tuple(self._samples),
            outages=tuple((begin, end or ended) for begin, end in self._courier.outages),
            ledger=ledger,
            capacity=self._wishes.manner.capacity,
            fidelity=tuple(str(difference) for difference in deployment.fidelity),
            settings=self._settings(system),
            timings=self._timings,
            changes=() if system.guard is None else changes(aws.client, system.guard),
            fed=tuple(self._fed),
        )

    def _find(self, aws: LocalAws, deployment: Deployment) -> tuple[System, str]:
        try:
            return discover(aws.client, self._wishes.stack), deployment.api_url("ApiUrl")
        except (LookupError, ValueError) as error:
            raise DemoError(
                f"{error.args[0]}. The demo drives an app whose stack {self._wishes.stack!r} has a consumer, "
                "and an output ApiUrl with the URL of a StorageFirstApi, as examples/courier.py has"
            ) from error

    def _deploy(self, aws: LocalAws, courier_url: str) -> Deployment:
        return deploy(
            aws,
            app=self._wishes.app,
            stacks=[self._wishes.stack],
            cwd=self._wishes.directory,
            context={"courier-url": courier_url, **self._wishes.context},
        )

    def _announce(self) -> None:
        begin, end = self._wishes.outage
        down = (end - begin) * self._profile.duration
        self._screen.step(
            f"{len(self._planned)} requests in {self._profile.duration:.0f} s ({self._wishes.profile.name}); "
            f"the courier will be down for {down:.0f} s of them"
        )

    def _tick(self, aws: LocalAws, driver: Driver, elapsed: float) -> None:
        begin, end = (share * self._profile.duration for share in self._wishes.outage)
        if begin <= elapsed < end:
            self._courier.down()
        else:
            self._courier.up()
        self._check(aws)
        self._show("driving", driver, elapsed)

    def _check(self, aws: LocalAws) -> None:
        if not aws.running:
            raise DemoError(_DIED)

    def _show(self, phase: str, driver: Driver, elapsed: float) -> None:
        answers = Counter(answer.status for answer in driver.sent())
        outcomes = Counter(call.outcome for call in self._courier.seen())
        latest = self._samples[-1] if self._samples else Depths(at=0, visible=0, in_flight=0, dead=0)
        self._screen.show(
            Standing(
                phase=phase,
                elapsed=elapsed,
                planned=len(self._planned),
                sent=answers.total(),
                accepted=answers[202],
                rejected=answers.total() - answers[202] - answers[None],
                delivered=outcomes[Outcome.DELIVERED],
                visible=latest.visible,
                in_flight=latest.in_flight,
                dead=latest.dead,
                courier_down=self._courier.is_down,
                feeding=feeding_words(self._fed[-1].concurrency) if self._fed else "",
            )
        )

    def _sample(self, aws: LocalAws, system: System) -> None:
        while not self._over.wait(0.5):
            try:
                self._samples.append(depths(aws.client, system))
                if system.guard is not None:
                    self._fed.append(feeding(aws.client, system.guard, now=time.time()))
            except Exception:  # noqa: BLE001 (one sample less; whether AWS is alive is the main thread's question)
                if not aws.running:
                    return

    def _drain(self, aws: LocalAws, driver: Driver, system: System, started: float) -> bool:
        """Wait until no work queue has anything left; False when patience ran out first."""
        deadline = time.monotonic() + self._wishes.patience
        empty = 0
        while empty < _EMPTY_TIMES:
            if time.monotonic() > deadline:
                return False
            self._check(aws)
            empty = 0 if depths(aws.client, system).waiting else empty + 1
            self._show("draining", driver, time.time() - started)
            time.sleep(0.5)
        return True

    def _settings(self, system: System) -> dict[str, str]:
        wishes, manner = self._wishes, self._wishes.manner
        return {
            "profile": f"{wishes.profile.name}, {self._profile.duration:.0f} s, seed {wishes.seed}",
            "courier": f"{manner.requests_per_second:g} calls/s, burst {manner.burst:g}, "
            f"{manner.failure_share:.0%} fail, {manner.fastest:g} to {manner.slowest:g} s a delivery",
            "stack": f"{wishes.stack}: {len(system.work_queues)} work queue, "
            f"{len(system.dead_letter_queues)} dead-letter queues",
        }

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self._timings[step] = time.monotonic() - begun


def _ended(aws: LocalAws) -> bool:
    deadline = time.monotonic() + 1.5
    while aws.running and time.monotonic() < deadline:
        time.sleep(0.05)
    return not aws.running
