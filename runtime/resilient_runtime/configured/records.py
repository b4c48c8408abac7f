"""What the log says of configuration: names, ages and what AWS answered; never a value."""

from __future__ import annotations

from collections.abc import Mapping

from resilient_runtime.rare_records import RareRecords

__all__ = ["ConfigurationRecords"]

_METRIC = "ConfigurationFailed"
_STALE = (
    "The last values that were loaded stay in use, and nothing failed. Values that changed since are not "
    "seen until the store answers again; it is asked again with growing pauses."
)
_UNCONFIGURED = (
    "Nothing else is wrong: what needs these values fails when it asks for them, and each use tries again. "
    "Do what is said above; no deployment is needed unless the declaration is wrong."
)


class ConfigurationRecords:
    """Tells of outages, each once.

    :param records: writes the lines
    """

    def __init__(self, records: RareRecords) -> None:
        self._record = records.record

    def stale(self, faults: Mapping[str, str], ages: Mapping[str, float]) -> None:
        """A refresh failed for the first time since all was well."""
        members = {"faults": dict(faults), "age_s": _rounded(ages), "remedy": _STALE}
        self._record("STALE", members, counts=_METRIC)

    def fresh(self, ages: Mapping[str, float], outage: float) -> None:
        """The store answered for everything again."""
        self._record("FRESH", {"age_s": _rounded(ages), "outage_s": round(outage, 1)})

    def unconfigured(self, faults: Mapping[str, str]) -> None:
        """Values were never loaded, so whoever asks for them fails."""
        self._record("UNCONFIGURED", {"faults": dict(faults), "remedy": _UNCONFIGURED}, counts=_METRIC)


def _rounded(ages: Mapping[str, float]) -> dict[str, float]:
    return {name: round(age, 1) for name, age in ages.items()}
