"""The courier example on the local AWS, driven so that every grant of it is needed once."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from deployed import Deployed
from resilient_runtime.breaker.circuit import CircuitState
from resilient_runtime.controller.controller import Wake

from resilient_constructs.demo.courier import Courier, Outcome
from resilient_constructs.demo.witnesses import System, correlation_id_of
from resilient_constructs.local import LocalAws
from resilient_constructs.operate.breaker import Circuits, change, find_table

STACK = "Courier"
PATIENCE = 30.0


@dataclass(frozen=True, kw_only=True)
class CourierRun(Deployed):
    """A deployed courier stack, its courier, and what one can do to them."""

    stack = STACK
    courier: Courier
    system: System

    def order(self, address: str = "1 Harbour Street") -> tuple[int, str]:
        """Post an order; the status of the answer and the order's correlation ID."""
        correlation_id = f"proof-{uuid4().hex}"
        request = urllib.request.Request(
            f"{self.deployment.api_url('ApiUrl')}/orders",
            data=json.dumps({"order_id": correlation_id, "address": address}).encode(),
            headers={"Content-Type": "application/json", "X-Correlation-Id": correlation_id},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, correlation_id
        except urllib.error.HTTPError as refused:
            return refused.code, correlation_id

    def outcomes(self, correlation_id: str) -> list[Outcome]:
        """What the courier answered to every call for this order."""
        return [call.outcome for call in self.courier.seen() if call.correlation_id == correlation_id]

    def dead_letters(self, logical_id: str) -> list[str]:
        """The correlation IDs of the first ten messages in a queue; they stay visible."""
        messages = self.aws.client("sqs").receive_message(
            QueueUrl=self.url_of(logical_id),
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
            MessageAttributeNames=["All"],
        )
        return [correlation_id_of(message) for message in messages.get("Messages", [])]

    def logical_id(self, begins: str) -> str:
        """The one queue whose logical ID begins so."""
        queues = {**self.system.work_queues, **self.system.dead_letter_queues}
        (found,) = [name for name in queues if name.startswith(begins)]
        return found

    def url_of(self, begins: str) -> str:
        """The URL of the one queue whose logical ID begins so."""
        return {**self.system.work_queues, **self.system.dead_letter_queues}[self.logical_id(begins)]

    def ring(self, state: str = "ALARM") -> None:
        """Put every alarm of the stack into a state, so that it tells whoever is on call."""
        cloudwatch = self.aws.client("cloudwatch")
        for name, part in self.deployment.templates[STACK].resources.items():
            if part.type == "AWS::CloudWatch::Alarm":
                cloudwatch.set_alarm_state(
                    AlarmName=self.deployment.physical_id(name), StateValue=state, StateReason="a proof"
                )

    def owner(self, arn: str) -> str:
        """The logical ID, without its hash, of the resource whose policy it is."""
        cloudformation = self.aws.client("cloudformation")
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=STACK):
            for resource in page["StackResourceSummaries"]:
                if _last(resource.get("PhysicalResourceId", "")) == _last(arn):
                    return str(resource["LogicalResourceId"])[:-8]
        raise LookupError(arn)

    @property
    def feeding(self) -> tuple[str, int]:
        """State and concurrency of the consumer's mapping."""
        uuid = self.made("AWS::Lambda::EventSourceMapping", "Delivery")
        found = self.aws.client("lambda").get_event_source_mapping(UUID=uuid)
        return found["State"], found["ScalingConfig"]["MaximumConcurrency"]

    @property
    def circuits(self) -> Circuits:
        """The table of circuits."""
        return find_table(self.made("AWS::DynamoDB::Table", "ResilientCircuits"), self.aws.client)

    def command(self, state: CircuitState) -> None:
        """Bring the courier's circuit into a state, as a person does."""
        change(self.circuits, "Courier", state, reason="a proof", now=time.time())

    def open(self, seconds: float) -> None:
        """Bring it into the state that an outage leaves it in, for so long."""
        store, now = self.circuits.store, time.time()
        before = store.read("Courier").circuit
        after = replace(
            before,
            state=CircuitState.OPEN,
            version=before.version + 1,
            changed_at=now,
            retry_at=now + seconds,
            reason="a proof",
        )
        assert store.change("Courier", after, before=before).done

    def wake(self) -> None:
        """Leave the controller a message."""
        url = self.made("AWS::SQS::Queue", "ResilientCircuitsControllerWakeQueue")
        self.aws.client("sqs").send_message(
            QueueUrl=url, MessageBody=json.dumps(Wake("Courier", 0)._asdict())
        )

    def given_up(self) -> int:
        """How many messages are among the controller's dead letters."""
        url = self.made("AWS::SQS::Queue", "ResilientCircuitsControllerDeadLetterQueue")
        name = "ApproximateNumberOfMessages"
        answer = self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def reconcile(self, *, out_of_reach: bool = False) -> None:
        """Have the reconciler's rule fire now and not within two minutes.

        :param out_of_reach: at a target that does not exist
        """
        events, name = self.aws.client("events"), self.made("AWS::Events::Rule", "ResilientCircuits")
        name = name.rsplit("|", 1)[-1]
        schedule = events.describe_rule(Name=name)["ScheduleExpression"]
        (target,) = events.list_targets_by_rule(Rule=name)["Targets"]
        nowhere = f"{target['DeadLetterConfig']['Arn']}-deleted"
        events.put_targets(Rule=name, Targets=[{**target, "Arn": nowhere if out_of_reach else target["Arn"]}])
        events.put_rule(Name=name, EventPattern=json.dumps({"source": ["proof"]}))
        events.put_events(Entries=[{"Source": "proof", "DetailType": "now", "Detail": "{}"}])
        events.put_rule(Name=name, ScheduleExpression=schedule)
        events.put_targets(Rule=name, Targets=[target])

    def start_anew(self, begins: str, **variables: str) -> None:
        """New environments of a function from here on, with some variables changed."""
        functions, name = self.aws.client("lambda"), self.made("AWS::Lambda::Function", begins)
        kept = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(
            FunctionName=name,
            Environment={"Variables": {**kept, "PROOF": uuid4().hex, **variables}},
        )

    def queue_out_of_reach(self) -> AbstractContextManager[None]:
        """The rule delivers to a queue that does not exist, as after somebody deleted it."""
        template = self.deployment.templates[STACK]
        (bus,) = [name for name, part in template.resources.items() if part.type == "AWS::Events::EventBus"]
        return target_out_of_reach(self.aws, self.deployment.physical_id(bus))


@contextmanager
def target_out_of_reach(aws: LocalAws, bus: str) -> Iterator[None]:
    """The one rule of a bus delivers to a queue that does not exist."""
    events = aws.client("events")
    (rule,) = events.list_rules(EventBusName=bus)["Rules"]
    where = {"Rule": rule["Name"], "EventBusName": bus}
    targets = events.list_targets_by_rule(**where)["Targets"]
    events.put_targets(**where, Targets=[{**one, "Arn": f"{one['Arn']}-deleted"} for one in targets])
    try:
        yield
    finally:
        events.put_targets(**where, Targets=targets)


def _last(name: str) -> str:
    return name.rsplit(":", 1)[-1].rsplit("/", 1)[-1]


def wait_for(what: str, seen: Callable[[], Any], *, seconds: float = PATIENCE) -> None:
    """Wait until something is seen.

    :raises AssertionError: when it is not seen in time
    """
    deadline = time.monotonic() + seconds
    while not seen():
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {seconds:g} s: {what}")
        time.sleep(0.1)
