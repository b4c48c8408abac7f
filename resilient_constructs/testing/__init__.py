"""For the tests of people who build with these constructs: snapshots, assertions, a local AWS.

Importing this package starts no Node process and needs no pytest; what needs more loads it when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .alarms import alarms_of, assert_alarms_explain_themselves
from .requests import JsiiCount, count_jsii
from .template import dashboards_of, snapshot_of, template_of

if TYPE_CHECKING:
    from .local import local_aws

__all__ = [
    "JsiiCount",
    "alarms_of",
    "assert_alarms_explain_themselves",
    "count_jsii",
    "dashboards_of",
    "local_aws",
    "snapshot_of",
    "template_of",
]


def __getattr__(name: str) -> Any:
    # the fixture needs pytest and the extra `local`; the rest of the package does not
    if name == "local_aws":
        from .local import local_aws

        return local_aws
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
