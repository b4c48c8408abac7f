"""The Map whose items are executions of their own, and what it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.jsonata import expression, literal

from .item import child_processor, selector
from .plan import BatchPlan, Given, Read
from .storing import PATIENCE, caught

__all__ = ["distributed", "handed"]

_NAME = "$states.input.name"
# Ten minutes; for ever would fill the execution's history, whose end no state sees.
_MOST_RECOUNTS = 300
_NEVER_COUNTED = """{'error': 'Resilient.NotCounted',
    'cause': 'all items have ended, and only ' & $string($counts.succeeded + $counts.failed) & ' of '
        & $string($counts.total) & ' are counted; see the manifest at ' & $at.key}"""
_NOT_COUNTED = """{'error': 'Resilient.NotCounted',
    'cause': 'all items have ended; their counts cannot be read: ' & $states.errorOutput.Error
        & '; see the manifest at ' & $run.ResultWriterDetails.Key}"""


def handed(plan: BatchPlan, items: str) -> dict[str, Any]:
    """What the state before a distributed Map hands to it.

    As its input, because "Distributed Map states cannot currently reference variables in outer scopes".
    https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html

    :param items: an expression for the items, where they come with the batch
    """
    if not plan.is_distributed:
        return {}
    given = (
        {"items": expression(items)} if isinstance(plan.source, Given) else {"batch": expression("$batch")}
    )
    return {"Output": {"name": expression("$batch_name"), **given}}


def _with_batch(part: Any) -> Any:
    """A reader whose expressions find the batch where it is handed to them."""
    if isinstance(part, Mapping):
        return {name: _with_batch(value) for name, value in part.items()}
    if isinstance(part, str) and part.startswith("{%") and part.endswith("%}"):
        return expression(f"($batch := $states.input.batch; ({part[2:-2].strip()}))")
    return part


def distributed(plan: BatchPlan, given_up: dict[str, Any]) -> dict[str, Any]:
    """The Map with child executions, and how many of them failed.

    No Retry: a Map Run that is begun again works on everything again.

    :param given_up: what is assigned when the Map itself fails
    """
    state: dict[str, Any] = {
        "Comment": "Each item as an execution of its own; none of them ends the others.",
        "Type": "Map",
        "Label": plan.label,
        "MaxConcurrency": plan.max_concurrency,
        "ToleratedFailurePercentage": 100,
        "ItemSelector": selector(name=_NAME),
        "ItemProcessor": child_processor(plan),
        "ResultWriter": {
            "Resource": f"arn:{plan.item.partition}:states:::s3:putObject",
            "Arguments": {
                "Bucket": plan.results_bucket,
                "Prefix": expression(f"{literal(plan.results_prefix)} & $states.context.Execution.Name"),
            },
        },
        "Assign": {"run": expression("$states.result"), "recounts": 0},
        "Output": {},
        "Catch": caught("BatchLetter", given_up),
        "Next": "BatchCounts",
    }
    if isinstance(plan.source, Read):
        state["ItemReader"] = _with_batch(plan.source.reader)
    else:
        state["Items"] = expression("$states.input.items")
    if plan.grouped is not None:
        state["ItemSelector"] = {
            "index": expression("$states.context.Map.Item.Index"),
            "item": expression("$states.context.Map.Item.Value"),
        }
        state["ItemBatcher"] = {
            "MaxItemsPerBatch": plan.grouped.items,
            **(
                {}
                if plan.grouped.input_bytes is None
                else {"MaxInputBytesPerBatch": plan.grouped.input_bytes}
            ),
            "BatchInput": {
                "name": expression(_NAME),
                "batch": expression("$states.context.Execution.Id"),
            },
        }
    counts = {
        "Comment": "How many succeeded.",
        "Type": "Task",
        "Resource": f"arn:{plan.item.partition}:states:::aws-sdk:sfn:describeMapRun",
        "Arguments": {"MapRunArn": expression("$run.MapRunArn")},
        "TimeoutSeconds": 30,
        "Retry": PATIENCE,
        "Assign": {
            "counts": expression(
                """(
                    $n := $states.result.ItemCounts;
                    $lost := $n.TimedOut + $n.Aborted;
                    $counts := {'total': $n.Total, 'succeeded': $n.Succeeded, 'failed': $n.Failed + $lost};
                    $lost > 0 ? $merge([$counts, {'without_letter': $lost}]) : $counts
                )"""
            ),
            "at": {
                "bucket": expression("$run.ResultWriterDetails.Bucket"),
                "key": expression("$run.ResultWriterDetails.Key"),
            },
        },
        "Output": {},
        "Catch": caught("BatchFailed", {"verdict": expression(_NOT_COUNTED)}),
        "Next": "BatchCounted",
    }
    counted = choice(
        "The counts may lag behind the run.",
        [
            rule("$counts.succeeded + $counts.failed >= $counts.total", "BatchJudge"),
            rule(f"$recounts >= {_MOST_RECOUNTS}", "BatchFailed", {"verdict": expression(_NEVER_COUNTED)}),
        ],
        "BatchRecount",
    )
    recount = {
        "Comment": "A moment, for the counts to be complete.",
        "Type": "Wait",
        "Seconds": 2,
        "Assign": {"recounts": expression("$recounts + 1")},
        "Next": "BatchCounts",
    }
    return {"Items": state, "BatchCounts": counts, "BatchCounted": counted, "BatchRecount": recount}
