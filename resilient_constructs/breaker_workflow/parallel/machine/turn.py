"""A batch's turn: so many run at once, and the others wait in the order in which they began.

Nobody keeps a lock: the running executions themselves are the line. One that dies is no longer running, and
so frees its place. Items that were sent back stand in no line and hold none up: there may be thousands.
"""

from __future__ import annotations

from typing import Any

from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.jsonata import expression

from .plan import BatchPlan
from .storing import PATIENCE, caught

__all__ = ["EVENTS_OF_LOOKS", "NO_LINE", "OF_AN_ITEM", "turn"]

_PAGE = 200
"""Executions of one answer: 1,000 would be more than a state's result may hold."""
# At first every half minute, then less often, up to ten minutes.
_FIRST_LOOK, _LONGEST_LOOK = 30, 600
# Five of the Task, two of the Choice, and one to spare; three more for each time that AWS is asked again.
_EVENTS_OF_A_PAGE, _EVENTS_OF_A_RETRY, _EVENTS_OF_A_WAIT = 8, 3, 2
EVENTS_OF_LOOKS = 6_000
"""Of an inline batch's history, which has room for 25,000 and is shared by its items: four days of waiting
where one page tells of all that run."""
_EVENTS_IF_DISTRIBUTED = 20_000
# An item's letter, sent back: the starter names its execution by what failed and the item's index.
OF_AN_ITEM = "-again-[0-9]+"
"""What the names of such executions have in them, and those of batches have not; a regular expression."""

NO_LINE = {"found": False, "ahead": 0, "page": "", "looks": 0, "spent": 0, "error": ""}
"""The variable ``$line``, as it is at first."""


def turn(plan: BatchPlan, then: str, handed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The states from BatchLook on.

    :param then: where the batch goes on
    :param handed: the output that it goes on with
    """
    spent = f"""$line.spent + {_EVENTS_OF_A_PAGE} + ($exists($states.context.State.RetryCount)
        ? {_EVENTS_OF_A_RETRY} * $states.context.State.RetryCount : 0)"""
    line = f"""(
        $me := $states.context.Execution.Id;
        $merge([
            $reduce(
                [$states.result.Executions.ExecutionArn],
                function($so_far, $arn) {{
                    $arn = $me ? $merge([$so_far, {{'found': true}}])
                        : $so_far.found and $not($contains($split($arn, ':')[-1], /{OF_AN_ITEM}/))
                            ? $merge([$so_far, {{'ahead': $so_far.ahead + 1}}])
                        : $so_far
                }},
                $line
            ),
            {{'page': $exists($states.result.NextToken) ? $states.result.NextToken : '',
              'spent': {spent}, 'error': ''}}
        ])
    )"""
    unseen = "'found': false, 'ahead': 0, 'page': ''"
    failed = f"$merge([$line, {{{unseen}, 'spent': {spent}, 'error': $states.errorOutput.Error}}])"
    anew = f"""$merge([$line, {{{unseen}, 'looks': $line.looks + 1,
        'spent': $line.spent + {_EVENTS_OF_A_WAIT}}}])"""
    most = _EVENTS_IF_DISTRIBUTED if plan.is_distributed else EVENTS_OF_LOOKS
    is_full = f"($line.found and $line.ahead >= {plan.batches_at_once})"
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
            "Catch": caught("BatchTurn", {"line": expression(failed)}),
            "Next": "BatchTurn",
        },
        "BatchTurn": choice(
            "Is it this one's turn?",
            [
                {**rule(f"$line.page = '' and $line.found and $not{is_full}", then), **handed},
                rule(f"$line.spent >= {most}", "BatchLetter", {"given_up": _LATE}),
                # whoever has enough ahead of it need not know how many more
                rule(f"$line.page != '' and $not{is_full}", "BatchLook"),
            ],
            "BatchWait",
        ),
        "BatchWait": {
            "Comment": "Until others have ended; jittered.",
            "Type": "Wait",
            "Seconds": expression(
                f"$ceil($min([{_LONGEST_LOOK}, {_FIRST_LOOK} * (1 + $line.looks)]) * (0.5 + $random()))"
            ),
            "Assign": {"line": expression(anew)},
            "Next": "BatchLook",
        },
    }


_LATE = {
    "error": "Resilient.NoTurn",
    "cause": expression(
        """$line.error != ''
            ? 'nobody knows whose turn it is, as running executions cannot be listed: ' & $line.error
            : 'waited for other batches; ' & $string($line.ahead) & ' or more are still ahead'"""
    ),
}
