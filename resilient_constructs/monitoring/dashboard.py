"""One dashboard and its saved queries per stack, filled section by section and written once at synth.

Everything a section brings is kept in Python; CloudFormation's texts are made when the CDK asks for them.
The road not taken is to set the dashboard's body again with every section: it costs five round trips to
Node per construct, two of them for the alarms' ARNs. The usual objection to lazy values, a call back into
Python per resource, does not hold for one per stack: the CDK asks a stable producer once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast
from weakref import WeakKeyDictionary

from aws_cdk import Aws, Fn, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct, RootConstruct

from resilient_constructs.lazies import lazy_names, lazy_text
from resilient_constructs.places import stack_of

from .layout import Shown, layout, widget_count
from .limits import DASHBOARD_WIDGETS, QUERY_LOG_GROUPS
from .queries import SAVED, SAVED_OF_WORK
from .signal import Lane, LogGroup, SavedQuery, Section

__all__ = ["show"]

_PREFIX = "ResilientConstructs"

Searched = str | LogGroup
NamesOf = Callable[[Sequence[Searched]], list[str]]


def show(scope: Construct, section: Section, alarms: Sequence[cloudwatch.CfnAlarm]) -> None:
    """Put a section on the dashboard of the stack that ``scope`` is in; the first one makes the dashboard."""
    stack = stack_of(scope)
    shelf = _SHELVES.get(stack)
    if shelf is None:
        shelf = _SHELVES[stack] = _Shelf(stack)
    shelf.add(section, alarms)


class _Shelf:
    """The dashboards and saved queries of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._boards: list[_Board] = []
        self._everything = _Searches(stack, SAVED, self._names_of)
        self._work = _Searches(stack, SAVED_OF_WORK, self._names_of)
        self._asked_for: dict[str, _Searches] = {}
        self._log_groups: list[Searched] = []
        self._names: list[str] = []

    def add(self, section: Section, alarms: Sequence[cloudwatch.CfnAlarm]) -> None:
        if not self._boards or not self._boards[-1].has_room_for(section):
            self._boards.append(_Board(self._stack, self._names_of, number=len(self._boards) + 1))
        self._boards[-1].add(section, alarms)
        for log_group in section.log_groups:
            self._log_groups.append(log_group)
            self._everything.add(log_group)
            if section.lane is Lane.WORK:
                self._work.add(log_group)
            for construct_id, saved in section.queries.items():
                if construct_id not in self._asked_for:
                    only = {construct_id: saved}
                    self._asked_for[construct_id] = _Searches(self._stack, only, self._names_of)
                self._asked_for[construct_id].add(log_group)

    def _names_of(self, log_groups: Sequence[Searched]) -> list[str]:
        """The names of some of the log groups; all that are not known yet are read together."""
        if len(self._names) < len(self._log_groups):
            self._names += _names(self._log_groups[len(self._names) :])
        known = {id(group): name for group, name in zip(self._log_groups, self._names, strict=True)}
        return list(dict.fromkeys(known[id(group)] for group in log_groups))


class _Searches:
    """Saved queries over a growing list of log groups; a full list is followed by another."""

    def __init__(self, stack: Stack, queries: Mapping[str, SavedQuery], names_of: NamesOf) -> None:
        self._stack = stack
        self._queries = queries
        self._names_of = names_of
        self._log_groups: list[list[Searched]] = []

    def add(self, log_group: Searched) -> None:
        if any(log_group in groups for groups in self._log_groups):
            return
        if self._log_groups and QUERY_LOG_GROUPS.allows(len(self._log_groups[-1]) + 1):
            self._log_groups[-1].append(log_group)
            return
        self._log_groups.append([log_group])
        self._save(self._log_groups[-1], number=len(self._log_groups))

    def _save(self, log_groups: list[Searched], *, number: int) -> None:
        # the list still grows; it is read when the template is written
        names = lazy_names(lambda: self._names_of(log_groups))
        folder = Aws.STACK_NAME
        for construct_id, saved in self._queries.items():
            logs.CfnQueryDefinition(
                self._stack,
                _numbered(f"{_PREFIX}{construct_id}", number),
                # a saved query must have a name; the slash makes the stack's name its folder
                name=f"{folder}/{saved.name}" + (f" ({number})" if number > 1 else ""),
                query_string=saved.query,
                log_group_names=names,
            )


