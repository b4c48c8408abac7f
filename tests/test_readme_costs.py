"""The README's prices follow from the templates: who adds an alarm changes the table."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_sqs as sqs

from resilient_constructs import (
    BreakerPolicy,
    BreakerWorkflow,
    Downstream,
    FanOutBus,
    FlowControlledConsumer,
    Handler,
    KinesisBisectConsumer,
    OnCall,
    ResilientFunction,
    Route,
    StorageFirstApi,
    Work,
)
from resilient_constructs.testing import alarms_of

README = Path(__file__).resolve().parent.parent / "README.md"
PER_ALARM_METRIC = 0.10


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A handler for messages and one for events."""
    folder = tmp_path_factory.mktemp("handlers")
    (folder / "work.py").write_text("def message(body, call): ...\ndef event(event, context): ...\n")
    return folder


def _api(stack: Stack, _: Path) -> None:
    queue = sqs.Queue(stack, "Queue")
    StorageFirstApi(stack, "It", routes=[Route.post("/work", schema={"type": "object"}, store=queue)])


def _subscription(stack: Stack, _: Path) -> None:
    FanOutBus(stack, "Bus").subscribe("It", sqs.Queue(stack, "Queue"), everything=True)


def _consumer(stack: Stack, handlers: Path) -> None:
    FlowControlledConsumer(stack, "It", handler=Handler.from_directory(str(handlers), "work.message"))


def _stream(stack: Stack, handlers: Path) -> None:
    KinesisBisectConsumer(stack, "It", handler=Handler.from_directory(str(handlers), "work.message"))


def _workflow(stack: Stack, _: Path) -> None:
    downstream = Downstream(Stack(stack, "Other"), "Ocr", requests_per_second=10, breaker=BreakerPolicy())
    work = Work.action("s3", "listBuckets", {}, resources=["*"])
    BreakerWorkflow(stack, "It", work=work, downstream=downstream)


def _function(stack: Stack, handlers: Path) -> None:
    ResilientFunction(stack, "It", handler=Handler.from_directory(str(handlers), "work.event"))


def _bus(stack: Stack, _: Path) -> None:
    FanOutBus(stack, "It")


def _on_call(stack: Stack, _: Path) -> None:
    OnCall(stack, "It", email="ops@example.com")


@pytest.mark.parametrize(
    ("row", "make"),
    [
        ("`StorageFirstApi`", _api),
        ("… each `subscribe`", _subscription),
        ("`FlowControlledConsumer`", _consumer),
        ("`BreakerWorkflow`", _workflow),
        ("`KinesisBisectConsumer`", _stream),
        ("`ResilientFunction`", _function),
        ("`FanOutBus`", _bus),
        ("`OnCall`", _on_call),
    ],
)
def test_an_idle_month_costs_what_the_readme_says(
    row: str, make: Callable[[Stack, Path], None], handlers: Path
) -> None:
    """A construct's row names its alarms, their metrics, and what those cost in a month without traffic."""
    stack = Stack(App(), "Stack")
    make(stack, handlers)
    # Not the circuits' controller, of which a stack has one.
    alarms = [alarm for name, alarm in alarms_of(stack).items() if "Controller" not in name]
    metrics = sum(
        len([query for query in alarm.get("Metrics", [{"MetricStat": {}}]) if "MetricStat" in query])
        for alarm in alarms
    )
    [line] = [text for text in README.read_text().splitlines() if text.startswith(f"| {row} |")]
    creates, price = line.split("|")[2:4]
    said = re.search(r"(\d+) alarms", creates)
    assert (int(said[1]) if said else 0) == len(alarms)
    counted = re.search(r"\((\d+) alarm metrics\)", price)
    assert (int(counted[1]) if counted else 0) == metrics
    dollars = re.search(r"\$(\d+(?:\.\d+)?)", price)
    assert dollars is not None
    assert float(dollars[1]) == pytest.approx(metrics * PER_ALARM_METRIC)
