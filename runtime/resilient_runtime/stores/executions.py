"""Step Functions, as a place where executions are started.

Needs ``states:StartExecution`` on the state machine.
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from resilient_runtime.reject import Reject
from resilient_runtime.slow_down import SlowDown

from .clients import Once, client
from .refusals import code_of, said_by
from .remedies import remedy_for

__all__ = ["CallsStepFunctions", "Executions", "NotStarted"]

_TOO_MANY = "ExecutionLimitExceeded"
_UNTIL_SOME_END = 60.0

_REMEDIES = {
    "AccessDeniedException": "Allow the role of this function states:StartExecution on the state machine",
    "InvalidArn": "RESILIENT_STATE_MACHINE_ARN names no state machine: deploy the workflow again",
    "KmsAccessDeniedException": "Allow the role of this function the state machine's customer key "
    "(kms:GenerateDataKey, kms:Decrypt)",
    "StateMachineDeleting": "The state machine is being deleted: stop what still feeds its queue, or deploy "
    "the workflow again",
    "StateMachineDoesNotExist": "Deploy the workflow again: the state machine that "
    "RESILIENT_STATE_MACHINE_ARN names is not there",
}


class NotStarted(Exception):  # noqa: N818  it reads as what happened
    """The execution is not known to have started, and the message returned to its queue."""


class CallsStepFunctions(Protocol):
    """The one call of botocore's client that is used here."""

    def start_execution(self, **arguments: Any) -> Mapping[str, Any]:
        """See API_StartExecution."""
        ...


class Executions:
    """Starts executions of one state machine.

    A standard workflow's executions have names of their own: the same name with the same input, while that
    one runs, is the same execution, and otherwise an ExecutionAlreadyExists. Either is as good as started. An
    express workflow's names mean nothing to AWS, so a message that is delivered twice starts two.

    :param arn: the state machine's, or a version's or alias's
    :param connect: makes the client when the first is started
    """

    def __init__(
        self,
        arn: str,
        connect: Callable[[], CallsStepFunctions] = lambda: client("stepfunctions", read_timeout=5),
    ) -> None:
        self._arn = arn
        self._client = Once(connect)

    def start(self, name: str, text: str) -> bool:
        """Start one.

        A name may be used again 90 days after its execution closed; a message lives for 14 at most.

        :param text: the input, as JSON
        :returns: whether it was started now; False when there is, or was, one of this name
        :raises Reject: when AWS takes the text for no input of an execution
        :raises SlowDown: when the account starts executions too fast, or has too many open
        :raises NotStarted: for whatever else keeps it from starting, with what to do about it
        """
        try:
            self._client().start_execution(stateMachineArn=self._arn, name=name, input=text)
        except Exception as error:
            code = code_of(error)
            if code == "ExecutionAlreadyExists":
                return False
            if code == "InvalidExecutionInput":
                raise Reject(f"Step Functions takes this message for no input: {said_by(error)}") from error
            raise _told(error, code) from error
        return True


def _told(error: Exception, code: str) -> Exception:
    if code == _TOO_MANY:
        return SlowDown(
            f"{said_by(error)}. The account has as many open executions as it may: the message returns until "
            "some of them have ended. Have the limit raised, or park less by waiting",
            retry_after=_UNTIL_SOME_END,
        )
    if "Throttl" in code or code == "TooManyRequestsException":
        return SlowDown(
            f"{said_by(error)}. Executions are started faster than the account's bucket of StartExecution is "
            "refilled: the message returns. Start fewer a second, or have the quota raised"
        )
    remedy = _REMEDIES.get(code) or remedy_for(error, "states:StartExecution")
    return NotStarted(f"{said_by(error)}. {remedy}. The message returned to its queue, and is tried again")
