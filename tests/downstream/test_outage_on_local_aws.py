"""An outage on the local AWS: the source is paused, probed, restored, and no message is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from answering import answering
from deaths import kill, wait_for
from deployed import Deployed
from typer.testing import CliRunner

from resilient_constructs.local import LocalAws, deploy
from resilient_constructs.local.permissions import prove
from resilient_constructs.operate.command import breaker
from resilient_constructs.testing.local import local_aws as local_aws

pytestmark = [pytest.mark.local, pytest.mark.slow]

REPOSITORY = Path(__file__).parents[2]
STACK = "Guarded"


@dataclass
class Courier:
    """Answers 200, or 503 while it is down, and remembers."""

    is_down: bool = False
    delivered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    url: str = ""

    def answer(self, order: str) -> int:
        """The status for one call."""
        if self.is_down:
            self.refused += 1
            return 503
        self.delivered[order] += 1
        return 200


@pytest.fixture(scope="module")
def courier() -> Iterator[Courier]:
    """A courier on a free port."""
    courier = Courier()
    with answering(courier.answer) as port:
        courier.url = f"http://127.0.0.1:{port}"
        yield courier


@dataclass(frozen=True, kw_only=True)
class Guarded(Deployed):
    """The deployed app."""

    stack = STACK

    @property
    def mapping(self) -> tuple[str, int]:
        """State and concurrency of the consumer's mapping."""
        uuid = self.made("AWS::Lambda::EventSourceMapping", "Delivery")
        found = self.aws.client("lambda").get_event_source_mapping(UUID=uuid)
        return found["State"], found["ScalingConfig"]["MaximumConcurrency"]

    def send(self, ids: range) -> None:
        """Put orders into the consumer's queue."""
        url = self.made("AWS::SQS::Queue", "DeliveryQueue")
        for first in range(ids.start, ids.stop, 10):
            entries = [
                {"Id": str(one), "MessageBody": json.dumps({"id": str(one)})}
                for one in range(first, min(first + 10, ids.stop))
            ]
            self.aws.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)

    def waiting(self, begins: str) -> int:
        """How many messages a queue holds, seen or not."""
        url = self.made("AWS::SQS::Queue", begins)
        found = self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return sum(int(value) for name, value in found["Attributes"].items() if name.startswith("Approx"))

    def transitions(self) -> list[dict[str, Any]]:
        """What the event bus was told of, in the order of versions."""
        client, found = self.aws.client("sqs"), {}
        while messages := client.receive_message(
            QueueUrl=self.made("AWS::SQS::Queue", "Told"), MaxNumberOfMessages=10
        ).get("Messages"):
            for message in messages:
                detail = json.loads(message["Body"])["detail"]
                found[detail["version"]] = detail
        return [found[version] for version in sorted(found)]


@pytest.fixture(scope="module")
def guarded(local_aws: LocalAws, courier: Courier) -> Guarded:
    """The app, deployed."""
    return Guarded(
        deployment=deploy(
            local_aws,
            app="python tests/downstream/guarded_app/app.py",
            cwd=REPOSITORY,
            context={"courier_url": courier.url},
        )
    )


def test_an_outage_pauses_the_source_and_loses_nothing(guarded: Guarded, courier: Courier) -> None:
    """Disabled in the outage, enabled at two to probe, restored when healed; every order delivered."""
    guarded.send(range(20))
    wait_for("the first orders", lambda: len(courier.delivered) == 20)
    assert guarded.mapping == ("Enabled", 5)
    courier.is_down = True
    guarded.send(range(20, 100))
    wait_for("the pause", lambda: guarded.mapping[0] == "Disabled")
    wait_for("a probe", lambda: guarded.mapping == ("Enabled", 2))
    courier.is_down = False
    wait_for("the restored mapping", lambda: guarded.mapping == ("Enabled", 5))
    wait_for("all orders", lambda: len(courier.delivered) == 100)
    wait_for("an empty queue", lambda: guarded.waiting("DeliveryQueue") == 0)
    assert guarded.waiting("DeliveryDeadLetterQueue") == 0
    assert courier.refused < 20
    told = guarded.transitions()
    assert (told[0]["before"], told[0]["after"]) == ("CLOSED", "OPEN")
    assert told[-1]["after"] == "CLOSED"
    assert all(one["reason"] and one["by"] for one in told)
    assert prove(guarded.aws, [STACK]).denied == ()


def test_nothing_is_lost_when_processes_die(guarded: Guarded, courier: Courier) -> None:
    """Consumers and controller killed at the opening, at the probe and after it: every order is delivered."""
    courier.delivered.clear()
    courier.is_down = True
    guarded.send(range(1000, 1100))
    wait_for("a call into the outage", lambda: guarded.mapping[0] == "Disabled" or courier.refused > 30)
    killed = kill(guarded.aws)
    wait_for("the pause", lambda: guarded.mapping[0] == "Disabled")
    killed += kill(guarded.aws)
    wait_for("a probe", lambda: guarded.mapping == ("Enabled", 2))
    killed += kill(guarded.aws)
    courier.is_down = False
    wait_for("the first order", lambda: len(courier.delivered) > 0)
    killed += kill(guarded.aws)
    wait_for("the restored mapping", lambda: guarded.mapping == ("Enabled", 5))
    wait_for("all orders", lambda: len(courier.delivered) == 100)
    wait_for("an empty queue", lambda: guarded.waiting("DeliveryQueue") == 0)
    assert guarded.waiting("DeliveryDeadLetterQueue") == 0
    assert killed >= 4


def test_a_circuit_is_opened_and_closed_by_hand(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables that ``resilient local up`` prints, the command pauses a consumer and lets it go."""
    for name, value in guarded.aws.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    opened = CliRunner().invoke(breaker, ["open", "Courier", "--reason", "maintenance"])
    assert opened.exit_code == 0, opened.output
    wait_for("the pause", lambda: guarded.mapping[0] == "Disabled")
    shown = CliRunner().invoke(breaker, ["status", "Courier", "--json"])
    assert json.loads(shown.output)["reason"] == "maintenance"
    closed = CliRunner().invoke(breaker, ["close", "Courier", "--reason", "done"])
    assert closed.exit_code == 0, closed.output
    wait_for("the restored mapping", lambda: guarded.mapping == ("Enabled", 5))
