"""Where the items of a batch come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_s3 as s3

from resilient_constructs.limits import Faults
from resilient_constructs.tokens import pseudo

from .limits import MOST_ITEMS, READER_PAGE
from .machine import Given, Read

__all__ = ["Items"]

Statement = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """Where the items of a batch come from; make it with ``given``, ``listing``, ``json`` and so on.

    What comes with the batch is **inline**: all items share one execution and its history, which is cheap and
    quick for a few. What is read from S3 is **distributed**: each item is an execution of its own, and there
    may be millions. Texts may hold JSONata in ``{% … %}``, where ``$batch`` is the batch's input.

    :param source: for the state machine
    :param statements: what its role needs for it
    :param complaints: what is wrong with it; told by the construct that takes it, with all other faults

    https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
    """

    source: Given | Read
    statements: tuple[Statement, ...] = ()
    complaints: tuple[Callable[[Faults], None], ...] = ()

    @classmethod
    def given(cls, items: str | None = None, *, distributed: bool = False, most: int | None = None) -> Items:
        """Items in the batch's own input.

        :param items: an expression for the array. Default: the input if it is an array, or its ``items``
        :param distributed: each item is an execution of its own. Default: inline
        :param most: how many an inline batch may have; more are dead-lettered as a whole. All share the
            25,000 events of one history, so more items may wait less long for an open circuit. Default: 40
        """
        complaints = []
        chosen = int(MOST_ITEMS.default or 0) if most is None else most
        if distributed and most is not None:
            complaints.append(_complaint("items.most", most, "only of inline items"))
        if not MOST_ITEMS.allows(chosen):
            complaints.append(_complaint("items.most", chosen, MOST_ITEMS.allowed))
        if items is not None and not _is_expression(items):
            complaints.append(_complaint("items", items, "an expression, {% $batch.pages %}"))
        named = {} if items is None else {"items": items}
        return cls(
            source=Given(**named, is_distributed=distributed, most=chosen), complaints=tuple(complaints)
        )

    @classmethod
    def listing(cls, bucket: s3.IBucket, *, prefix: str) -> Items:
        """Each object below a prefix is an item: ``{"Key", "Size", "ETag", "LastModified", …}``.

        :param bucket: where they are; of this account and region
        :param prefix: below which; an expression, too
        """
        reader = _reader("listObjectsV2", {"Bucket": bucket.bucket_name, "Prefix": prefix})
        listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket.bucket_arn}
        return cls(source=Read(reader=reader), statements=(listing,))

    @classmethod
    def json(cls, bucket: s3.IBucket, *, key: str) -> Items:
        """An object that is a JSON array.

        :param bucket: where it is; of this account and region
        :param key: its key; an expression, too: ``{% $batch.key %}``
        """
        return cls._of(bucket, key, {"InputType": "JSON"})

    @classmethod
    def json_lines(cls, bucket: s3.IBucket, *, key: str) -> Items:
        """An object with one JSON value per line.

        :param bucket: where it is; of this account and region
        :param key: its key; an expression, too
        """
        return cls._of(bucket, key, {"InputType": "JSONL"})

    @classmethod
    def csv(
        cls,
        bucket: s3.IBucket,
        *,
        key: str,
        columns: Sequence[str] | None = None,
        delimiter: str | None = None,
    ) -> Items:
        """An object of rows: each is an item, ``{"column": "text"}``.

        :param bucket: where it is; of this account and region
        :param key: its key; an expression, too
        :param columns: their names. Default: the first row has them
        :param delimiter: ``COMMA``, ``PIPE``, ``SEMICOLON``, ``SPACE`` or ``TAB``. Default: a comma
        """
        config: dict[str, Any] = {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"}
        if columns is not None:
            config |= {"CSVHeaderLocation": "GIVEN", "CSVHeaders": list(columns)}
        known = ("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB")
        complaints: tuple[Callable[[Faults], None], ...] = ()
        if columns is not None and (
            # a text is a sequence of texts, too
            isinstance(columns, str)
            or not columns
            or not all(isinstance(name, str) and name for name in columns)
        ):
            complaints = (_complaint("items.columns", columns, "a list of names"),)
        if delimiter is not None:
            config["CSVDelimiter"] = delimiter
            if delimiter not in known:
                complaints += (_complaint("items.delimiter", delimiter, ", ".join(known)),)
        return cls._of(bucket, key, config, complaints)

    @classmethod
    def inventory(cls, bucket: s3.IBucket, *, key: str) -> Items:
        """Each object that an S3 inventory tells of.

        :param bucket: where the inventory is; of this account and region
        :param key: of its ``manifest.json``; an expression, too
        """
        # the manifest names files anywhere below, so the whole bucket has to be readable
        return cls._of(bucket, key, {"InputType": "MANIFEST"}, is_spread=True)

    @classmethod
    def _of(
        cls,
        bucket: s3.IBucket,
        key: str,
        config: Mapping[str, Any],
        complaints: tuple[Callable[[Faults], None], ...] = (),
        *,
        is_spread: bool = False,
    ) -> Items:
        reader = _reader("getObject", {"Bucket": bucket.bucket_name, "Key": key}, config)
        readable = "*" if is_spread or _is_expression(key) else key
        statements: list[Statement] = [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{bucket.bucket_arn}/{readable}"}
        ]
        if bucket.encryption_key is not None:
            own = bucket.encryption_key.key_arn
            statements.append({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": own})
        return cls(source=Read(reader=reader), statements=tuple(statements), complaints=complaints)


def _reader(
    action: str, arguments: Mapping[str, Any], config: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    reader: dict[str, Any] = {
        "Resource": f"arn:{pseudo().partition}:states:::s3:{action}",
        "Arguments": dict(arguments),
    }
    return reader if config is None else {**reader, "ReaderConfig": dict(config)}


def _is_expression(text: str) -> bool:
    return text.startswith("{%") and text.endswith("%}")


def _complaint(prop: str, value: object, allowed: str) -> Callable[[Faults], None]:
    def complain(faults: Faults) -> None:
        faults.add(prop, value, allowed, READER_PAGE)

    return complain
