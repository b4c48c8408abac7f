"""The courier example through a real outage in which its processes die: the ledger balances."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deaths import kill, wait_for

from resilient_constructs.demo.account import account
from resilient_constructs.demo.circuits import Change, Guard, changes
from resilient_constructs.demo.courier import Courier, Manner, Outcome
from resilient_constructs.demo.drive import Driver
from resilient_constructs.demo.ledger import Fate
from resilient_constructs.demo.orders import Kind, Planned, plan
from resilient_constructs.demo.profile import Phase, Profile
from resilient_constructs.demo.server import CourierServer
from resilient_constructs.demo.witnesses import System, depths, discover
from resilient_constructs.local import Deployment, LocalAws, deploy
from resilient_constructs.local.permissions import prove
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Courier"
ORDERS = Profile(
    phases=(Phase(duration=20, rate=8.0),),
    path="/orders",
    body={"order_id": "{{ $randomString(12) }}", "address": "{{ $randomNumber(1, 200) }} Harbour Street"},
)


@dataclass
class Shop:
    """The deployed example, and what one can see of it."""

    deployment: Deployment
    courier: Courier
    system: System
    planned: tuple[Planned, ...] = field(default_factory=lambda: plan(ORDERS, seed=5, run="outage"))

    @property
    def aws(self) -> LocalAws:
        """The local AWS it is on."""
        return self.deployment.aws

    @property
    def guard(self) -> Guard:
        """Its circuit controller."""
        assert self.system.guard is not None
        return self.system.guard

    @property
    def feeding(self) -> tuple[str, int]:
        """State and concurrency of the consumer's mapping."""
        (uuid,) = self.guard.mappings
        found: dict[str, Any] = self.aws.client("lambda").get_event_source_mapping(UUID=uuid)
        return found["State"], found["ScalingConfig"]["MaximumConcurrency"]

    def delivered(self) -> int:
        """How many orders have been delivered."""
        return sum(call.outcome is Outcome.DELIVERED for call in self.courier.seen())

    def told(self) -> tuple[Change, ...]:
        """What the controller told so far."""
        return changes(self.aws.client, self.guard)

    def is_drained(self) -> bool:
        """Whether no order waits, or is under way."""
        return depths(self.aws.client, self.system).waiting == 0


@pytest.fixture(scope="module")
def shop(local_aws: LocalAws) -> Iterator[Shop]:
    """All examples deployed, before a courier that fails nobody while it is up."""
    courier = Courier(manner=Manner(failure_share=0, fastest=0.1, slowest=0.3))
    with CourierServer(courier) as server:
        context = {
            "courier-url": server.url,
            "courier-latency-ms": "300",
            "courier-timeout-ms": "1000",
            "courier-recovery-ms": "3000",
        }
        deployment = deploy(local_aws, cwd=REPOSITORY, context=context)
        yield Shop(deployment=deployment, courier=courier, system=discover(local_aws.client, STACK))


def test_an_outage_in_which_processes_die_loses_nothing(shop: Shop) -> None:
    """Paused and probed as told, consumer and controller killed, restored: every order is delivered."""
    driver = Driver(f"{shop.deployment.api_url('ApiUrl')}/orders")
    traffic = threading.Thread(target=driver.drive, args=(shop.planned,))
    traffic.start()
    wait_for("the first deliveries", lambda: shop.delivered() >= 10)
    assert shop.feeding == ("Enabled", 5)

    shop.courier.down()
    wait_for("a call into the outage", lambda: Outcome.DOWN in {call.outcome for call in shop.courier.seen()})
    assert kill(shop.aws, "DeliveryFunction") > 0
    wait_for("the pause", lambda: shop.feeding[0] == "Disabled")
    assert kill(shop.aws, "Controller") > 0
    wait_for("a probe", lambda: shop.feeding == ("Enabled", 2))
    kill(shop.aws)
    shop.courier.up()
    delivered = shop.delivered()
    wait_for("the next delivery", lambda: shop.delivered() > delivered)
    kill(shop.aws)
    wait_for("the restored mapping", lambda: shop.feeding == ("Enabled", 5))
    traffic.join()
    wait_for("drained queues", shop.is_drained)

    ledger = account(shop.aws.client, shop.system, sent=driver.sent(), calls=shop.courier.seen())
    assert ledger.balanced, (ledger.lost, ledger.discrepancies)
    assert ledger.lost == 0
    kinds = [request.kind for request in shop.planned]
    assert ledger.accepted == kinds.count(Kind.GOOD) + kinds.count(Kind.POISON)
    assert ledger.count(Fate.COMPLETED) == kinds.count(Kind.GOOD)
    assert ledger.count(Fate.DEAD_LETTERED) == kinds.count(Kind.POISON)
    states = [(change.before, change.after) for change in shop.told()]
    assert states[0] == ("CLOSED", "OPEN")
    assert states[-1] == ("HALF_OPEN", "CLOSED")
    assert prove(shop.aws, [STACK]).denied == ()
