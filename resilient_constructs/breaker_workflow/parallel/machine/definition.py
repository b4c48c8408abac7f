"""A batch's state machine: the Map, and around it what a Map alone has not.

**The whole is judged when all of its items have ended.** A Map of AWS stops at the first failure too many,
and whatever had not begun is then neither done nor dead-lettered. Here the Map tolerates everything: each
item either succeeds or becomes a dead letter, and only then the tolerated share decides how the batch ends.
What keeps a downstream that fails from being called on and on is the breaker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.ending import cause_of_giving_up
from resilient_constructs.breaker_workflow.machine.jsonata import expression, literal

from .faults import check
from .item import child_processor, inline_processor, selector
from .judging import judging, manifest
from .plan import BatchPlan, Given, Read
from .storing import PATIENCE, caught
from .turn import NO_LINE, turn

__all__ = ["definition"]

_NAME = "$batch_name"
_HANDED_NAME = "$states.input.name"
_IS_ITEM = "$type($batch) = 'object' and $exists($batch.resilient.item)"


def definition(plan: BatchPlan) -> dict[str, Any]:
    """The definition of a batch's state machine.

    :raises ValueError: when the plan has faults; all at once
    """
    check(plan)
    first = "BatchLook" if plan.batches_at_once is not None else "Items"
    states = {
        "BatchBegin": _begin(plan),
        "BatchKind": _kind(plan, first),
        **(turn(plan, "Items", _handed(plan, "$items")) if plan.batches_at_once is not None else {}),
        **(_distributed(plan) if plan.is_distributed else {"Items": _inline(plan, "")}),
        "ItemAgain": _inline(plan, "Again"),
        "BatchManifest": manifest(plan),
        **judging(plan),
        "BatchLetter": _letter(plan),
        "BatchGivenUp": {
            "Comment": "FAILED, so that alarms see it.",
            "Type": "Fail",
            "Error": expression("$given_up.error"),
            "Cause": cause_of_giving_up("$given_up"),
        },
    }
    return {
        "Comment": plan.comment or "Works on many items at once and drops none.",
        "QueryLanguage": "JSONata",
        "StartAt": "BatchBegin",
        "TimeoutSeconds": plan.timeout_seconds,
        "States": states,
    }


def _begin(plan: BatchPlan) -> dict[str, Any]:
    """Unwrapped: the starter puts an envelope around what has to be told apart from one."""
    given = "$states.input"
    wrapped = f"$type({given}) = 'object' and $exists({given}.resilient) and $exists({given}.input)"
    return {
        "Comment": "A batch, or one item of one that was given up and has been sent back.",
        "Type": "Pass",
        "Assign": {
            # one item's own envelope stays, as the item's place is in it
            "batch": expression(
                f"""{wrapped} and $not($exists($states.input.resilient.item))
                    ? $states.input.input : $states.input"""
            ),
            "batch_name": expression(
                f"""{wrapped} and $exists($states.input.resilient.name)
                    ? $states.input.resilient.name : $states.context.Execution.Name"""
            ),
            "is_claimed": expression(f"{wrapped} and $exists($states.input.resilient.claim)"),
            **({} if plan.batches_at_once is None else {"line": NO_LINE}),
        },
        "Output": {},
        "Next": "BatchKind",
    }


def _kind(plan: BatchPlan, then: str) -> dict[str, Any]:
    rules = [
        rule(
            "$is_claimed",
            "BatchLetter",
            _refused(
                "Resilient.BatchTooLarge",
                "'the input has more than 224 KB: put the items into an object and send its key'",
            ),
        ),
        rule(_IS_ITEM, "ItemAgain"),
    ]
    items = "$items"
    if isinstance(plan.source, Given):
        items = plan.source.items.removeprefix("{%").removesuffix("%}").strip()
        rules.append(
            rule(
                # not !=, which is false for what is not there at all
                f"$not($type(({items})) = 'array')",
                "BatchLetter",
                _refused("Resilient.NoItems", "'the input has no array of items'"),
            )
        )
        if not plan.is_distributed:
            rules.append(
                rule(
                    f"$count(({items})) > {plan.source.most}",
                    "BatchLetter",
                    _refused(
                        "Resilient.TooManyItems",
                        f"$string($count(({items}))) & ' items; allowed: {plan.source.most} of an inline"
                        " batch, as they share one history. Send fewer, or make it distributed'",
                    ),
                )
            )
    state = choice("What is it?", rules, then)
    if isinstance(plan.source, Given):
        state["Assign"] = {"items": expression(f"({items})")}
    if then == "Items":
        # what is assigned here is not there yet for the output
        state |= _handed(plan, f"({items})")
    return state


def _handed(plan: BatchPlan, items: str) -> dict[str, Any]:
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
    return {"Output": {"name": expression(_NAME), **given}}


def _with_batch(part: Any) -> Any:
    """A reader whose expressions find the batch where it is handed to them."""
    if isinstance(part, Mapping):
        return {name: _with_batch(value) for name, value in part.items()}
    if isinstance(part, str) and part.startswith("{%") and part.endswith("%}"):
        return expression(f"($batch := $states.input.batch; ({part[2:-2].strip()}))")
    return part


def _inline(plan: BatchPlan, prefix: str) -> dict[str, Any]:
    handed = selector(name=_NAME, of="$count($items)")
    if prefix:
        handed = {
            "resilient": expression(
                "$merge([$batch.resilient, {'item': $merge([$batch.resilient.item, {'of': 1}])}])"
            ),
            "input": expression("$exists($batch.input) ? $batch.input : null"),
        }
    return {
        "Comment": "One item again, in its old place."
        if prefix
        else "Each item; none of them ends the others.",
        "Type": "Map",
        # not [$batch.input], which would make many items of one that is an array
        "Items": [0] if prefix else expression("$items"),
        "ItemSelector": handed,
        "MaxConcurrency": plan.max_concurrency if not prefix else 1,
        "ItemProcessor": inline_processor(plan, prefix),
        "Assign": {
            "records": expression("$states.result"),
            "counts": expression(
                """(
                    $failed := $count($states.result[outcome = 'FAILED']);
                    {'total': $count($states.result), 'failed': $failed,
                     'succeeded': $count($states.result) - $failed}
                )"""
            ),
        },
        "Output": {},
        "Catch": caught("BatchLetter", _GIVEN_UP),
        "Next": "BatchManifest",
    }


def _distributed(plan: BatchPlan) -> dict[str, Any]:
    """The Map with child executions, and how many of them failed.

    No Retry: a Map Run that is begun again works on everything again.
    """
    state: dict[str, Any] = {
        "Comment": "Each item as an execution of its own; none of them ends the others.",
        "Type": "Map",
        "Label": plan.label,
        "MaxConcurrency": plan.max_concurrency,
        "ToleratedFailurePercentage": 100,
        "ItemSelector": selector(name=_HANDED_NAME),
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
        "Catch": caught("BatchLetter", _GIVEN_UP),
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
                "name": expression(_HANDED_NAME),
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


_GIVEN_UP = {
    "given_up": expression(
        """(
            $why := $states.errorOutput.Cause;
            {'error': $states.errorOutput.Error, 'cause': $exists($why) ? $substring($why, 0, 2000) : ''}
        )"""
    )
}
# Ten minutes; for ever would fill the execution's history, whose end no state sees.
_MOST_RECOUNTS = 300
_NEVER_COUNTED = """{'error': 'Resilient.NotCounted',
    'cause': 'all items have ended, and only ' & $string($counts.succeeded + $counts.failed) & ' of '
        & $string($counts.total) & ' are counted; see the manifest at ' & $at.key}"""
_NOT_COUNTED = """{'error': 'Resilient.NotCounted',
    'cause': 'all items have ended; their counts cannot be read: ' & $states.errorOutput.Error
        & '; see the manifest at ' & $run.ResultWriterDetails.Key}"""


def _refused(error: str, cause: str) -> dict[str, Any]:
    return {"given_up": expression(f"{{'error': {literal(error)}, 'cause': {cause}}}")}


def _letter(plan: BatchPlan) -> dict[str, Any]:
    """The batch as a whole: it could not be begun, or its Map could not go on.

    Of a claimed one the claim, so that nothing is lost.
    """
    return {
        "Comment": "The batch could not be worked on at all: kept, and can be sent back from there.",
        "Type": "Task",
        "Resource": f"arn:{plan.item.partition}:states:::sqs:sendMessage",
        "Arguments": {
            "QueueUrl": plan.item.dead_letter_queue_url,
            "MessageBody": {
                "resilient": expression(
                    """$merge([{'name': $batch_name},
                        $is_claimed ? {'claim': $states.context.Execution.Input.resilient.claim} : {}])"""
                ),
                "input": expression("$batch"),
                "error": expression("$given_up.error"),
                "cause": expression("$given_up.cause"),
                "execution": expression("$states.context.Execution.Id"),
                "state_machine": expression("$states.context.StateMachine.Id"),
                "attempts": 0,
                "first_started_at": expression("$states.context.Execution.StartTime"),
            },
        },
        "TimeoutSeconds": 10,
        "Retry": PATIENCE,
        "Output": {},
        "Catch": caught("BatchGivenUp", {}),
        "Next": "BatchGivenUp",
    }
