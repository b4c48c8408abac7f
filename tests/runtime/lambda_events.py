"""Events as Lambda delivers them, and what stands in for Lambda around a handler."""

from __future__ import annotations

import json
import sys
import types
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resilient_runtime.application import build
from resilient_runtime.breaker import CircuitStore
from resilient_runtime.clock import Clock
from resilient_runtime.lifecycle import Caretaker, Guard, NoCaretaker, NoGuard
from resilient_runtime.rejection import Rejection
from resilient_runtime.streams.batch import ParkedKeys

STANDARD = "arn:aws:sqs:eu-west-1:111122223333:orders"
FIFO = STANDARD + ".fifo"
DEAD_LETTERS = "https://sqs.eu-west-1.amazonaws.com/111122223333/dead"
NOON = 1_800_000_000.25


class Context:
    """The context object, with what the runtime reads of it."""

    aws_request_id = "11111111-2222-3333-4444-555555555555"

    def __init__(self, remaining_ms: int = 30_000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds left, by the name that Lambda gives it."""
        return self.remaining_ms


class Ticking:
    """A clock on which every look at the ticks is a tenth of a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def ticks(self) -> float:
        """The next tenth of a second."""
        self.now += 0.1
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        self.now += seconds

    @property
    def clock(self) -> Clock:
        """This clock as the runtime takes it, always at noon."""
        return Clock(wall=lambda: NOON, ticks=self.ticks)


class KeptDeadLetters:
    """A dead-letter queue in memory; ``broken`` makes it refuse."""

    def __init__(self) -> None:
        self.stored: list[tuple[Mapping[str, Any], Rejection]] = []
        self.broken: Callable[[Mapping[str, Any]], bool] = lambda record: False
        self.labelled = True

    def store(self, record: Mapping[str, Any], rejection: Rejection) -> bool:
        """Keep the record and why, or refuse."""
        if self.broken(record):
            raise ConnectionError("no route to SQS")
        self.stored.append((record, rejection))
        return self.labelled

    @property
    def ids(self) -> list[str]:
        """The ids of the messages stored, in order."""
        return [record["messageId"] for record, _ in self.stored]


class KeptVisibility:
    """A queue in memory that is told when messages return."""

    needs = 0.0

    def __init__(self) -> None:
        self.delays: list[tuple[str, float]] = []

    def change(self, delays: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Keep them."""
        self.delays += [(record["messageId"], seconds) for record, seconds in delays]


class KeptArchive:
    """An archive in memory; ``broken`` makes it refuse."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.broken: Callable[[str], bool] = lambda key: False
        self.tries = 0

    def put(self, key: str, document: str) -> None:
        """Keep the document, or refuse."""
        self.tries += 1
        if self.broken(key):
            raise ConnectionError("no route to S3")
        self.documents[key] = json.loads(document)

    @property
    def ids(self) -> list[str]:
        """The ids of the messages that are archived, in order."""
        return [document["message_id"] for document in self.documents.values()]


class KeptEvents:
    """An event bus in memory; ``refused`` are the places of each call that it does not take."""

    def __init__(self) -> None:
        self.calls: list[list[Mapping[str, Any]]] = []
        self.refused: dict[int, str] = {}
        self.is_down = False

    def put(self, entries: Sequence[Mapping[str, Any]]) -> Mapping[int, str]:
        """Keep the entries."""
        if self.is_down:
            raise ConnectionError("no route to EventBridge")
        self.calls.append(list(entries))
        return self.refused


class KeptPoison:
    """A poison store in memory; ``broken`` makes it refuse."""

    def __init__(self) -> None:
        self.entries: list[Mapping[str, Any]] = []
        self.broken: Callable[[Mapping[str, Any]], bool] = lambda entry: False

    def store(self, entry: Mapping[str, Any]) -> None:
        """Keep the entry, or refuse."""
        if self.broken(entry):
            raise ConnectionError("no route to SQS")
        self.entries.append(entry)


class App:
    """One execution environment: a handler under the runtime, and all that it emitted."""

    def __init__(
        self,
        function: Callable[..., Any],
        mode: str = "messages",
        *,
        caretaker: Caretaker | None = None,
        guard: Guard | None = None,
        clocked: Ticking | None = None,
        circuits: CircuitStore | None = None,
        parked_keys: ParkedKeys | None = None,
        **env: str,
    ) -> None:
        module = types.ModuleType("handler_under_test")
        vars(module)["handle"] = function
        sys.modules["handler_under_test"] = module
        self.lines: list[str] = []
        self.broken_lines: set[int] = set()
        self.dead_letters = KeptDeadLetters()
        self.visibility = KeptVisibility()
        self.archive = KeptArchive()
        self.bus = KeptEvents()
        self.poison = KeptPoison()
        self.clock = clocked or Ticking()
        self.handler = build(
            {
                "RESILIENT_HANDLER": "handler_under_test.handle",
                "RESILIENT_MODE": mode,
                "RESILIENT_SERVICE": "delivery",
                "AWS_LAMBDA_FUNCTION_NAME": "Delivery-1A2B",
                **env,
            },
            clock=self.clock.clock,
            emit=self.emit,
            dead_letters=self.dead_letters,
            caretaker=caretaker or NoCaretaker(),
            guard=guard or NoGuard(),
            circuits=circuits,
            visibility=self.visibility,
            archive=self.archive,
            bus=self.bus,
            poison=self.poison,
            parked_keys=parked_keys,
            sleep=self.clock.sleep,
        )

    def __call__(self, event: Any, context: Any = None) -> Any:
        """Invoke the function."""
        return self.handler(event, context or Context())

    def emit(self, line: str) -> None:
        """Keep a line; the ones whose number is in ``broken_lines`` raise."""
        self.lines.append(line)
        if len(self.lines) in self.broken_lines:
            raise OSError("the log is full")

    @property
    def records(self) -> list[dict[str, Any]]:
        """Every status record, parsed."""
        return [json.loads(line) for line in self.lines]

    def statuses(self) -> list[str]:
        """The status of every record, in order."""
        return [record["status"] for record in self.records]


def sqs_record(
    body: object = "{}",
    *,
    message_id: str = "m-1",
    attributes: Mapping[str, str | bytes] | None = None,
    group: str | None = None,
    arn: str = STANDARD,
    receive_count: int = 1,
    age: float = 0.25,
) -> dict[str, Any]:
    """One record; a body that is not a string is sent as JSON. Its age is that at noon."""
    sent = f"{(NOON - age) * 1000:.0f}"
    system = {"ApproximateReceiveCount": str(receive_count), "SentTimestamp": sent}
    if group is not None:
        system["MessageGroupId"] = group
    return {
        "messageId": message_id,
        "receiptHandle": f"receipt-{message_id}",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": system,
        "messageAttributes": {
            name: {"stringValue": value, "dataType": "String", "stringListValues": [], "binaryListValues": []}
            if isinstance(value, str)
            else {"binaryValue": b64encode(value).decode(), "dataType": "Binary"}
            for name, value in (attributes or {}).items()
        },
        "md5OfBody": "-",
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": "eu-west-1",
    }


def batch_of(*records: Mapping[str, Any]) -> dict[str, Any]:
    """The event of these records."""
    return {"Records": list(records)}


def returned(response: Mapping[str, Sequence[Mapping[str, str]]]) -> list[str]:
    """The message ids that a partial batch response sends back."""
    return [item["itemIdentifier"] for item in response["batchItemFailures"]]


def bridge_event(detail: object, **more: object) -> dict[str, Any]:
    """An EventBridge event as a rule delivers it."""
    return {
        "version": "0",
        "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
        "detail-type": "OrderPlaced",
        "source": "shop",
        "account": "111122223333",
        "time": "2027-01-15T08:00:00Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
        **more,
    }


def delivered(
    arguments: Mapping[str, Any], *, message_id: str = "m-2", arn: str = STANDARD
) -> dict[str, Any]:
    """The SQS record that Lambda would deliver for these arguments of ``SendMessage``."""
    record = sqs_record(
        arguments["MessageBody"], message_id=message_id, arn=arn, group=arguments.get("MessageGroupId")
    )
    for name, attribute in arguments.get("MessageAttributes", {}).items():
        value: dict[str, Any] = {"dataType": attribute["DataType"]}
        if "StringValue" in attribute:
            value["stringValue"] = attribute["StringValue"]
        else:
            value["binaryValue"] = b64encode(attribute["BinaryValue"]).decode()
        record["messageAttributes"][name] = value
    return record
