"""A handler's packed folder as a function's code, once per stack however many functions it holds."""

from __future__ import annotations

from functools import cache

from aws_cdk import AssetHashType
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from resilient_constructs.assets import Asset
from resilient_constructs.places import identity_of, stack_of

__all__ = ["code_of", "code_of_runtime"]

# By the stack's identity, as with the layer: functions of one folder share its asset, which then is staged
# once, and each further one costs a round trip less. A code belongs to the stack that used it first.
_made: dict[tuple[str, str, str], lambda_.Code] = {}


def code_of(scope: Construct, asset: Asset) -> lambda_.Code:
    """The code of a packed folder for a function of the stack that ``scope`` is in."""
    place = (identity_of(stack_of(scope)), str(asset.path), asset.hash)
    code = _made.get(place)
    if code is None:
        code = _made[place] = lambda_.Code.from_asset(
            str(asset.path), asset_hash=asset.hash, asset_hash_type=AssetHashType.CUSTOM
        )
    return code


@cache
def code_of_runtime() -> lambda_.Code:
    """The code of a function whose handler lies in the layer; Lambda asks for some code all the same."""
    return lambda_.Code.from_inline("# the handler is in the layer\n")
