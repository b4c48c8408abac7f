"""Puts together what mode ``records`` needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resilient_runtime.call import Boundary, Call
from resilient_runtime.in_progress import InProgress
from resilient_runtime.lifecycle import Guard
from resilient_runtime.rare_records import RareRecords
from resilient_runtime.settings import DownstreamSettings, StreamSettings
from resilient_runtime.status import StatusLines, Teller
from resilient_runtime.stores.parked_keys import DynamoDBParkedKeys
from resilient_runtime.stores.poison import PoisonQueue

from .batch import ParkedKeys, StreamBatch
from .keeping import PoisonStore

__all__ = ["stream_batch"]


def stream_batch(
    settings: StreamSettings,
    function: Callable[[Any, Call], Any],
    *,
    lines: StatusLines,
    tell: Teller,
    records: RareRecords,
    downstreams: Mapping[str, DownstreamSettings],
    boundary: Boundary,
    guard: Guard,
    in_progress: InProgress,
    sleep: Callable[[float], None],
    watched: Callable[[], bool],
    poison: PoisonStore | None,
    parked_keys: ParkedKeys | None,
) -> StreamBatch:
    """What handles a stream's batches, as the settings say.

    :param poison: instead of the queue and the bucket that the settings name
    :param parked_keys: instead of the table that they name
    """
    if parked_keys is None and settings.parked_table is not None:
        parked_keys = DynamoDBParkedKeys(
            settings.parked_table,
            clock=lines.clock,
            sleep=sleep,
            left=lambda: guard.left() - guard.margin,
        )
    return StreamBatch(
        function,
        poison=poison
        or PoisonQueue(settings.poison_queue_url, settings.poison_bucket, settings.poison_prefix),
        lines=lines,
        records=records,
        tell=tell,
        downstreams=downstreams,
        boundary=boundary,
        guard=guard,
        in_progress=in_progress,
        sleep=sleep,
        watched=watched,
        per_batch=settings.per_batch,
        parked_keys=parked_keys,
    )
