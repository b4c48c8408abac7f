"""How a batch ends: its manifest, and whether more of its items failed than may."""

from __future__ import annotations

from typing import Any

from resilient_constructs.breaker_workflow.machine.choosing import choice, rule
from resilient_constructs.breaker_workflow.machine.jsonata import expression

from .plan import BatchPlan
from .storing import put_task

__all__ = ["judging", "manifest"]

# As AWS judges it: more than the one, or more than the other.
# https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
_MANIFEST = "'; see the manifest at s3://' & $at.bucket & '/' & $at.key"
_TOO_MANY = f"""{{
    'error': 'Resilient.TooManyItemsFailed',
    'cause': $string($counts.failed) & ' of ' & $string($counts.total) & ' items failed; each is a dead'
        & ' letter' & {_MANIFEST}
}}"""
# Whoever is stopped passes no state any more, so nobody sent a letter.
_LOST = f"""{{
    'error': 'Resilient.ItemsWithoutLetter',
    'cause': $string($counts.failed) & ' of ' & $string($counts.total) & ' items failed; '
        & $string($counts.without_letter) & ' of these ran out of time or were stopped and are no dead'
        & ' letters: send those anew, or the whole batch, which does all of it again' & {_MANIFEST}
}}"""
_NOT_STORED = """{
    'error': 'Resilient.ManifestNotStored',
    'cause': $string($counts.failed) & ' of ' & $string($counts.total) & ' items failed; the manifest'
        & ' could not be stored: ' & $states.errorOutput.Error
}"""


def manifest(plan: BatchPlan) -> dict[str, Any]:
    """The manifest of inline items; that of a Map Run is written by Step Functions."""
    return put_task(
        plan,
        "What became of each item.",
        key="$states.context.Execution.Name & '/manifest.json'",
        body={
            "execution": expression("$states.context.Execution.Id"),
            "counts": expression("$counts"),
            "items": expression("$records"),
        },
        then="BatchJudge",
        otherwise=("BatchFailed", {"verdict": expression(_NOT_STORED)}),
        into="at",
    )


def judging(plan: BatchPlan) -> dict[str, dict[str, Any]]:
    """The states from BatchJudge on."""
    exceeded = f"$counts.failed * 100 > {plan.tolerated_percent:g} * $counts.total"
    if plan.tolerated_count is not None:
        exceeded = f"({exceeded} or $counts.failed > {plan.tolerated_count})"
    return {
        "BatchJudge": choice(
            "Did more fail than may?",
            [
                *(
                    [rule("$exists($counts.without_letter)", "BatchFailed", {"verdict": expression(_LOST)})]
                    if plan.is_distributed
                    else []
                ),
                rule(exceeded, "BatchFailed", {"verdict": expression(_TOO_MANY)}),
            ],
            "BatchDone",
        ),
        "BatchDone": {
            "Comment": "What became of it, and where that is told in full.",
            "Type": "Succeed",
            "Output": expression("$merge([{'outcome': 'SUCCEEDED'}, $counts, {'manifest': $at}])"),
        },
        "BatchFailed": {
            "Comment": "FAILED, so that alarms see it.",
            "Type": "Fail",
            "Error": expression("$verdict.error"),
            "Cause": expression("$verdict.cause"),
        },
    }
