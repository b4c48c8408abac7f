"""The runtime layer, one per stack."""

from __future__ import annotations

from aws_cdk import AssetHashType
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from resilient_constructs.assets import runtime_layer_asset
from resilient_constructs.places import identity_of, stack_of

__all__ = ["RuntimeLayer"]

_CONSTRUCT_ID = "ResilientRuntime"


class RuntimeLayer:
    """``resilient_runtime`` and its pinned dependencies as a Lambda layer that fits any processor."""

    # By the stack's identity: asking the stack for its child would cost two requests per function.
    _made: dict[str, lambda_.LayerVersion] = {}  # noqa: RUF012  the one registry of the process, on purpose

    @classmethod
    def of(cls, scope: Construct) -> lambda_.LayerVersion:
        """The layer of the stack that ``scope`` is in, made when it is first asked for.

        :raises AssetError: when the layer is not in the cache and cannot be built
        """
        stack = stack_of(scope)
        identity = identity_of(stack)
        layer = cls._made.get(identity)
        if layer is None:
            asset = runtime_layer_asset()
            layer = lambda_.LayerVersion(
                stack,
                _CONSTRUCT_ID,
                code=lambda_.Code.from_asset(
                    str(asset.path), asset_hash=asset.hash, asset_hash_type=AssetHashType.CUSTOM
                ),
                description="The runtime of resilient-constructs and what it depends on",
                compatible_architectures=[lambda_.Architecture.ARM_64, lambda_.Architecture.X86_64],
            )
            cls._made[identity] = layer
        return layer
