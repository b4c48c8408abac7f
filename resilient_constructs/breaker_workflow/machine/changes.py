"""The circuit's changes and counts as writes of DynamoDB: what the runtime does in Python, in JSONata.

Each function gives an expression that is evaluated when the write is decided on. The write then has its parts
ready: ``{"update", "condition", "values"}``.
"""

from __future__ import annotations

from resilient_runtime.breaker.policy import BreakerPolicy

from .jsonata import literal
from .knowledge import BUCKETS, bucket

__all__ = [
    "ATTRIBUTE_NAMES",
    "NO_MARK",
    "claiming",
    "closing_or_counting_success",
    "counting",
    "failing",
    "is_claimable",
    "is_held",
    "opening",
    "releasing",
]

_FIELDS = (
    "state",
    "version",
    "changed_at",
    "retry_at",
    "closed_at",
    "openings",
    "successes",
    "reason",
    "by",
    "leases",
    "transition",
)
ATTRIBUTE_NAMES = {f"#{field}": field for field in _FIELDS}
NO_MARK = {"at": 0, "kind": "", "bad_in": 0}
"""This execution is counted neither as ill nor as well; no bucket is as old as 0."""

_BUCKET_FIELDS = ["calls", "failed", "slow", "ill", "well", "since"]
_ME = "$states.context.Execution.Id"
_NOW = "$moment := $millis() / 1000"
# 64 as in policy.recovery_delay: past that the delay is at its cap, whatever the growth.
_MOST_GROWTH = 64

_LIVE = "$sift($seen.leases, function($until) { $until > $moment })"


def is_claimable(policy: BreakerPolicy) -> str:
    """Whether a probe may be claimed of ``$seen``."""
    return f"""(
        {_NOW};
        $seen.state = 'OPEN' and $moment >= $seen.retry_at
            or $seen.state = 'HALF_OPEN' and $count($keys({_LIVE})) < {policy.probes}
    )"""


def is_held(lease: str) -> str:
    """Whether ``$seen`` still has the lease."""
    return f"($seen.state = 'HALF_OPEN' and $exists($lookup($seen.leases, {lease})))"


def claiming(policy: BreakerPolicy, lease: str, lease_seconds: float) -> str:
    """``after_claim``, where one may be claimed."""
    granted = f"{{{lease}: $round($moment + {literal(lease_seconds)}, 3)}}"
    return _change(
        f"""$seen.state = 'OPEN'
            ? $merge([$seen, {{
                'state': 'HALF_OPEN',
                'changed_at': $round($moment, 3),
                'retry_at': 0,
                'successes': 0,
                'leases': {granted},
                'by': {_ME}
            }}])
            : $merge([$seen, {{'leases': $merge([{_LIVE}, {granted}])}}])""",
        policy,
    )


def closing_or_counting_success(policy: BreakerPolicy, lease: str) -> str:
    """``after_success`` of a probe that holds its lease."""
    return _change(
        f"""$seen.successes + 1 < {policy.successes_to_close}
            ? $merge([$seen, {{'successes': $seen.successes + 1, 'leases': {_without(lease)}}}])
            : {{
                'state': 'CLOSED',
                'changed_at': $round($moment, 3),
                'retry_at': 0,
                'closed_at': $round($moment, 3),
                'openings': $seen.openings,
                'successes': 0,
                'leases': {{}},
                'reason': $string($seen.successes + 1) & ' probes in a row succeeded',
                'by': {_ME}
            }}""",
        policy,
    )


def failing(policy: BreakerPolicy, reason: str) -> str:
    """``after_failure`` of a probe that holds its lease."""
    return _change(_opened(policy, reason), policy)


def releasing(policy: BreakerPolicy, lease: str) -> str:
    """``after_release`` of a probe that holds its lease."""
    return _change(f"$merge([$seen, {{'leases': {_without(lease)}}}])", policy)


def opening(policy: BreakerPolicy) -> str:
    """``after_opening`` of a closed circuit, for the reason that the judgement has."""
    return _change(_opened(policy, "$seen.why"), policy)


