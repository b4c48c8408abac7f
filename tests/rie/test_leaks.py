"""Under AWS's own runtime with Lambda's limits: what leaks fails without us, and goes on with us."""

from __future__ import annotations

from pathlib import Path

import pytest
from sizes import sized

from resilient_constructs.soak.environment import ExecutionEnvironment

pytestmark = [pytest.mark.rie]

HERE = Path(__file__).parent
MEMORY = 128
TMP = 64
DESCRIPTORS = 1024
INVOCATIONS = sized(20_000, 5_000)


def environment(handler: str, *, with_us: bool, **env: str) -> ExecutionEnvironment:
    """An environment with the smallest limits that Lambda has, or smaller."""
    if handler == "socket_in_a_cycle":
        env["WITHOUT_GC"] = "1"
    return ExecutionEnvironment(
        "resilient_runtime.entry.handler" if with_us else f"leaking.{handler}",
        path=HERE,
        memory=MEMORY,
        tmp=TMP,
        descriptors=DESCRIPTORS,
        timeout=30,
        engine="rie",
        env={"RESILIENT_HANDLER": f"leaking.{handler}", "RESILIENT_OWN_TMP": "1", **env},
    )


def first_failure(lambda_: ExecutionEnvironment, *, within: int) -> int | None:
    """The number of the first invocation that fails, or None."""
    for number in range(1, within + 1):
        reply = lambda_.invoke({"number": number})
        if reply.error is not None:
            return number
        assert reply.value == number
    return None


@pytest.mark.parametrize(
    ("handler", "fails_at"),
    [
        # Descriptors 0 to 2, two of the emulator's and the interface client's own are open from the start.
        ("descriptor", range(1010, 1023)),
        ("socket_in_a_cycle", range(1010, 1023)),
        ("temporary_file", range(TMP, TMP + 2)),
        # A bare interpreter with the interface client takes some 15 MB.
        ("memory", range(95, 120)),
    ],
)
def test_a_leak_fails_without_us(handler: str, fails_at: range) -> None:
    """Each leak reaches its limit where arithmetic says: so the environment's limits are real."""
    with environment(handler, with_us=False) as bare:
        assert first_failure(bare, within=fails_at.stop) in fails_at


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("handler", ["descriptor", "socket_in_a_cycle", "temporary_file", "memory"])
def test_with_us_what_leaks_goes_on_for_as_long_as_it_is_called(handler: str) -> None:
    """Not one of thousands of invocations fails, no process is started again, and every cure is told."""
    with environment(handler, with_us=True) as healed:
        assert first_failure(healed, within=INVOCATIONS) is None
        assert healed.restarts == 0
        records = healed.records()
    told = [record["status"] for record in records]
    assert told.count("COMPLETED") == INVOCATIONS
    assert told.count("RECYCLED") == healed.recycles
    assert ("RECYCLED" in told) == (handler in ("descriptor", "memory"))
    assert told.count("CLEANED") >= INVOCATIONS // DESCRIPTORS
    assert told.count("LEAK") >= 1
    leak = next(record for record in records if record["status"] == "LEAK")
    suspect = leak["suspects"][leak["resources"][0]][0]
    assert (
        suspect["what"]
        == {
            "descriptor": "/dev/null",
            "socket_in_a_cycle": "a socket that is not connected",
            "temporary_file": "/tmp/page-*.html",
            "memory": "list leaking._kept",
        }[handler]
    )
