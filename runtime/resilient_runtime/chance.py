"""Randomness as a value that is handed in, so that every jitter can be tested without luck."""

from __future__ import annotations

import os

__all__ = ["uniform"]


def uniform() -> float:
    """A random number, 0 or more and less than 1."""
    # Not random.random: importing random costs milliseconds at every cold start, and an environment that is
    # restored from a snapshot would repeat the numbers of its siblings.
    # https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
    return int.from_bytes(os.urandom(6), "big") / (1 << 48)