class _Board:
    """One dashboard; the next one is begun when this one is full."""

    def __init__(self, stack: Stack, names_of: NamesOf, *, number: int) -> None:
        self._names_of = names_of
        self._sections: list[tuple[Section, Sequence[cloudwatch.CfnAlarm]]] = []
        self._widgets = 5  # the title and the logs
        self._number = number
        body = lazy_text(self._body)
        cloudwatch.CfnDashboard(stack, _numbered(f"{_PREFIX}Dashboard", number), dashboard_body=body)

    def has_room_for(self, section: Section) -> bool:
        return DASHBOARD_WIDGETS.allows(self._widgets + widget_count(section))

    def add(self, section: Section, alarms: Sequence[cloudwatch.CfnAlarm]) -> None:
        self._sections.append((section, alarms))
        self._widgets += widget_count(section)

    def _body(self) -> str:
        arns = iter(_arns([alarm for _, alarms in self._sections for alarm in alarms]))
        shown = [
            Shown(
                section=replace(section, log_groups=tuple(self._names_of(section.log_groups))),
                alarms=tuple(next(arns) for _ in alarms),
            )
            for section, alarms in self._sections
        ]
        title = "${AWS::StackName}" + (f" ({self._number})" if self._number > 1 else "")
        body = layout(shown, title=title, region="${AWS::Region}")
        return _substituted(json.dumps(body, separators=(",", ":")))


_REFERENCE = re.compile(r"\$\{Token\[[^\]]*\]\}|\$\{(?:AWS::(?:Region|StackName)\})?")


def _substituted(text: str) -> str:
    """The text with every token named once, as ``Fn::Sub``.

    A text with tokens in it becomes an ``Fn::Join`` of all its pieces by itself. The names of a queue stand
    in a dozen metrics and the region in every graph, so that took longer to put together than all alarms.
    """
    names: dict[str, str] = {}
    values: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        piece = found[0]
        if piece == "${":  # plain text that looks like a reference
            return "${!"
        if piece.startswith("${AWS::"):
            return piece
        if piece not in names:
            names[piece] = f"V{len(values)}"
            values[names[piece]] = piece
        return f"${{{names[piece]}}}"

    return Fn.sub(_REFERENCE.sub(name, text), values or None)


def _arns(alarms: list[cloudwatch.CfnAlarm]) -> list[str]:
    """The ARNs of many alarms in two round trips; reading ``attr_arn`` takes one for each."""
    if not alarms:
        return []
    (widget,) = cloudwatch.AlarmStatusWidget(alarms=alarms).to_json()
    arns: list[str] = widget["properties"]["alarms"]
    return arns


def _names(log_groups: Sequence[Searched]) -> list[str]:
    """The names of many log groups in four round trips; reading ``log_group_name`` takes one for each.

    The query is in no app and never written: it is asked for what it would search.
    """
    if all(isinstance(group, str) for group in log_groups):
        return [str(group) for group in log_groups]
    nowhere = Stack(RootConstruct("Nowhere"), "Nowhere")
    query = logs.CfnQueryDefinition(
        nowhere, "Query", name="-", query_string="-", log_group_names=cast(Sequence[str], log_groups)
    )
    return list(query.log_group_names or ())


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}{number}"


# The jsii keeps every object that Python made for as long as the process lives, so a stack is the same
# Python object whenever it is asked for.
_SHELVES: WeakKeyDictionary[Stack, _Shelf] = WeakKeyDictionary()
