"""When the work is called again, and what becomes of it while its downstream is down, as users say it."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from aws_cdk import Duration

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token, seconds

from .limits import ATTEMPTS, BACKOFF_RATE, ERRORS_PAGE, INTERVAL, LONGEST_INTERVAL, MOST_ATTEMPTS
from .machine import RetryRule

__all__ = ["Parking", "Retry", "check_names", "check_retries"]


class Parking(StrEnum):
    """What becomes of work while the circuit is open."""

    QUEUE = "QUEUE"
    """It goes to the parked queue, and its execution ends well; when the circuit closes it is started again,
    paced. Costs nothing while it waits, and no execution stays open."""
    WAIT = "WAIT"
    """Its execution waits for the recovery time and looks again. One execution per work, whatever happens;
    for Standard workflows only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """When the work is called again after an error of its own. The first rule that names the error decides.

    Before each further attempt it waits from nothing up to ``interval × rate ** (attempt - 1)``, at most
    ``longest``: full jitter, so that work which failed together does not come back together. Each attempt
    asks the circuit again and is counted by it.

    :param errors: names of errors as Step Functions has them: for a function, its exception's class;
        ``States.Http.StatusCode.503``; ``States.Timeout``; ``States.ALL``. Default: all
    :param attempts: how many times again, 0 to 250 for all rules together. Default: five times
    :param interval: the longest wait before the first of them. Default: two seconds
    :param rate: how many times longer each time. Default: twice
    :param longest: where that growth ends. Default: a minute, or ``interval`` if longer

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    errors: Sequence[str] = ("States.ALL",)
    attempts: int = int(ATTEMPTS.default or 0)
    interval: Duration | None = None
    rate: float = float(BACKOFF_RATE.default or 0)
    longest: Duration | None = None

    def rule(self) -> RetryRule:
        """The rule in seconds."""
        first, longest = self._seconds()
        return RetryRule(
            errors=tuple(self.errors),
            attempts=int(self.attempts),
            interval_seconds=first,
            backoff_rate=self.rate,
            longest_seconds=longest,
        )

    def check(self, faults: Faults, place: str) -> None:
        """Note what is wrong with it.

        :param place: which rule, for the error's text: ``retries[0]``
        """
        check_names(faults, f"{place}.errors", self.errors)
        if not self.errors:
            faults.add(f"{place}.errors", (), "at least one name of an error", ERRORS_PAGE)
        first, longest = self._seconds()
        for limit, value in (
            (ATTEMPTS, self.attempts),
            (INTERVAL, first),
            (BACKOFF_RATE, self.rate),
            (LONGEST_INTERVAL, longest),
        ):
            prop = f"{place}.{limit.prop}"
            if is_token(value):
                # it stands in the definition's expressions, and a token would be nonsense there
                faults.add(prop, "a token", "a value known at synth", limit.page)
            elif not limit.allows(value):
                faults.add(prop, value, limit.allowed, limit.page)
        if not is_token(first) and not is_token(longest) and longest < first:
            allowed = f"at least interval, {first:g} seconds"
            faults.add(f"{place}.longest", longest, allowed, LONGEST_INTERVAL.page)

    def _seconds(self) -> tuple[float, float]:
        first = seconds(self.interval, default=INTERVAL.default or 0)
        growth = LONGEST_INTERVAL.default or 0
        return first, seconds(self.longest, default=growth if is_token(first) else max(growth, first))


def check_retries(faults: Faults, retries: Sequence[Retry]) -> None:
    """Note what is wrong with the rules, each and together."""
    for number, retry in enumerate(retries):
        retry.check(faults, f"retries[{number}]")
        if "States.ALL" in retry.errors and number + 1 < len(retries):
            # as in Step Functions' own Retry: what stands behind it would never be reached
            allowed = "States.ALL in the last rule only"
            faults.add(f"retries[{number}].errors", list(retry.errors), allowed, ERRORS_PAGE)
    attempts = [retry.attempts for retry in retries if ATTEMPTS.allows(retry.attempts)]
    if sum(attempts) > MOST_ATTEMPTS:
        allowed = f"at most {MOST_ATTEMPTS} attempts of all rules together, or the history fills up"
        faults.add("retries", sum(attempts), allowed, ATTEMPTS.page)


def check_names(faults: Faults, prop: str, names: Sequence[str]) -> None:
    """Note what is no list of names of errors."""
    listed = isinstance(names, Sequence | Set) and not isinstance(names, str)
    if not listed or not all(isinstance(name, str) and name for name in names):
        faults.add(prop, names, "a list of names of errors", ERRORS_PAGE)
