"""The table that a stack's circuits live in, and who may use it."""

from __future__ import annotations

from aws_cdk import Annotations, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from resilient_constructs.monitoring import OnCall
from resilient_constructs.places import identity_of, same_stack, settle, stack_of

from .controller import CircuitController
from .limits import STREAM_PAGE, STREAM_READERS

__all__ = ["Circuits"]

_CONSTRUCT_ID = "ResilientCircuits"
_USE = ("dynamodb:GetItem", "dynamodb:UpdateItem")


class Circuits(Construct):
    """The circuits of all downstreams with a breaker that one stack declares: a table and a controller.

    Made with the first such ``Downstream``. Consumers in other stacks use the same table; the controller that
    pauses them is in their own stack, so that no stack needs another one both ways.
    """

    # By the stack's identity, as with the runtime layer.
    _made: dict[str, Circuits] = {}  # noqa: RUF012  the one registry of the process, on purpose

    def __init__(self, scope: Construct, construct_id: str, *, on_call: OnCall | None) -> None:
        super().__init__(scope, construct_id)
        settle(self, scope, construct_id)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="name", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            stream=dynamodb.StreamViewType.NEW_IMAGE,
            # What it holds is minutes old, and without a circuit a breaker begins closed.
            removal_policy=RemovalPolicy.DESTROY,
        )
        """One item per downstream; ``resilient_runtime/stores/circuits.py`` lists its attributes."""
        self.table_name = self.table.table_name
        self.use_policy = iam.ManagedPolicy(
            self,
            "UsePolicy",
            statements=[
                iam.PolicyStatement(actions=list(_USE), resources=[self.table.table_arn]),
            ],
        )
        """What a caller may do. One policy for all of them: granting it one by one is a round trip each."""
        self._on_call = on_call
        self._controllers: dict[str, CircuitController] = {}

    @classmethod
    def of(cls, scope: Construct, *, on_call: OnCall | None = None) -> Circuits:
        """The circuits of the stack that ``scope`` is in, made when they are first asked for.

        :param on_call: who is told when its controller fails; whoever asks first says
        """
        stack = stack_of(scope)
        identity = identity_of(stack)
        circuits = cls._made.get(identity)
        if circuits is None:
            circuits = cls._made[identity] = cls(stack, _CONSTRUCT_ID, on_call=on_call)
        return circuits

    def controller_in(self, scope: Construct) -> CircuitController:
        """The controller that pauses the consumers of the stack that ``scope`` is in."""
        stack = stack_of(scope)
        identity = identity_of(stack)
        controller = self._controllers.get(identity)
        if controller is None:
            at_home = same_stack(stack, self)
            # Two tables may have a controller each in a third stack; the table's path tells them apart.
            construct_id = "Controller" if at_home else f"CircuitController{self.node.addr[-8:]}"
            controller = self._controllers[identity] = CircuitController(
                self if at_home else stack,
                construct_id,
                table=self.table,
                table_name=self.table_name,
                on_call=self._on_call,
            )
            if len(self._controllers) > STREAM_READERS:
                Annotations.of(stack).add_warning_v2(
                    "resilient:Downstream/stream-readers",
                    f"{len(self._controllers)} stacks have consumers of the downstreams of {self.node.path},"
                    f" and each reads the table's stream; more than {STREAM_READERS} readers may be"
                    " throttled, so pausing may come late. Put the consumers into fewer stacks"
                    f" ({STREAM_PAGE})",
                )
        return controller

    def grant_use(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee`` take part in every circuit of the table: read and update items, nothing else."""
        # The table's key is AWS's own, which whoever may use the table may use through it.
        self.table.grant(grantee, *_USE)
