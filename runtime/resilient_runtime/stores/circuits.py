"""The DynamoDB table that an app's circuits live in: one item each, read and written by every environment.

The item is plain, so that a state machine can write it without any code of ours:

===================  =  =====================================================================================
``name``             S  partition key: the downstream's name
``state``            S  CLOSED, OPEN, HALF_OPEN, FORCED_OPEN or DISABLED; without it: CLOSED
``version``          N  grows with every write of the state; without it: 0
``changed_at``       N  when the state last changed, in seconds since 1970, like every time here
``retry_at``         N  while OPEN: when the first probe may go out
``closed_at``        N  when it last closed; buckets up to that moment's no longer count
``openings``         N  how many times in a row it opened
``successes``        N  probes that succeeded while HALF_OPEN
``leases``           M  while HALF_OPEN: id of each probe under way → N, until when
``reason``, ``by``   S  why, and who
``transition``       S  ``CLOSED>OPEN``: there after a write that changed the state, until the next write
``calls_B``          N  calls that ended in bucket B = floor(time × 10 ÷ window_seconds)
``failed_B``         N  … that failed
``slow_B``           N  … that succeeded too slowly
``ill_B``, ``well_B``  N  environments that reported last in B, with and without failures in their window
``since_B``          N  when the first failure of the bucket was told
===================  =  =====================================================================================

Two kinds of write, one ``UpdateItem`` each. **Counting** adds to buckets, whatever the state, and removes
``transition``. **Changing** replaces all that is no bucket, on the condition that ``version`` is the one that
was decided from (``attribute_not_exists(version)`` for 0), with the version plus one. So a stream's filter on
``transition`` sees changes of state alone. Buckets whose window is over are removed along the way: the item
stays near one kilobyte.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, cast

from resilient_runtime.breaker.circuit import Circuit, CircuitState
from resilient_runtime.breaker.store import Record, Written
from resilient_runtime.breaker.window import Bucket

__all__ = ["DynamoDBCircuits", "UpdatesItems", "dynamodb_client"]

_COUNTED = ("calls", "failed", "slow", "ill", "well")
_BUCKET_FIELDS = (*_COUNTED, "since")
_TIMES = ("changed_at", "retry_at", "closed_at")
_NUMBERS = ("openings", "successes")
_TEXTS = ("reason", "by")


class UpdatesItems(Protocol):
    """The two calls of boto3's DynamoDB client that are used here."""

    def get_item(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html."""
        ...

    def update_item(self, **arguments: Any) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html."""
        ...


def dynamodb_client() -> UpdatesItems:
    """A client that gives up after a second and does not try again.

    The breaker goes on without its store, so waiting for it would only make its outage ours; and a count that
    was written although its answer got lost must not be written twice.
    """
    # Late on purpose: botocore and this client take a fifth of a second to import and make.
    from .clients import client

    return cast("UpdatesItems", client("dynamodb", read_timeout=1, attempts=1))


class DynamoDBCircuits:
    """Circuits in a DynamoDB table whose partition key is ``name``.

    :param table_name: the table's name or ARN
    :param connect: makes the client when it is first needed
    :param consistent: whether what is read must not be older than the last write. Default: it may be, as
        nothing is overwritten by who read too early, and such a read costs half
    """

    def __init__(
        self,
        table_name: str,
        connect: Callable[[], UpdatesItems] = dynamodb_client,
        *,
        consistent: bool = False,
    ) -> None:
        self.table_name = table_name
        self._consistent = consistent
        self._connect = connect
        self._client: UpdatesItems | None = None

    def read(self, name: str) -> Record:
        """The circuit and its counts.

        :raises Exception: whatever the client raises
        """
        answer = self._connected().get_item(
            TableName=self.table_name, Key=_key(name), ConsistentRead=self._consistent
        )
        return _record(answer.get("Item") or {})

    def count(self, name: str, entries: Mapping[int, Bucket], over: Iterable[int] = ()) -> Record:
        """Add to buckets and give back everything as it is now.

        :param entries: what to add, by number of bucket
        :param over: buckets to remove
        :raises Exception: whatever the client raises; it is then not known whether anything was added
        """
        add: list[str] = []
        set_: list[str] = []
        values: dict[str, Any] = {}
        for index, bucket in entries.items():
            for field in _COUNTED:
                if value := getattr(bucket, field):
                    add.append(f"{field}_{index} :{field}_{index}")
                    values[f":{field}_{index}"] = _number(value)
            if bucket.since:
                set_.append(f"since_{index} = if_not_exists(since_{index}, :since_{index})")
                values[f":since_{index}"] = _number(bucket.since)
        gone = _buckets(index for index in over if index not in entries)
        answer = self._connected().update_item(
            TableName=self.table_name,
            Key=_key(name),
            UpdateExpression=_expression(set_, ["#transition", *gone], add),
            ExpressionAttributeNames={"#transition": "transition"},
            ReturnValues="ALL_NEW",
            **({"ExpressionAttributeValues": values} if values else {}),
        )
        return _record(answer["Attributes"])

    def change(self, name: str, circuit: Circuit, *, before: Circuit, over: Iterable[int] = ()) -> Written:
        """Replace ``before`` by ``circuit``, unless somebody else has changed it meanwhile.

        :param over: buckets to remove
        :returns: whether it was replaced, and everything as it is now
        :raises Exception: whatever the client raises, but for a condition that does not hold
        """
        fields = _fields_of(circuit)
        if circuit.state is not before.state:
            fields["transition"] = {"S": f"{before.state}>{circuit.state}"}
        gone = [f"#{field}" for field in _ALL_FIELDS if field not in fields]
        names = {f"#{field}": field for field in _ALL_FIELDS}
        values = {f":{field}": value for field, value in fields.items()}
        if before.version:
            condition = "#version = :before"
            values[":before"] = _number(before.version)
        else:
            condition = "attribute_not_exists(#version)"
        try:
            answer = self._connected().update_item(
                TableName=self.table_name,
                Key=_key(name),
                UpdateExpression=_expression(
                    [f"#{field} = :{field}" for field in fields], [*gone, *_buckets(over)], []
                ),
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            response = getattr(error, "response", None)
            if not isinstance(response, dict) or not _is_about_condition(response):
                raise
            return Written(False, _record(response.get("Item") or {}))
        return Written(True, _record(answer["Attributes"]))

    def _connected(self) -> UpdatesItems:
        if self._client is None:
            self._client = self._connect()
        return self._client


_ALL_FIELDS = ("state", "version", *_TIMES, *_NUMBERS, *_TEXTS, "leases", "transition")


def _fields_of(circuit: Circuit) -> dict[str, Any]:
    fields: dict[str, Any] = {"state": {"S": str(circuit.state)}, "version": _number(circuit.version)}
    for field in (*_TIMES, *_NUMBERS):
        if (value := getattr(circuit, field)) or (value is not None and field in _TIMES):
            fields[field] = _number(value)
    for field in _TEXTS:
        if text := getattr(circuit, field):
            fields[field] = {"S": text}
    if circuit.leases:
        fields["leases"] = {"M": {id_: _number(until) for id_, until in circuit.leases.items()}}
    return fields


def _record(item: Mapping[str, Mapping[str, Any]]) -> Record:
    numbers = {name: value["N"] for name, value in item.items() if "N" in value}
    counts: dict[int, dict[str, Any]] = {}
    for name, number in numbers.items():
        field, _, index = name.rpartition("_")
        if field in _BUCKET_FIELDS and index.isdecimal():
            bucket = counts.setdefault(int(index), {})
            bucket[field] = float(number) if field == "since" else int(number)
    texts = {name: value["S"] for name, value in item.items() if "S" in value}
    leases = item.get("leases", {}).get("M", {})
    times = {field: float(numbers[field]) if field in numbers else None for field in _TIMES}
    circuit = Circuit(
        state=CircuitState(texts.get("state", "CLOSED")),
        version=int(numbers.get("version", 0)),
        changed_at=times["changed_at"],
        retry_at=times["retry_at"],
        closed_at=times["closed_at"],
        openings=int(numbers.get("openings", 0)),
        successes=int(numbers.get("successes", 0)),
        leases={id_: float(until["N"]) for id_, until in leases.items()},
        reason=texts.get("reason", ""),
        by=texts.get("by", ""),
    )
    return Record(circuit, {index: Bucket(**fields) for index, fields in counts.items()})


def _expression(set_: list[str], remove: list[str], add: list[str]) -> str:
    clauses = (("SET", set_), ("REMOVE", remove), ("ADD", add))
    return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts)


def _buckets(indexes: Iterable[int]) -> list[str]:
    return [f"{field}_{index}" for index in sorted(set(indexes)) for field in _BUCKET_FIELDS]


def _is_about_condition(response: Mapping[str, Any]) -> bool:
    # botocore's exception, known by its shape: importing botocore for it would cost at every start.
    code = str(response.get("Error", {}).get("Code", ""))
    return code.rpartition("#")[2] == "ConditionalCheckFailedException"


def _key(name: str) -> dict[str, Any]:
    return {"name": {"S": name}}


def _number(value: float) -> dict[str, str]:
    return {"N": repr(value) if isinstance(value, int) else f"{value:.3f}"}
