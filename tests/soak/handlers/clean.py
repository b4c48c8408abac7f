# ruff: noqa: D103, PTH123, SIM115  (handlers as users write them; their names say what they do)
"""Handlers that leave nothing behind, however much they look like it."""

import functools
import gzip
import json
import os
import random
import sqlite3
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

_calls = 0


@functools.cache
def _table():
    import boto3

    return boto3.client("dynamodb", endpoint_url=os.environ["STUB"])


def boto3_client(event, context):
    _table().get_item(TableName="t", Key={"id": {"S": "1"}})


@functools.cache
def _tools():
    from aws_lambda_powertools import Logger, Metrics

    return Logger(service="s"), Metrics(namespace="n", service="s")


def powertools(event, context):
    logger, metrics = _tools()
    logger.append_keys(order=random.random())
    logger.info("one order")
    metrics.add_metric(name="Orders", unit="Count", value=1)
    metrics.flush_metrics()


def files(event, context):
    with open("/tmp/order.txt", "w") as file:
        file.write("x" * random.randrange(10_000))
    with open("/tmp/order.txt") as file:
        file.read()


def temporary_files(event, context):
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/order", "wb") as file:
        file.write(os.urandom(200_000))
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100)


def threads(event, context):
    started = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(4)]
    for one in started:
        one.start()
    for one in started:
        one.join()
    with ThreadPoolExecutor(3) as pool:
        return sum(pool.map(abs, range(-9, 0)))


@functools.cache
def _pool():
    import urllib3

    return urllib3.PoolManager(maxsize=4)


def urllib3_pool(event, context):
    _pool().request("GET", os.environ["STUB"])


def json_churn(event, context):
    order = {str(line): {"a": [line] * 20, "b": "x" * random.randrange(200)} for line in range(300)}
    return len(json.loads(json.dumps(order)))


@functools.lru_cache(maxsize=100)
def _looked_up(key):
    return "x" * 20_000 + str(key)


def filling_cache(event, context):
    """Grows by 20 kB per invocation until it is full after a hundred."""
    global _calls
    _calls += 1
    _looked_up(_calls)


def sqlite(event, context):
    database = sqlite3.connect("/tmp/orders.db")
    with database:
        database.execute("create table if not exists orders (id)")
        database.execute("delete from orders")
        database.execute("insert into orders values (?)", (random.random(),))
    database.close()


def gzipped(event, context):
    with gzip.open("/tmp/order.gz", "wb") as file:
        file.write(os.urandom(50_000))
    with gzip.open("/tmp/order.gz") as file:
        file.read()


def child_process(event, context):
    subprocess.run(["true"], capture_output=True, check=True)


def uneven_memory(event, context):
    return len([bytearray(random.randrange(1 << 20)) for _ in range(random.randrange(8))])


def cycles(event, context):
    """Garbage that only the collector frees, and it does."""
    order = {"descriptor": open("/dev/null")}
    order["self"] = order
