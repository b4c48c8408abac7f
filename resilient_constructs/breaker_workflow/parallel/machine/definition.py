"""A batch's state machine: the Map, and around it what a Map alone has not.

**The whole is judged when all of its items have ended.** A Map of AWS stops at the first failure too many,
and whatever had not begun is then neither done nor dead-lettered. Here the Map tolerates everything: each
item either succeeds or becomes a dead letter, and only then the tolerated share decides how the batch ends.
What keeps a downstream that fails from being called on and on is the breaker.
"""

from __future__ import annotations

from typing import Any

from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.ending import cause_of_giving_up
from resilient_constructs.breaker_workflow.machine.jsonata import expression, literal

from .faults import check
from .item import inline_processor, selector
from .judging import judging, manifest
from .map_run import distributed, handed
from .plan import BatchPlan, Given
from .storing import PATIENCE, caught
from .turn import NO_LINE, turn

__all__ = ["definition"]

_NAME = "$batch_name"
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
        **(turn(plan, "Items", handed(plan, "$items")) if plan.batches_at_once is not None else {}),
        **(distributed(plan, _GIVEN_UP) if plan.is_distributed else {"Items": _inline(plan, "")}),
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
            # its first name: the keys of its items are made of it, also when it is begun once more
            "batch_name": expression(
                f"""{wrapped} ? ($exists({given}.resilient.key) ? {given}.resilient.key
                    : $exists({given}.resilient.name) ? {given}.resilient.name
                    : $states.context.Execution.Name) : $states.context.Execution.Name"""
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
        state |= handed(plan, f"({items})")
    return state


def _inline(plan: BatchPlan, prefix: str) -> dict[str, Any]:
    selected = selector(name=_NAME, of="$count($items)")
    if prefix:
        selected = {
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
        "ItemSelector": selected,
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


_GIVEN_UP = {
    "given_up": expression(
        """(
            $why := $states.errorOutput.Cause;
            {'error': $states.errorOutput.Error, 'cause': $exists($why) ? $substring($why, 0, 2000) : ''}
        )"""
    )
}


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
