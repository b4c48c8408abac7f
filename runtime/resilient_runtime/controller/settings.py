"""The contract between infrastructure and the controller; handlers have ``resilient_runtime.settings``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["ControllerSettings", "FeedSettings", "circuits_text", "feeds_text"]


class FeedSettings(NamedTuple):
    """One event source mapping that the controller may pause.

    :param mapping: its UUID
    :param downstreams: the names of the circuits that it depends on
    :param concurrency: its maximum concurrency while all is well, a number as text, as only CloudFormation
        may know it; empty for a mapping of a stream
    :param retries: how often a stream's mapping tries a batch again while all is well, a number as text;
        empty where that is left alone
    """

    mapping: str
    downstreams: tuple[str, ...]
    concurrency: str = ""
    retries: str = ""


class ControllerSettings(NamedTuple):
    """What one controller looks after.

    :param table: the circuits' table, its name or ARN
    :param feeds: the mappings
    :param wake_queue_url: where it leaves itself messages for later
    :param circuits: the names of the circuits whose changes it tells of, as events and metrics; another
        controller tells of all others
    :param period: seconds between two runs of the reconciler
    :param bus: the event bus that is told. Default: the account's own
    """

    table: str
    wake_queue_url: str
    feeds: tuple[FeedSettings, ...] = ()
    circuits: tuple[str, ...] = ()
    period: float = 120
    bus: str = "default"

    def to_env(self) -> dict[str, str]:
        """The environment variables that carry these settings."""
        return {
            "RESILIENT_CIRCUITS_TABLE": self.table,
            "RESILIENT_WAKE_QUEUE_URL": self.wake_queue_url,
            "RESILIENT_FEEDS": feeds_text(self.feeds),
            "RESILIENT_CIRCUITS": circuits_text(self.circuits),
            "RESILIENT_PERIOD": repr(self.period),
            "RESILIENT_BUS": self.bus,
        }

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ControllerSettings:
        """Read the settings back.

        :raises ValueError: when a variable is missing or does not hold what ``to_env`` writes
        """
        try:
            return cls(
                table=env["RESILIENT_CIRCUITS_TABLE"],
                wake_queue_url=env["RESILIENT_WAKE_QUEUE_URL"],
                feeds=tuple(
                    FeedSettings(mapping, tuple(names), *numbers)
                    for mapping, names, *numbers in json.loads(env["RESILIENT_FEEDS"])
                ),
                circuits=tuple(json.loads(env["RESILIENT_CIRCUITS"])),
                period=float(env["RESILIENT_PERIOD"]),
                bus=env["RESILIENT_BUS"],
            )
        except KeyError as missing:
            raise ValueError(
                f"{missing.args[0]} is not set: the controller does not know its circuits; deploy it again"
            ) from missing


def feeds_text(feeds: tuple[FeedSettings, ...]) -> str:
    """Mappings as they stand in the environment: without names of members, as 4 KB have to do for all."""
    return json.dumps([feed if feed.retries else feed[:-1] for feed in feeds], separators=(",", ":"))


def circuits_text(circuits: tuple[str, ...]) -> str:
    """Names of circuits as they stand in the environment."""
    return json.dumps(circuits, separators=(",", ":"))
