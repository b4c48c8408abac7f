"""Traffic profiles in Artillery's YAML: phases → arrival times, one scenario → the request to send.

One file drives Artillery itself, the demonstration and the tests. What is understood is a subset, and what is
not understood is refused with its place in the file: a profile that is silently run differently is worse than
none. Artillery's own words: https://www.artillery.io/docs/reference/test-script
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from resilient_constructs.forecast.traffic import Phase, arrival_times

__all__ = ["Phase", "Profile", "ProfileError", "arrival_times", "load_profile", "parse_profile"]

PAGE = "https://www.artillery.io/docs/reference/test-script"
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-z]*?)\s*$")
_PHASE_KEYS = {"name", "duration", "arrivalRate", "rampTo", "arrivalCount", "pause", "mode"}
_CONFIG_KEYS = {"target", "phases"}


class ProfileError(ValueError):
    """What is wrong with a profile, all of it at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """When requests come, and what they are.

    :param phases: one after the other
    :param path: where they are posted, below the API's URL
    :param body: the JSON body, with ``{{ $randomNumber(…) }}`` and ``{{ $randomString(…) }}`` in it
    """

    phases: tuple[Phase, ...]
    path: str
    body: Any

    @property
    def duration(self) -> float:
        """Seconds from the first phase's beginning to the last one's end."""
        return sum(phase.duration for phase in self.phases)

    def stretched(self, factor: float) -> Profile:
        """The same rates for ``factor`` times as long; counted arrivals grow with it.

        :raises ProfileError: when the factor is not above zero
        """
        if not factor > 0:
            raise ProfileError(f"the duration factor is {factor!r}; allowed: above 0")
        phases = tuple(
            replace(
                phase,
                duration=phase.duration * factor,
                count=None if phase.count is None else max(1, round(phase.count * factor)),
            )
            for phase in self.phases
        )
        return replace(self, phases=phases)


def load_profile(path: Path) -> Profile:
    """Read a profile from a file.

    :raises ProfileError: when there is no such file, it is no YAML, or something in it isn't understood
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_profile(text, source=str(path))


def parse_profile(text: str, *, source: str = "profile") -> Profile:
    """Understand a profile's text.

    :param source: how errors call it
    :raises ProfileError: naming everything that is missing, misspelt or not supported
    """
    try:
        script = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProfileError(f"{source}: no YAML: {error}") from error
    reader = _Reader()
    profile = reader.read(script)
    if reader.faults or profile is None:
        listed = "\n".join(f"  - {fault}" for fault in reader.faults)
        raise ProfileError(f"{source} can not be driven ({PAGE}):\n{listed}")
    return profile


class _Reader:
    """Walks the YAML and collects what is wrong, so that one run tells everything."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def read(self, script: Any) -> Profile | None:
        if not isinstance(script, Mapping):
            self.faults.append("the file is no mapping with config and scenarios")
            return None
        self._only(script, {"config", "scenarios"}, "the script")
        config = script.get("config")
        phases: tuple[Phase, ...] = ()
        if isinstance(config, Mapping):
            self._only(config, _CONFIG_KEYS, "config")
            phases = self._phases(config.get("phases"))
        else:
            self.faults.append("config is missing")
        path, body = self._scenario(script.get("scenarios"))
        return None if self.faults else Profile(phases=phases, path=path, body=body)

    def _only(self, found: Mapping[Any, Any], known: set[str], where: str) -> None:
        for key in found:
            if key not in known:
                self.faults.append(f"{where}: {key} is not supported; allowed: {', '.join(sorted(known))}")

    def _phases(self, phases: Any) -> tuple[Phase, ...]:
        if not isinstance(phases, list) or not phases:
            self.faults.append("config.phases is no list of at least one phase")
            return ()
        read = tuple(self._phase(phase, f"config.phases[{index}]") for index, phase in enumerate(phases))
        if not self.faults and not any(phase.expected >= 1 for phase in read):
            self.faults.append("config.phases: nobody ever arrives")
        return read

    def _phase(self, phase: Any, where: str) -> Phase:
        nothing = Phase(duration=0)
        if not isinstance(phase, Mapping):
            self.faults.append(f"{where} is no mapping")
            return nothing
        self._only(phase, _PHASE_KEYS, where)
        name = str(phase.get("name", ""))
        if "pause" in phase:
            self._only(phase, {"pause", "name"}, f"{where}, a pause")
            return Phase(duration=self._seconds(phase["pause"], f"{where}.pause"), name=name or "pause")
        duration = self._seconds(phase.get("duration"), f"{where}.duration")
        mode = phase.get("mode", "uniform")
        if mode not in ("uniform", "poisson"):
            self.faults.append(f"{where}.mode is {mode!r}; allowed: uniform, poisson")
        if "arrivalCount" in phase:
            self._only(phase, {"arrivalCount", "duration", "name"}, f"{where}, a counted phase")
            count = self._number(phase["arrivalCount"], f"{where}.arrivalCount")
            if count != int(count) or count < 1:
                self.faults.append(f"{where}.arrivalCount is {count:g}; allowed: a whole number from 1")
            return Phase(duration=duration, count=int(count), name=name)
        if "arrivalRate" not in phase:
            self.faults.append(f"{where} has neither arrivalRate nor arrivalCount nor pause")
            return nothing
        return Phase(
            duration=duration,
            rate=self._number(phase["arrivalRate"], f"{where}.arrivalRate"),
            ramp_to=self._number(phase["rampTo"], f"{where}.rampTo") if "rampTo" in phase else None,
            poisson=mode == "poisson",
            name=name,
        )

    def _number(self, value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e6:
            self.faults.append(f"{where} is {value!r}; allowed: a number from 0 to 1,000,000")
            return 0.0
        return float(value)

    def _seconds(self, value: Any, where: str) -> float:
        match = _DURATION.match(str(value)) if not isinstance(value, bool) else None
        seconds = float(match[1]) * _UNITS[match[2]] if match and match[2] in _UNITS else 0.0
        if not 0 < seconds <= 86_400:
            self.faults.append(
                f"{where} is {value!r}; allowed: seconds, or a number with ms, s, m or h, up to a day"
            )
        return seconds

    def _scenario(self, scenarios: Any) -> tuple[str, Any]:
        if not isinstance(scenarios, list) or len(scenarios) != 1 or not isinstance(scenarios[0], Mapping):
            self.faults.append("scenarios is no list of exactly one scenario")
            return "", None
        self._only(scenarios[0], {"name", "flow"}, "scenarios[0]")
        flow = scenarios[0].get("flow")
        if (
            not isinstance(flow, list)
            or len(flow) != 1
            or not isinstance(flow[0], Mapping)
            or set(flow[0]) != {"post"}
        ):
            self.faults.append("scenarios[0].flow is no list of exactly one post")
            return "", None
        post = flow[0]["post"]
        if not isinstance(post, Mapping):
            self.faults.append("scenarios[0].flow[0].post is no mapping")
            return "", None
        self._only(post, {"url", "json", "name"}, "scenarios[0].flow[0].post")
        url, body = post.get("url"), post.get("json")
        if not isinstance(url, str) or not url.startswith("/"):
            self.faults.append(
                f"scenarios[0].flow[0].post.url is {url!r}; allowed: a path that begins with /"
            )
        if not isinstance(body, Mapping):
            self.faults.append("scenarios[0].flow[0].post.json is no mapping")
        return str(url), body
