"""What the templates of all examples consist of, for tests that look at every one of a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_templates import TEMPLATES, resources

REPOSITORY = Path(__file__).parents[2]
FOURTEEN_DAYS = 14 * 86_400
QUEUES = list(resources("AWS::SQS::Queue"))
MAPPINGS = list(resources("AWS::Lambda::EventSourceMapping"))
STREAM_MAPPINGS = [(name, each) for name, each in MAPPINGS if "StartingPosition" in each]
QUEUE_MAPPINGS = [(name, each) for name, each in MAPPINGS if "StartingPosition" not in each]
FUNCTIONS = list(resources("AWS::Lambda::Function"))
HANDLING = [
    (name, each) for name, each in FUNCTIONS if "RESILIENT_HANDLER" in each["Environment"]["Variables"]
]
"""Functions that run somebody's handler; the others are the circuit controllers."""
STAGES = list(resources("AWS::ApiGateway::Stage"))
METHODS = list(resources("AWS::ApiGateway::Method"))
RULES = list(resources("AWS::Events::Rule"))
SCHEDULES = [(name, each) for name, each in RULES if "ScheduleExpression" in each]
# Not what a workflow's own events are sent by: these are dead letters already.
SUBSCRIPTIONS = [
    (name, each) for name, each in RULES if "EventPattern" in each and "AnalyseEnded" not in name
]

queues = pytest.mark.parametrize("queue", [pytest.param(each, id=name) for name, each in QUEUES])
mappings = pytest.mark.parametrize(("name", "mapping"), MAPPINGS)
queue_mappings = pytest.mark.parametrize(("name", "mapping"), QUEUE_MAPPINGS)
stream_mappings = pytest.mark.parametrize(("name", "mapping"), STREAM_MAPPINGS)
functions = pytest.mark.parametrize("function", [pytest.param(each, id=name) for name, each in FUNCTIONS])
handling = pytest.mark.parametrize("function", [pytest.param(each, id=name) for name, each in HANDLING])
stages = pytest.mark.parametrize("stage", [pytest.param(each, id=name) for name, each in STAGES])
methods = pytest.mark.parametrize("method", [pytest.param(each, id=name) for name, each in METHODS])
subscriptions = pytest.mark.parametrize(("name", "rule"), SUBSCRIPTIONS)


def named(name: str, reference: dict[str, Any]) -> dict[str, Any]:
    """The properties of what a resource of the same template refers to."""
    ((_, target),) = reference.items()
    logical_id = target[0] if isinstance(target, list) else target
    resource = TEMPLATES[name.split(".")[0]]()["Resources"][logical_id]
    return dict(resource.get("Properties", {}))


def listed(value: Any) -> list[Any]:
    """What a policy may write as one or as many."""
    return value if isinstance(value, list) else [value]
