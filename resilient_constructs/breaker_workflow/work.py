"""What a workflow calls: a function, an HTTP endpoint, an AWS action, an ECS task or another workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_cdk import Duration

from resilient_constructs.limits import Faults
from resilient_constructs.resilient_function import ResilientFunction

from . import work_action, work_aws, work_function, work_http
from .limits import BASICS_PAGE, EXPRESS_TIMEOUT, TASK_PAGE, TIMEOUT
from .machine import WorkTask

if TYPE_CHECKING:
    from aws_cdk import aws_ec2 as ec2
    from aws_cdk import aws_ecs as ecs
    from aws_cdk import aws_events as events
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_stepfunctions as sfn

__all__ = ["Work"]

INPUT = "{% $work %}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """One call that a workflow makes; make it with ``function``, ``http``, ``action`` and so on.

    What is sent may hold JSONata in ``{% … %}``, where ``$work`` is the work's input, and ``$failure``
    (``{"error", "cause", "attempts"}``) in a fallback.

    :param task: the state that calls
    :param statements: what the workflow's role needs for it
    :param on_machine: the same, on the state machine itself; each without its ``Resource``
    :param rejects: errors that say no to this one work: dead-letter at once, counted against nobody
    :param throttles: errors that ask for fewer calls: tried again, counted against nobody
    :param standard_only: why it needs a Standard workflow; None where any will do
    :param reader: who reads large inputs from the claims bucket by itself; None where nobody does
    :param answers: who ends a task by its token; None where nobody does
    :param warnings: what is legal and nobody sees to: the slug of a warning, and its text
    :param complaints: what is wrong with it; told by the construct that takes it, with all other faults

    https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html
    """

    task: WorkTask
    statements: tuple[Mapping[str, Any], ...]
    on_machine: tuple[Mapping[str, Any], ...] = ()
    rejects: tuple[str, ...] = ()
    throttles: tuple[str, ...] = ()
    standard_only: str | None = None
    reader: iam.IGrantable | None = None
    answers: iam.IRole | None = None
    warnings: tuple[tuple[str, str], ...] = ()
    complaints: tuple[Callable[[Faults], None], ...] = ()

    @classmethod
    def function(
        cls,
        function: ResilientFunction | lambda_.IFunction,
        *,
        payload: object = INPUT,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
    ) -> Work:
        """Invoke a Lambda function and take what it returns.

        The error's name is the class of the exception that it raised: name it in ``Retry(errors=…)``.
        ``Reject`` dead-letters at once. Lambda's own throttling and hiccups are tried again by Step Functions
        and counted against nobody.

        A key that is the same in all attempts of a work, also when its dead letter is sent back, goes along
        in ``context.client_context.custom["idempotency_key"]``; one of ours has it as
        ``current_call().idempotency_key``, and its client sends it.

        :param function: the function, an alias or a version too. One of ours in mode ``event`` gets large
            inputs as if they had been sent to it
        :param payload: what it is called with. Default: the work's input
        :param timeout: how long the call may take. Default: the function's own and half a minute; with a
            heartbeat, an hour
        :param heartbeat: for work that goes on after the function returned, elsewhere: the longest silence
            before it counts as failed. The function gets ``{"token": …, "input": …}``, and whoever has the
            token tells that it lives (``SendTaskHeartbeat``) and ends it (``SendTaskSuccess``,
            ``SendTaskFailure``); ``workflow.grant_task_response`` lets them. Default: the function's return
            is the answer

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
        """
        return work_function.function(cls, function, payload=payload, timeout=timeout, heartbeat=heartbeat)

    @classmethod
    def http(
        cls,
        url: str,
        *,
        connection: events.IConnection,
        method: str = "POST",
        body: object | None = INPUT,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        may_call: str | None = None,
        output: object = "{% $states.result.ResponseBody %}",
        error_of_result: str | None = None,
        timeout: Duration | None = None,
    ) -> Work:
        """Call an HTTPS endpoint without a Lambda function.

        ========================================================  ===========================================
        answer                                                    what it means
        ========================================================  ===========================================
        2xx                                                       success
        429                                                       tried again, counted against nobody
        5xx, 408, 425, no answer (``States.Http.Socket``)         a failure: counted, tried again
        any other of 400 to 499; 501, 505, 511                    no to this work: dead-letter at once
        ``Events.ConnectionResource.…``                           the credentials: dead-letter at once, but
                                                                  for those that pass, tried again
        ========================================================  ===========================================

        Step Functions does not show the headers of an answer that failed, so ``Retry-After`` is not heard:
        the rules' intervals are waited for. The request carries an ``Idempotency-Key`` that stays the same
        however often the work is tried, parked or sent back from the dead letters.

        :param url: the address, or an expression, ``{% 'https://api.example.com/orders/' & $work.id %}``
        :param connection: the EventBridge connection that knows the credentials
        :param method: the HTTP method. Default: POST
        :param body: what is sent, None for nothing. Default: the work's input as JSON
        :param headers: headers besides. Those of the connection win
        :param query: parameters of the URL
        :param may_call: which addresses the role may call, with ``*``; needed where ``url`` is an expression.
            Default: exactly ``url``
        :param output: what the execution gives back. Default: the answer's body
        :param error_of_result: for endpoints that answer 200 and mean an error: JSONata without ``{% %}``
            over ``$states.result`` that gives the error's name, or ``''``. Default: 2xx is a success
        :param timeout: how long the call may take, at most a minute. Default: a minute

        https://docs.aws.amazon.com/step-functions/latest/dg/call-https-apis.html
        """
        return work_http.http(
            cls,
            url,
            connection=connection,
            method=method,
            body=body,
            headers=headers,
            query=query,
            may_call=may_call,
            output=output,
            error_of_result=error_of_result,
            timeout=timeout,
        )

    @classmethod
    def action(
        cls,
        service: str,
        action: str,
        arguments: Mapping[str, object],
        *,
        resources: Sequence[str],
        iam_actions: Sequence[str] | None = None,
        errors_of: str | None = None,
        output: object | None = None,
        error_of_result: str | None = None,
        timeout: Duration | None = None,
    ) -> Work:
        """Call an action of any AWS service, such as ``textract`` ``analyzeDocument``.

        Its errors are called ``Service.NameOfException``, and ``Service.ServiceException`` where the SDK has
        no class for one. Throttling is tried again and counted against nobody; a refusal of what was asked
        (``ValidationException``, a permission that is missing) dead-letters at once. Errors without a class
        are told apart by their cause: one of status 4xx is a refusal.

        :param service: the service as the SDK integrations call it, in lower case
        :param action: the action in camelCase
        :param arguments: its parameters in PascalCase
        :param resources: the ARNs that the role may use it on; ``["*"]`` where the service knows none
        :param iam_actions: what the role must be allowed, ``["bedrock:InvokeModel"]``. Default: the action
            under IAM's name for the service; needed where that is not known here, which is an error
        :param errors_of: what the names of its errors begin with, for Step Functions' own retries of the
            SDK's hiccups. Default: AWS's name for the services known here, others capitalised
        :param output: what the execution gives back. Default: the whole answer
        :param error_of_result: for actions that succeed and mean an error, such as ``PutEvents``: JSONata
            without ``{% %}``, ``$states.result.FailedEntryCount > 0 ? 'NotPut' : ''``. Default: an answer is
            a success
        :param timeout: how long the call may take. Default: a minute

        https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
        """
        return work_action.action(
            cls,
            service,
            action,
            arguments,
            resources=resources,
            iam_actions=iam_actions,
            errors_of=errors_of,
            output=output,
            error_of_result=error_of_result,
            timeout=timeout,
        )

    @classmethod
    def ecs_task(
        cls,
        task_definition: ecs.TaskDefinition,
        *,
        cluster: ecs.ICluster,
        container: str,
        subnets: Sequence[ec2.ISubnet],
        security_groups: Sequence[ec2.ISecurityGroup] = (),
        assign_public_ip: bool = False,
        environment: Mapping[str, str] | None = None,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
    ) -> Work:
        """Run a Fargate task and wait until it has ended; Standard workflows only.

        The container finds the work's input as JSON in the variable ``WORK``. An exit code other than zero is
        ``States.TaskFailed``. All overrides together may have 8,192 characters, so send what is larger by
        reference.

        :param task_definition: the task
        :param cluster: where it runs
        :param container: the name of the container that gets the input
        :param subnets: where its network interface is
        :param security_groups: what it may talk to. Default: the VPC's default group
        :param assign_public_ip: whether it gets a public address, as it needs in a public subnet to pull its
            image without a VPC endpoint. Default: no
        :param environment: further variables; values may be expressions
        :param timeout: how long it may take. Default: an hour
        :param heartbeat: the longest silence before it counts as failed. The container finds a token in
            ``TASK_TOKEN``, tells by it that it lives and ends the task; ``workflow.grant_task_response`` lets
            it. Default: the end of the container is the answer

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html
        """
        return work_aws.ecs_task(
            cls,
            task_definition,
            cluster=cluster,
            container=container,
            subnets=subnets,
            security_groups=security_groups,
            assign_public_ip=assign_public_ip,
            environment=environment,
            timeout=timeout,
            heartbeat=heartbeat,
        )

    @classmethod
    def workflow(
        cls,
        state_machine: sfn.IStateMachine,
        *,
        work_input: object = INPUT,
        timeout: Duration | None = None,
    ) -> Work:
        """Run another state machine and wait for its output; Standard workflows only.

        It is started under a name made from this execution's, so that a start whose answer got lost is not
        repeated.

        :param state_machine: a Standard state machine
        :param work_input: its input. Default: the work's input
        :param timeout: how long it may take. Default: a day

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
        """
        return work_aws.workflow(cls, state_machine, work_input=work_input, timeout=timeout)

    def check(self, faults: Faults, *, express: bool) -> None:
        """Note what is wrong with it in a workflow of this kind."""
        for complain in self.complaints:
            complain(faults)
        if express and self.standard_only is not None:
            faults.add("express", True, f"False, because {self.standard_only}", BASICS_PAGE)
        limit = EXPRESS_TIMEOUT if express else TIMEOUT
        if not limit.allows(self.task.timeout_seconds):
            faults.add("work.timeout", self.task.timeout_seconds, limit.allowed, limit.page)
        heartbeat = self.task.heartbeat_seconds
        if heartbeat is not None and not 0 < heartbeat < self.task.timeout_seconds:
            allowed = f"1 to {self.task.timeout_seconds - 1} seconds, less than work.timeout"
            faults.add("work.heartbeat", heartbeat, allowed, TASK_PAGE)
