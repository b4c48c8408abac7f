"""What a stored item says: the circuit, and its window judged. The runtime's ``window.judge``, in JSONata.

The result is the variable ``$seen``. Times that are not stored are 0 in it and not null: JSONata refuses to
compare with null, and 0 means the same to every comparison here. ``closed_at`` 0 is long over, ``retry_at`` 0
is due.
"""

from __future__ import annotations

from typing import Any

from resilient_runtime.breaker.policy import BreakerPolicy

from .jsonata import literal

__all__ = ["BUCKETS", "UNKNOWN", "bucket", "seen"]

# As in resilient_runtime.breaker.window, whose names for them are its own; the conformance test holds them.
BUCKETS = 10
_CLOCKS_APART = 2
_DOUBT = 0.05

UNKNOWN: dict[str, Any] = {
    "state": "CLOSED",
    "version": 0,
    "changed_at": 0,
    "retry_at": 0,
    "closed_at": 0,
    "openings": 0,
    "successes": 0,
    "leases": {},
    "reason": "",
    "by": "",
    "buckets": [],
    "mood": "CALM",
    "why": "",
    "wait": 0,
    "since": 0,
}
"""What is known of a circuit that was never read."""


def bucket(moment: str, policy: BreakerPolicy) -> str:
    """The number of the bucket that a moment falls into."""
    return f"$floor({moment} * {BUCKETS} / {literal(policy.window_seconds)})"


def seen(item: str, policy: BreakerPolicy, *, typical_seconds: str, unless: str = "false") -> str:
    """An expression for ``$seen``.

    :param item: an expression for the item, as DynamoDB has it
    :param typical_seconds: an expression for how long a good call takes
    :param unless: a condition under which the window is not judged
    """
    return f"""(
        $item := {item};
        $moment := $millis() / 1000;
        $number_of := function($name) {{
            $exists($lookup($item, $name)) ? $number($lookup($item, $name).N) : 0
        }};
        $text_of := function($name, $else) {{
            $exists($lookup($item, $name)) ? $lookup($item, $name).S : $else
        }};
        $state := $text_of('state', 'CLOSED');
        $closed_at := $number_of('closed_at');
        $cells := {_cells("$item")};
        $judgement := $state = 'CLOSED' and $count($cells) > 0 and $not({unless})
            ? {_judgement(policy, typical_seconds)}
            : {_CALM};
        $merge([$judgement, {{
            'state': $state,
            'version': $number_of('version'),
            'changed_at': $number_of('changed_at'),
            'retry_at': $number_of('retry_at'),
            'closed_at': $closed_at,
            'openings': $number_of('openings'),
            'successes': $number_of('successes'),
            'leases': {_LEASES},
            'reason': $text_of('reason', ''),
            'by': $text_of('by', ''),
            'buckets': [$sort($distinct($cells.at))]
        }}])
    )"""


_CALM = "{'mood': 'CALM', 'why': '', 'wait': 0, 'since': 0}"

# Not $merge($each(…)) alone: of an empty map both are nothing at all.
_LEASES = """$merge([{}, $each($exists($item.leases) ? $item.leases.M : {}, function($until, $id) {
    {$id: $number($until.N)}
})])"""


def _cells(item: str) -> str:
    """One ``{what, at, n}`` for each attribute of a bucket: ``calls_566666667``."""
    return f"""$each({item}, function($value, $name) {{(
        $parts := $split($name, '_');
        $parts[0] in ['calls', 'failed', 'slow', 'ill', 'well', 'since']
            ? {{'what': $parts[0], 'at': $number($parts[1]), 'n': $number($value.N)}}
    )}})"""


def _judgement(policy: BreakerPolicy, typical_seconds: str) -> str:
    """The window that ends now, judged.

    Buckets are added up from the latest backwards, as an outage is a share of the latest calls; ``since`` is
    what the oldest of them says.
    """
    share = f"($how = 'SLOW' ? {literal(policy.slow_call_rate)} : {literal(policy.failure_rate)})"
    return f"""(
        $here := {bucket("$moment", policy)};
        $first := $max([$here - {BUCKETS - 1}, $closed_at > 0 ? {bucket("$closed_at", policy)} + 1 : 0]);
        $window := $cells[at >= $first and at <= $here + {_CLOCKS_APART}];
        $buckets := $window{{$string(at): $merge($.{{what: n}})}};
        $sums := $reduce(
            [$reverse($sort($distinct($window.at)))],
            function($sums, $at) {{(
                $bucket := $merge([{{'calls': 0, 'failed': 0, 'slow': 0, 'ill': 0, 'well': 0, 'since': 0}},
                    $lookup($buckets, $string($at))]);
                $calls := $sums.calls + $bucket.calls;
                $failed := $sums.failed + $bucket.failed;
                $is_outage := $sums.outage = '' and $calls >= {literal(policy.outage_calls)}
                    and $failed >= {literal(policy.outage_rate)} * $calls;
                {{
                    'calls': $calls,
                    'failed': $failed,
                    'slow': $sums.slow + $bucket.slow,
                    'ill': $sums.ill + $bucket.ill,
                    'well': $sums.well + $bucket.well,
                    'since': $bucket.since > 0 ? $bucket.since : $sums.since,
                    'outage': $is_outage
                        ? 'of the latest ' & $string($calls) & ' calls ' & $string($failed) & ' failed'
                        : $sums.outage
                }}
            )}},
            {{'calls': 0, 'failed': 0, 'slow': 0, 'ill': 0, 'well': 0, 'since': 0, 'outage': ''}}
        );
        $is_enough := $sums.calls >= {literal(policy.minimum_calls)};
        $how := $sums.failed = 0 and $sums.slow = 0 ? 'CALM'
            : $sums.outage != '' ? 'OUTAGE'
            : $is_enough and $sums.failed >= {literal(policy.failure_rate)} * $sums.calls ? 'FAILED'
            : $is_enough and $sums.slow >= {literal(policy.slow_call_rate)} * $sums.calls ? 'SLOW'
            : 'WATCHFUL';
        $reporters := $sums.ill + $sums.well;
        $why := ($how = 'OUTAGE' ? $sums.outage
            : 'of ' & $string($sums.calls) & ' calls ' & ($how = 'FAILED'
                ? $string($sums.failed) & ' failed'
                : $string($sums.slow) & ' were slow'))
            & ', in ' & $string($sums.ill) & ' of ' & $string($reporters) & ' environments';
        $wait := $sums.since + {_time_to_object(policy, typical_seconds)} - $moment;
        $how = 'CALM' ? {_CALM}
            : $how = 'WATCHFUL' ? {{'mood': 'WATCHFUL', 'why': '', 'wait': 0, 'since': $sums.since}}
            : $sums.ill < {share} * $reporters
                ? {{'mood': 'SUSPECT', 'why': $why, 'wait': 0, 'since': $sums.since}}
            : {{
                'mood': $wait > 0 ? 'SUSPECT' : 'DOWN',
                'why': $why,
                'wait': $max([$wait, 0]),
                'since': $sums.since
            }}
    )"""


def _time_to_object(policy: BreakerPolicy, typical_seconds: str) -> str:
    """The runtime's ``_time_to_object``."""
    cache = literal(policy.cache_seconds)
    return f"""({cache} * ($sums.calls > $sums.failed + $sums.slow
        ? ($how = 'OUTAGE' ? 1 : 2)
        : 1 - $power({_DOUBT}, 1 / $max([$sums.ill, 1]))) + $min([{typical_seconds}, {cache}]))"""
