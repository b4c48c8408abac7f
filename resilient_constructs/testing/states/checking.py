"""What is wrong with a definition, before it runs: what AWS refuses, and what it would only find out later.

https://states-language.net/spec.html
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from .errorequals import faults_of_handlers
from .expressions import Expressions, is_expression

__all__ = ["faults_of"]

_LONGEST_NAME = 80
_LARGEST_DEFINITION = 1_048_576
_COMMON = frozenset({"Type", "Comment", "QueryLanguage"})
_STEP = _COMMON | {"Output", "Assign", "Next", "End"}
_WORKING = _STEP | {"Retry", "Catch"}
_DISTRIBUTED = frozenset(
    {
        "ItemReader",
        "ItemBatcher",
        "ResultWriter",
        "Label",
        "ToleratedFailureCount",
        "ToleratedFailurePercentage",
    }
)
_FIELDS: dict[str, frozenset[str]] = {
    "Task": _WORKING | {"Resource", "Arguments", "TimeoutSeconds", "HeartbeatSeconds", "Credentials"},
    "Parallel": _WORKING | {"Arguments", "Branches"},
    "Map": _WORKING | {"Items", "ItemSelector", "ItemProcessor", "MaxConcurrency"} | _DISTRIBUTED,
    "Pass": _STEP,
    "Wait": _STEP | {"Seconds", "Timestamp"},
    "Choice": _COMMON | {"Output", "Assign", "Choices", "Default"},
    "Succeed": _COMMON | {"Output"},
    "Fail": _COMMON | {"Error", "Cause"},
}
_REQUIRED = {
    "Task": ("Resource",),
    "Parallel": ("Branches",),
    "Map": ("ItemProcessor",),
    "Choice": ("Choices",),
}
_TOP = frozenset({"Comment", "QueryLanguage", "StartAt", "States", "TimeoutSeconds", "Version"})
_RULE = frozenset({"Condition", "Next", "Assign", "Output", "Comment"})
_ENDS = frozenset({"Succeed", "Fail"})
_RESULTS = frozenset({"Task", "Map", "Parallel"})
_VARIABLE = re.compile(r"\$(\w+)")
# Bound in the expression itself, or the parameter of a function in it.
_BOUND = re.compile(r"\$(\w+)\s*(?::=|(?=[^()]*\)\s*\{))")


def faults_of(definition: Mapping[str, Any], expressions: Expressions | None = None) -> list[str]:
    """Everything that is wrong with it, one sentence each; nothing for a good one."""
    size = len(json.dumps(definition).encode())
    faults = [] if size <= _LARGEST_DEFINITION else [f"the definition has {size} bytes; allowed: 1,048,576"]
    if definition.get("QueryLanguage") != "JSONata":
        faults.append("QueryLanguage is not JSONata; no other is known here")
    faults += [f"the machine's {field} is unknown" for field in sorted(definition.keys() - _TOP)]
    names = Counter(_names(definition))
    # "State names MUST be unique within the scope of the whole state machine."
    faults += [f"{name} is the name of {times} states" for name, times in names.items() if times > 1]
    faults += _faults_of_variables(definition, "", {}, frozenset())
    return faults + list(_faults_of_scope(definition, "", expressions or Expressions()))


def _names(scope: Mapping[str, Any]) -> Iterator[str]:
    for name, state in (scope.get("States") or {}).items():
        yield name
        for inner in _inner_scopes(state):
            yield from _names(inner)


def _faults_of_scope(scope: Mapping[str, Any], place: str, expressions: Expressions) -> Iterator[str]:
    states: Mapping[str, Any] = scope.get("States") or {}
    start = scope.get("StartAt")
    if start not in states:
        yield f"{place}StartAt is {start!r}, which is no state"
        return
    for name, state in states.items():
        where = f"{place}{name}"
        if len(name) > _LONGEST_NAME:
            yield f"{where} has {len(name)} characters; allowed: {_LONGEST_NAME}"
        yield from _faults_of_state(state, where, states)
        yield from _faults_of_expressions(state, where, expressions)
        for inner in _inner_scopes(state):
            yield from _faults_of_scope(inner, f"{where}/", expressions)
    yield from _faults_of_paths(states, str(start), place)


def _faults_of_variables(
    scope: Mapping[str, Any], place: str, outer: Mapping[str, str], hidden: frozenset[str]
) -> Iterator[str]:
    """No variable of an inner scope has the name of an outer one's, and child executions see no outer one.

    :param outer: the variables of all scopes around this one, and a state that assigns each
    :param hidden: those of them that cannot be read from here
    """
    states: Mapping[str, Any] = scope.get("States") or {}
    own: dict[str, str] = {}
    for name, state in states.items():
        for variable in _assigned(state):
            own.setdefault(variable, f"{place}{name}")
            if variable in outer:
                around = outer[variable]
                yield f"{place}{name} assigns to {variable}, which {around} assigns to in an outer scope"
        for variable in sorted(_read(state) & hidden):
            yield f"{place}{name} reads {variable} of {outer[variable]}, which a child execution does not see"
    known = {**own, **outer}
    for name, state in states.items():
        processor = state.get("ItemProcessor") or {}
        is_child = processor.get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED"
        for inner in _inner_scopes(state):
            beyond = frozenset(known) if is_child else hidden
            yield from _faults_of_variables(inner, f"{place}{name}/", known, beyond)


def _assigned(state: Mapping[str, Any]) -> Iterator[str]:
    for part in (state, *state.get("Choices", ()), *state.get("Catch", ())):
        yield from part.get("Assign", ())


def _read(state: Mapping[str, Any]) -> set[str]:
    """The variables that the state's own expressions read, without those that are an expression's own."""
    own = {name: value for name, value in state.items() if name not in {"Branches", "ItemProcessor"}}
    return {
        found
        for text in _texts(own)
        if is_expression(text)
        for found in set(_VARIABLE.findall(text)) - set(_BOUND.findall(text))
    }


def _faults_of_state(state: Mapping[str, Any], where: str, states: Mapping[str, Any]) -> Iterator[str]:
    kind = state.get("Type")
    if kind not in _FIELDS:
        yield f"{where} has the type {kind!r}, which is unknown"
        return
    if state.get("QueryLanguage", "JSONata") != "JSONata":
        yield f"{where} has QueryLanguage {state['QueryLanguage']!r}; only JSONata is known here"
    for field in sorted(state.keys() - _FIELDS[kind]):
        yield f"{where} ({kind}) has {field}, which it must not have"
    for field in _REQUIRED.get(kind, ()):
        if field not in state:
            yield f"{where} ({kind}) has no {field}"
    if kind not in _ENDS and kind != "Choice" and ("Next" in state) == (state.get("End") is True):
        yield f"{where} has to have either Next or End: true"
    if kind == "Wait" and ("Seconds" in state) == ("Timestamp" in state):
        yield f"{where} has to have either Seconds or Timestamp"
    for rule in state.get("Choices", ()):
        for field in sorted(rule.keys() - _RULE):
            yield f"{where} has a rule with {field}, which it must not have"
        if "Condition" not in rule or "Next" not in rule:
            yield f"{where} has a rule without Condition or Next"
    for target in _targets(state):
        if target not in states:
            yield f"{where} goes on to {target!r}, which is no state of its scope"
    if kind == "Map":
        mode = state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode", "INLINE")
        for field in sorted(state.keys() & _DISTRIBUTED):
            if mode != "DISTRIBUTED":
                yield f"{where} is an inline Map and has {field}, which it must not have"
        if "ItemReader" in state and "Items" in state:
            yield f"{where} has Items and an ItemReader; it has to be one of them"
    if "states" in state.get("Assign", ()):
        yield f"{where} assigns to the reserved variable states"
    yield from faults_of_handlers(state, where)


def _faults_of_expressions(state: Mapping[str, Any], where: str, expressions: Expressions) -> Iterator[str]:
    has_result = state.get("Type") in _RESULTS
    for field, value in state.items():
        if field in {"Branches", "ItemProcessor"}:
            continue
        for text in _texts(value):
            if ("{%" in text or "%}" in text) and not is_expression(text):
                yield f"{where}/{field} has an expression that does not begin with {{% and end with %}}"
            if not is_expression(text):
                continue
            if field in {"Type", "Resource", "Next", "End", "Comment"}:
                yield f"{where}/{field} is an expression; it has to be a constant"
            if "$states.result" in text and not (has_result and field in {"Assign", "Output"}):
                yield f"{where}/{field} uses $states.result, which is not there"
            if "$states.errorOutput" in text and field != "Catch":
                yield f"{where}/{field} uses $states.errorOutput, which is there in Catch only"
            if "$eval(" in text:
                yield f"{where}/{field} uses $eval, which Step Functions does not have"
            try:
                expressions.compile(text)
            except ValueError as fault:
                yield f"{where}/{field} is no JSONata: {fault}"


def _faults_of_paths(states: Mapping[str, Any], start: str, place: str) -> Iterator[str]:
    reached, left = {start}, [start]
    while left:
        for target in _targets(states[left.pop()]):
            if target in states and target not in reached:
                reached.add(target)
                left.append(target)
    for name in states:
        if name not in reached:
            yield f"{place}{name} cannot be reached"
    ending = {name for name in states if states[name].get("Type") in _ENDS or states[name].get("End") is True}
    while True:
        more = {name for name in states if name not in ending and ending & set(_targets(states[name]))}
        if not more:
            break
        ending |= more
    for name in states:
        if name not in ending:
            yield f"{place}{name} never comes to an end"


def _targets(state: Mapping[str, Any]) -> list[str]:
    targets = [state[field] for field in ("Next", "Default") if field in state]
    return targets + [
        rule["Next"] for rule in (*state.get("Choices", ()), *state.get("Catch", ())) if "Next" in rule
    ]


def _inner_scopes(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = list(state.get("Branches", ()))
    return [*inner, state["ItemProcessor"]] if "ItemProcessor" in state else inner


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
