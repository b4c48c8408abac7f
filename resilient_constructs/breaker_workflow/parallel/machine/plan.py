"""All that a batch's state machine is made of, as plain values. Texts may be CDK tokens; they pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from resilient_constructs.breaker_workflow.machine import MachinePlan

__all__ = ["BatchPlan", "Given", "Grouped", "Read"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """Items that come in the batch's own input.

    :param items: an expression that gives the array; ``$batch`` is the batch's input
    :param is_distributed: whether each item is a child execution of its own. Default: all are iterations of
        one execution and share its history
    :param most: how many an inline batch may have, as they share one history; without meaning if distributed
    """

    items: str = "{% $type($batch) = 'array' ? $batch : $batch.items %}"
    is_distributed: bool = False
    most: int = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Items that Step Functions reads from S3: always distributed.

    :param reader: the Map's ``ItemReader``; expressions may use ``$batch``, the batch's input
    """

    reader: Mapping[str, Any]
    is_distributed: bool = field(default=True, init=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouped:
    """How many items are handed to the work in one call; distributed only.

    :param items: at most so many
    :param input_bytes: at most so large together. Default: as Step Functions limits it
    """

    items: int
    input_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchPlan:
    """What ``definition`` makes a state machine of.

    :param item: the work on one item. While the circuit is open an item waits: with ``parking`` ``WAIT``. Its
        ``kind`` is that of the child executions
    :param source: where the items come from
    :param max_concurrency: how many items are worked on at once
    :param results_bucket: where manifest and results go
    :param results_prefix: below which; empty or with a slash at its end
    :param tolerated_percent: the batch fails when more of its items fail
    :param tolerated_count: the batch fails when more of its items fail. Default: the share alone counts
    :param timeout_seconds: the batch's
    :param grouped: whether several items go into one call. Default: one
    :param batches_at_once: how many batches run while others wait. Default: nobody counts them
    :param label: what the Map Run is called, in ARNs
    """

    item: MachinePlan
    source: Given | Read
    max_concurrency: int
    results_bucket: str
    timeout_seconds: int
    results_prefix: str = ""
    tolerated_percent: float = 0
    tolerated_count: int | None = None
    grouped: Grouped | None = None
    batches_at_once: int | None = None
    label: str = "Items"
    comment: str = ""

    @property
    def is_distributed(self) -> bool:
        """Whether each item is a child execution."""
        return self.source.is_distributed
