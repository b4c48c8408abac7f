"""A batch's turn: so many run at once, and the others wait in the order in which they began.

Nobody keeps a lock: the running executions themselves are the line. One that dies is no longer running, and
so frees its place.
"""

from __future__ import annotations

from typing import Any

from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.jsonata import expression

from .plan import BatchPlan
from .storing import PATIENCE, caught

__all__ = ["EVENTS_OF_LOOKS", "NO_LINE", "turn"]

_PAGE = 100
"""Executions of one answer: 1,000 would be more than a state's result may hold."""
# At first every half minute, then less often, up to ten minutes: four days of waiting and more.
_FIRST_LOOK, _LONGEST_LOOK = 30, 600
MOST_LOOKS = 600
EVENTS_OF_LOOKS = MOST_LOOKS * 10
"""Of the execution's history, which has room for 25,000."""

NO_LINE = {"found": False, "ahead": 0, "page": "", "looks": 0}
"""The variable ``$line``, as it is at first."""


def turn(plan: BatchPlan, then: str) -> dict[str, dict[str, Any]]:
    """The states from BatchLook on.

    :param then: where the batch goes on
    """
    line = """(
        $me := $states.context.Execution.Id;
        $merge([
            $reduce(
                [$states.result.Executions.ExecutionArn],
                function($so_far, $arn) {
                    $arn = $me ? $merge([$so_far, {'found': true}])
                        : $merge([$so_far, {'ahead': $so_far.ahead + ($so_far.found ? 1 : 0)}])
                },
                $line
            ),
            {'page': $exists($states.result.NextToken) ? $states.result.NextToken : ''}
        ])
    )"""
    anew = {"line": expression("{'found': false, 'ahead': 0, 'page': '', 'looks': $line.looks + 1}")}
    return {
        "BatchLook": {
            "Comment": "Which batches run; the latest stands first.",
            "Type": "Task",
            "Resource": f"arn:{plan.item.partition}:states:::aws-sdk:sfn:listExecutions",
            "Arguments": expression(
                f"""$merge([
                    {{'StateMachineArn': $states.context.StateMachine.Id, 'StatusFilter': 'RUNNING',
                      'MaxResults': {_PAGE}}},
                    $line.page != '' ? {{'NextToken': $line.page}} : {{}}
                ])"""
            ),
            "TimeoutSeconds": 30,
            "Retry": PATIENCE,
            "Assign": {"line": expression(line)},
            "Output": {},
            "Catch": caught("BatchWait", {}),
            "Next": "BatchTurn",
        },
        "BatchTurn": choice(
            "Is it this one's turn?",
            [
                rule("$line.page != ''", "BatchLook"),
                rule(f"$line.found and $line.ahead < {plan.batches_at_once}", then),
                rule(f"$line.looks >= {MOST_LOOKS}", "BatchLetter", {"given_up": _LATE}),
            ],
            "BatchWait",
        ),
        "BatchWait": {
            "Comment": "Until others have ended; jittered.",
            "Type": "Wait",
            "Seconds": expression(
                f"$ceil($min([{_LONGEST_LOOK}, {_FIRST_LOOK} * (1 + $line.looks)]) * (0.5 + $random()))"
            ),
            "Assign": anew,
            "Next": "BatchLook",
        },
    }


_LATE = {
    "error": "Resilient.NoTurn",
    "cause": expression("'waited for other batches; ' & $string($line.ahead) & ' are still ahead'"),
}
