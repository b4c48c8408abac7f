"""Whether what was handed in is of the right kind, told before anything is asked of it."""

from __future__ import annotations

from collections.abc import Sequence

from resilient_constructs.downstream import Downstream
from resilient_constructs.limits import Faults

from .limits import BASICS_PAGE, ERRORS_PAGE, TASK_PAGE
from .retry import Retry
from .work import Work

__all__ = ["check_kinds"]


def check_kinds(faults: Faults, *, work: object, downstream: object, retries: object) -> None:
    """Note what is of another kind.

    :raises ValueError: when something is: no other value could be judged beside it
    """
    if not isinstance(work, Work):
        faults.add("work", work, "a Work: Work.function(…), Work.http(…), Work.action(…)", TASK_PAGE)
    if downstream is not None and not isinstance(downstream, Downstream):
        faults.add("downstream", downstream, "a Downstream", BASICS_PAGE)
    if retries is not None and not _are_retries(retries):
        faults.add("retries", retries, "a list of Retry: [Retry(attempts=3)]; [] for never", ERRORS_PAGE)
    faults.raise_any()


def _are_retries(value: object) -> bool:
    return isinstance(value, Sequence) and all(isinstance(one, Retry) for one in value)