def counting(policy: BreakerPolicy) -> str:
    """A call's end, told: adds to its bucket, and moves the mark by which this execution is ill or well.

    The mark stands in the bucket of the latest report, so that an execution that calls five times within a
    window is one environment in it and not five. The new one is ``mark``, for when the write is done.
    """
    return f"""(
        {_NOW};
        $here := {bucket("$moment", policy)};
        $first := $here - {BUCKETS - 1};
        $is_bad := $call.error != '' or $call.is_slow;
        $bad_in := $is_bad ? $here : $mark.bad_in;
        $kind := $bad_in >= $first ? 'ill' : 'well';
        $moves := $mark.at >= $first and ($mark.at != $here or $mark.kind != $kind);
        $stays := $mark.at = $here and $mark.kind = $kind;
        $add := $append([
            'calls_' & $here & ' :one',
            $call.error != '' ? 'failed_' & $here & ' :one',
            $call.error = '' and $call.is_slow ? 'slow_' & $here & ' :one',
            $stays ? [] : $kind & '_' & $here & ' :one'
        ], $moves ? [$mark.kind & '_' & $mark.at & ' :less'] : []);
        {{
            'update': ($is_bad ? 'SET since_' & $here & ' = if_not_exists(since_' & $here & ', :since) ' : '')
                & 'REMOVE ' & $join($append(['#transition'], {_over(policy)}), ', ')
                & ' ADD ' & $join($add, ', '),
            'values': $merge([
                {{':one': {{'N': '1'}}}},
                $moves ? {{':less': {{'N': '-1'}}}} : {{}},
                $is_bad ? {{':since': {{'N': $string($round($moment, 3))}}}} : {{}}
            ]),
            'mark': {{'at': $here, 'kind': $kind, 'bad_in': $bad_in}}
        }}
    )"""


def _opened(policy: BreakerPolicy, reason: str) -> str:
    growth = f"$power({literal(policy.recovery_growth)}, $min([$openings - 1, {_MOST_GROWTH}]))"
    return f"""(
        $well := $moment - $seen.closed_at > {literal(policy.window_seconds)};
        $openings := $seen.state = 'CLOSED' and $well ? 1 : $seen.openings + 1;
        $longest := $min([{literal(policy.longest_recovery_seconds)},
            {literal(policy.recovery_seconds)} * {growth}]);
        {{
            'state': 'OPEN',
            'changed_at': $round($moment, 3),
            'retry_at': $round($moment + $longest * (0.75 + 0.25 * $random()), 3),
            'closed_at': $seen.closed_at,
            'openings': $openings,
            'successes': 0,
            'leases': {{}},
            'reason': {reason},
            'by': {_ME}
        }}
    )"""


def _change(wanted: str, policy: BreakerPolicy) -> str:
    """``DynamoDBCircuits.change`` from ``$seen`` to what is wanted, if ``$seen``'s version is still there."""
    return f"""(
        {_NOW};
        $to := {wanted};
        $number_of := function($name) {{
            $lookup($to, $name) > 0 ? {{$name: {{'N': $string($lookup($to, $name))}}}} : {{}}
        }};
        $text_of := function($name) {{
            $lookup($to, $name) != '' ? {{$name: {{'S': $lookup($to, $name)}}}} : {{}}
        }};
        $fields := $merge([
            {{'state': {{'S': $to.state}}, 'version': {{'N': $string($seen.version + 1)}}}},
            $number_of('changed_at'),
            $number_of('retry_at'),
            $number_of('closed_at'),
            $number_of('openings'),
            $number_of('successes'),
            $text_of('reason'),
            $text_of('by'),
            $count($keys($to.leases)) > 0 ? {{'leases': {{'M': $merge($each($to.leases,
                function($until, $id) {{ {{$id: {{'N': $string($until)}}}} }}))}}}} : {{}},
            $to.state != $seen.state ? {{'transition': {{'S': $seen.state & '>' & $to.state}}}} : {{}}
        ]);
        $set := $keys($fields);
        $gone := $filter({literal(list(_FIELDS))}, function($name) {{ $not($name in $set) }});
        $remove := $append([$map($gone, function($name) {{ '#' & $name }})], {_over(policy)});
        {{
            'update': 'SET ' & $join($map($set, function($name) {{ '#' & $name & ' = :' & $name }}), ', ')
                & ($count($remove) > 0 ? ' REMOVE ' & $join($remove, ', ') : ''),
            'condition': $seen.version > 0 ? '#version = :before' : 'attribute_not_exists(#version)',
            'values': $merge([
                $merge($each($fields, function($value, $name) {{ {{':' & $name: $value}} }})),
                $seen.version > 0 ? {{':before': {{'N': $string($seen.version)}}}} : {{}}
            ])
        }}
    )"""


def _over(policy: BreakerPolicy) -> str:
    """The attributes of some buckets that nobody's window reaches any more, whatever their clock."""
    oldest = f"{bucket('$moment', policy)} - {2 * BUCKETS - 1}"
    fields = f"{literal(_BUCKET_FIELDS)}.($ & '_' & $at)"
    old = f"$filter($seen.buckets, function($at) {{ $at < {oldest} }})[[0..{BUCKETS - 1}]]"
    return f"[{old}.($at := $; {fields})]"


def _without(lease: str) -> str:
    return f"$merge([{{}}, $sift($seen.leases, function($until, $id) {{ $id != {lease} }})])"
