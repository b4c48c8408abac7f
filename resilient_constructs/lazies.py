"""Values of a template that are complete only when the app is synthesized.

All are stable: the CDK asks once for each, so one costs one call back into Python per template, not per use.
https://docs.aws.amazon.com/cdk/v2/guide/tokens.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsii
from aws_cdk import IResolvable, IStableAnyProducer, IStableListProducer, IStableStringProducer, Lazy

__all__ = ["lazy_names", "lazy_text", "lazy_value"]


def lazy_text(write: Callable[[], str]) -> str:
    """A text that is asked for at synthesis."""
    return Lazy.string(_Text(write))


def lazy_names(read: Callable[[], list[str]]) -> list[str]:
    """A list of texts that is asked for at synthesis."""
    return Lazy.list(_Names(read))


def lazy_value(make: Callable[[], Any]) -> IResolvable:
    """Any JSON value that is asked for at synthesis."""
    return Lazy.any(_Value(make))


@jsii.implements(IStableStringProducer)
class _Text:
    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def produce(self) -> str:
        return self._write()


@jsii.implements(IStableListProducer)
class _Names:
    def __init__(self, read: Callable[[], list[str]]) -> None:
        self._read = read

    def produce(self) -> list[str]:
        return self._read()


@jsii.implements(IStableAnyProducer)
class _Value:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def produce(self) -> Any:
        return self._make()
