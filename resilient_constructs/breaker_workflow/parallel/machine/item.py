"""The work on one item: a breaker workflow's states, as the processor of a Map.

Whatever fails is dead-lettered with its place in the batch. A dead letter's ``input`` is an envelope of its
own, ``{"resilient": {"name", "item"}, "input": item}``: sent back to the queue it is one item again, and not
a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resilient_constructs.breaker_workflow.machine import definition as workflow
from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.jsonata import expression

from .faults import inline_waits
from .plan import BatchPlan
from .storing import put_task

__all__ = ["child_processor", "inline_processor", "selector"]

ALL_RESULTS = 50_000
"""Characters, of four bytes at most, that the results of all inline items may have together in the Map's own
result, which ends at 256 KiB. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

_TOLD = "{'index': $job.item.index, 'outcome': 'SUCCEEDED'}"


def child_processor(plan: BatchPlan) -> dict[str, Any]:
    """Each item, or each group, as an execution of its own: it succeeds with the work's result, or fails."""
    states = _states(plan)
    start = next(iter(states))
    if plan.grouped is not None:
        states = {"Gather": _gather(start), **states}
        start = "Gather"
    return {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": plan.item.kind},
        "StartAt": start,
        "States": states,
    }


def inline_processor(plan: BatchPlan, prefix: str = "") -> dict[str, Any]:
    """Each item as an iteration of the batch's execution.

    An iteration that failed would end all others. So none does: it ends with a record of what became of it.

    :param prefix: of the states' names, which are unique in a whole state machine
    """
    states = _states(plan)
    for name in ("Call", "Fallback"):
        if name in states and (states[name].get("End") or states[name]["Type"] == "Succeed"):
            states[name] = _kept(states[name])
    states["Done"] = choice(
        "Is its result small enough to stand in the manifest?",
        [rule(f"$length($string($result)) * $job.item.of <= {ALL_RESULTS}", "Told")],
        "StoreResult",
    )
    states["Told"] = _told("$merge([" + _TOLD + ", {'result': $result}])")
    states["StoreResult"] = put_task(
        plan,
        "Too large for the manifest: it has its own object there.",
        key="$states.context.Execution.Name & '/results/' & $string($job.item.index) & '.json'",
        body={"index": expression("$job.item.index"), "result": expression("$result")},
        then="Stored",
        otherwise=("DeadLetter", {"call": expression(_NOT_KEPT)}),
        into="kept_at",
    )
    states["Stored"] = _told("$merge([" + _TOLD + ", {'stored': $kept_at}])")
    if "DeadLetter" not in states:
        # A constant in the work's stead leaves no way to the dead letters; a result not kept needs it.
        failing = replace(plan, item=replace(plan.item, fallback=None))
        states["DeadLetter"] = _states(failing)["DeadLetter"]
    states["Failed"] = _told(
        """{'index': $job.item.index, 'outcome': 'FAILED', 'error': $call.error,
            'cause': $substring($call.cause, 0, 500)}"""
    )
    return {
        "ProcessorConfig": {"Mode": "INLINE"},
        "StartAt": prefix + next(iter(states)),
        "States": _renamed(states, prefix),
    }


# The work is done; whoever looks at the dead letter learns that only its result is missing.
_NOT_KEPT = """$merge([$call, {'error': 'Resilient.ResultNotKept',
    'cause': 'the work is done, but its result could not be stored: ' & $states.errorOutput.Error}])"""


def _states(plan: BatchPlan) -> dict[str, Any]:
    states: dict[str, Any] = dict(workflow(plan.item)["States"])
    if "DeadLetter" in states:
        states["DeadLetter"] = _placed(states["DeadLetter"])
    if "Park" in states and not plan.is_distributed:
        states["Park"] = _patient(states["Park"], inline_waits(plan))
    return states


def _placed(state: Mapping[str, Any]) -> dict[str, Any]:
    arguments = dict(state["Arguments"])
    body = dict(arguments["MessageBody"])
    body["input"] = {
        "resilient": {"name": expression("$job.name"), "item": expression("$job.item")},
        "input": expression("$work"),
    }
    body["index"] = expression("$job.item.index")
    body["batch"] = expression("$job.item.batch")
    return {**state, "Arguments": {**arguments, "MessageBody": body}}


def _patient(park: Mapping[str, Any], waits: int) -> dict[str, Any]:
    """With as many waits as an item's part of the history has room for."""
    first, *others = park["Choices"]
    if not first["Condition"].startswith("{% $job.waits >= "):
        raise RuntimeError(f"Park's first rule is no longer about waits: {first['Condition']}")
    return {**park, "Choices": [{**first, "Condition": expression(f"$job.waits >= {waits}")}, *others]}


def _kept(state: Mapping[str, Any]) -> dict[str, Any]:
    """Its result goes into a variable and not out of the iteration."""
    assigned = {**state.get("Assign", {}), "result": state.get("Output", expression("$states.result"))}
    end = {name: value for name, value in state.items() if name != "End"}
    if end["Type"] == "Succeed":
        return {**end, "Type": "Pass", "Assign": {"result": state["Output"]}, "Output": {}, "Next": "Done"}
    return {**end, "Assign": assigned, "Output": {}, "Next": "Done"}


def _told(record: str) -> dict[str, Any]:
    return {
        "Comment": "What became of the item, for the manifest.",
        "Type": "Succeed",
        "Output": expression(record),
    }


def _gather(then: str) -> dict[str, Any]:
    """A group as one work: its input is the list of its items, each with its place."""
    return {
        "Comment": "A group of items as one work.",
        "Type": "Pass",
        "Output": {
            "resilient": expression(
                """$merge([$states.input.BatchInput, {
                    'name': $states.input.BatchInput.name & '-' & $string($states.input.Items[0].index),
                    'item': {
                        'index': $states.input.Items[0].index,
                        'batch': $states.input.BatchInput.batch
                    }
                }])"""
            ),
            "input": expression("[$states.input.Items]"),
        },
        "Next": then,
    }


def _renamed(states: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    if not prefix:
        return dict(states)
    return {prefix + name: _leading(state, prefix) for name, state in states.items()}


def _leading(part: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """A state, a rule or a catcher with the names that it leads to made longer."""
    changed: dict[str, Any] = {}
    for name, value in part.items():
        if name in ("Next", "Default"):
            changed[name] = prefix + value
        elif name in ("Choices", "Catch"):
            changed[name] = [_leading(inner, prefix) for inner in value]
        else:
            changed[name] = value
    return changed


def selector(*, name: str, of: str = "", index: str = "$states.context.Map.Item.Index") -> dict[str, Any]:
    """The envelope that an item is handed to its states in.

    :param of: an expression: how many items there are
    """
    place = {"index": expression(index), "batch": expression("$states.context.Execution.Id")}
    return {
        "resilient": {
            "name": expression(f"{name} & '-' & $string({index})"),
            "item": {**place, "of": expression(of)} if of else place,
        },
        "input": expression("$states.context.Map.Item.Value"),
    }
