"""What a schedule says of time: told at synth what EventBridge Scheduler would refuse at deployment."""

from __future__ import annotations

import re
from datetime import datetime

from aws_cdk import Duration

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import is_token

from .limits import SCHEDULE_PAGE

__all__ = ["check_schedule"]

_RATE = re.compile(r"rate\([1-9]\d* (minute|hour|day)s?\)")
# Minutes, hours, day of month, month, day of week, year.
_CRON = re.compile(r"cron\([\w*?,/#-]+(\s+[\w*?,/#-]+){5}\)", re.ASCII)
_CRON_DIGIT = re.compile(r"[\d*?]|[A-Z]{3}\b|L", re.ASCII)
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", re.ASCII)
_LONGEST_MINUTES = 1440


def check_schedule(
    construct_id: str, expression: object, timezone: object, within: Duration | float | None
) -> int:
    """Judge a schedule.

    :param within: how much later it may come
    :return: that in minutes; 0 for at once
    :raises ValueError: all faults at once
    """
    faults = Faults(f"Schedule {construct_id!r}")
    if not is_token(expression) and not _is_expression(expression):
        allowed = "rate(5 minutes), cron(0 6 * * ? *) or at(2026-12-24T18:00:00)"
        faults.add("expression", expression, allowed, SCHEDULE_PAGE)
    if timezone is not None and not is_token(timezone) and not _is_timezone(timezone):
        allowed = "a name of the IANA time zone database as this machine has it: Europe/Berlin"
        faults.add("timezone", timezone, allowed, SCHEDULE_PAGE)
    minutes = _minutes(faults, within)
    faults.raise_any()
    return minutes


def _is_expression(text: object) -> bool:
    if not isinstance(text, str):
        return False
    at = _AT.fullmatch(text)
    if at is not None:
        return _is_moment(at[1])
    if _CRON.fullmatch(text):
        # a word is no time: each field has a number, a sign, a month's or a day's name
        return all(_CRON_DIGIT.match(field) for field in text[len("cron(") : -1].split())
    return _RATE.fullmatch(text) is not None


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_timezone(name: object) -> bool:
    # a machine without the database cannot tell, and Scheduler will
    from zoneinfo import available_timezones

    known = available_timezones()
    return not known or name in known


def _minutes(faults: Faults, within: Duration | float | None) -> int:
    if within is None:
        return 0
    allowed = f"whole minutes, up to {_LONGEST_MINUTES:,}: Duration.minutes(15)"
    if not isinstance(within, Duration):
        faults.add("within", within, allowed, SCHEDULE_PAGE)
        return 0
    seconds = within.to_seconds(integral=False)
    if is_token(seconds):
        faults.add("within", "a token", "a duration known at synth", SCHEDULE_PAGE)
        return 0
    minutes, rest = divmod(seconds, 60)
    if rest:
        faults.add("within", f"{seconds:g} seconds", allowed, SCHEDULE_PAGE)
    elif not 0 <= minutes <= _LONGEST_MINUTES:
        faults.add("within", int(minutes), f"0 to {_LONGEST_MINUTES:,} minutes", SCHEDULE_PAGE)
    return int(minutes)
