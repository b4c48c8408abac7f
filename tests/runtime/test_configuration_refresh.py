"""Values are renewed in the background, and kept on when that fails."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any

import pytest
from configuration_fakes import THROTTLED, Environment, FakeStore, parameter, secret
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.configured import Configuration, ConfigurationUnavailable, freshness
from resilient_runtime.configured.asking import Answer, Found, ask_all
from resilient_runtime.configured.freshness import Life, Moment

SECONDS = st.floats(0, 1e6)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(SECONDS, CHANCE)
def test_a_value_is_renewed_before_it_expires(expires_after: float, chance: float) -> None:
    """Each environment asks again at a moment of its own between 70 and 90 percent of a value's life."""
    after = freshness.refresh_after(expires_after, chance)

    assert 0.69 * expires_after <= after <= 0.91 * expires_after


@given(st.integers(1, 10_000), CHANCE)
def test_pauses_grow_and_end(failures: int, chance: float) -> None:
    """A failing store is left alone for half a second to a minute, and never not at all."""
    pause = freshness.pause_after(failures, chance)

    assert 0.5 <= pause <= 60
    assert pause <= freshness.pause_after(failures + 1, chance)


@given(st.lists(st.tuples(SECONDS, SECONDS, st.floats(1, 1e6))))
def test_what_is_due_takes_along_what_soon_will_be(drawn: list[tuple[float, float, float]]) -> None:
    """Nothing is asked for until one value is due, and then all that are past 70 percent of their lives."""
    lives = [
        Life(str(number), age, max(0.7 * life, min(refresh, 0.9 * life)), life)
        for number, (age, refresh, life) in enumerate(drawn)
    ]
    names = freshness.due(lives)

    assert bool(names) == any(life.age >= life.refresh_after for life in lives)
    assert {life.name for life in lives if life.age >= life.refresh_after} <= set(names)
    assert all(life.age >= 0.7 * life.expires_after for life in lives if life.name in names)


@pytest.mark.parametrize(
    ("wall", "ticks", "passed"), [(60, 60, 60), (3600, 1, 3600), (-50, 30, 30), (-5, 0, 0)]
)
def test_a_frozen_or_corrected_clock_hides_no_time(wall: float, ticks: float, passed: float) -> None:
    """The clock that says more is believed, and time never runs backwards."""
    assert freshness.seconds_since(Moment(100, 7), Moment(100 + wall, 7 + ticks)) == passed


def test_everything_is_loaded_at_once_when_the_environment_starts() -> None:
    """One look at the store brings all values, and reading them asks for nothing more."""
    store = FakeStore(url="http://courier", key="hunter2hunter2")
    environment = Environment(store, parameter("url"), secret("key"))

    assert environment.configuration["url"] == "http://courier"
    assert environment.configuration["key"] == "hunter2hunter2"
    assert sorted(name for names in store.asked for name in names) == ["key", "url"]
    assert environment.lines == []


def test_an_invocation_that_comes_early_asks_for_nothing() -> None:
    """Until a value is past 70 percent of its life, no invocation begins a refresh."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))
    for _ in range(69):
        environment.invoke(after=1)

    assert len(environment.store.asked) == 1


def test_a_value_is_renewed_in_the_background_before_it_expires() -> None:
    """The invocation in which a value is due begins its refresh, and the next ones see the new value."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100), chance=0.5)
    environment.store.texts["url"] = "b"
    environment.frozen = True
    environment.invoke(after=81)
    assert environment.configuration["url"] == "a"

    environment.thaw()
    assert environment.configuration["url"] == "b"
    assert environment.waited == []


def test_values_that_live_equally_long_share_one_refresh() -> None:
    """One call renews them all, however many there are."""
    names = [f"p{number}" for number in range(8)]
    environment = Environment(FakeStore(**dict.fromkeys(names, "x")), *map(parameter, names))
    environment.invoke(after=250)

    assert [len(asked) for asked in environment.store.asked] == [8, 8]


def test_values_of_one_life_are_renewed_together_whatever_moments_they_drew() -> None:
    """When one value is due at 70 percent, the one that drew 90 comes along, and a young one does not."""
    lives = [Life("due", 70, 70, 100), Life("soon", 70, 90, 100), Life("young", 70, 210, 300)]

    assert freshness.due(lives) == ["due", "soon"]


def test_an_unchanged_value_stays_the_same_object() -> None:
    """A refresh that brings the same text parses nothing again: who holds the value holds the current one."""
    environment = Environment(FakeStore(limits='{"a": 1}'), parameter("limits", form="json"))
    before = environment.configuration["limits"]
    environment.invoke(after=300)

    assert len(environment.store.asked) == 2
    assert environment.configuration["limits"] is before


def test_one_refresh_runs_at_a_time() -> None:
    """While a refresh is frozen half-way, no invocation begins another."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))
    environment.frozen = True
    for _ in range(50):
        environment.invoke(after=5)

    assert len(environment.threads) == 1


def test_a_refresh_that_was_frozen_counts_from_when_it_was_asked() -> None:
    """An answer that ends an hour after its question is an hour old, and the next invocation asks again."""

    class Frozen(FakeStore):
        def _ask(self, entries: Any) -> Any:
            answer = super()._ask(entries)
            environment.now += 3600
            return answer

    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))
    frozen = Frozen(url="b")
    environment.store = frozen
    environment.configuration._values._stores["parameter"] = frozen  # type: ignore[union-attr]
    environment.invoke(after=80)
    environment.invoke()
    environment.invoke()

    assert environment.configuration["url"] == "b"
    assert len(frozen.asked) >= 2


def test_an_older_answer_never_replaces_a_newer() -> None:
    """A refresh that overtakes a frozen one wins, whichever ends last."""
    environment = Environment(FakeStore(url="old"), parameter("url", expires_after=100))
    values = environment.configuration._values
    assert values is not None
    asked = values._now()
    environment.now += 50
    environment.store.texts["url"] = "new"
    assert environment.configuration.refresh("url")
    values._take(asked, Answer({"url": Found("older")}, {}))

    assert environment.configuration["url"] == "new"


def test_only_after_a_long_pause_an_invocation_waits_and_not_for_long() -> None:
    """An environment that slept past the expiry gives the refresh half a second; a busy one gives it none."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))
    environment.frozen = True
    for _ in range(30):
        environment.invoke(after=9)
    assert environment.waited == []

    environment.invoke(after=3600)
    environment.invoke()
    assert environment.waited == [0.5]


def test_a_failing_store_costs_no_invocation_its_value() -> None:
    """While a store throttles, the last good value is served, for as long as it takes."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))
    environment.store.refuses = THROTTLED
    for _ in range(2000):
        environment.invoke(after=10)
        assert environment.configuration["url"] == "a"


def test_an_outage_is_told_once_and_once_that_it_is_over() -> None:
    """One record says what AWS said and how old the values are, and one how long it took."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))
    environment.store.refuses = THROTTLED
    for _ in range(100):
        environment.invoke(after=10)
    environment.store.refuses = None
    environment.invoke(after=100)
    environment.invoke(after=1)

    assert environment.told == ["STALE", "FRESH"]
    stale, fresh = environment.lines
    assert stale["faults"] == {"url": THROTTLED}
    assert stale["age_s"] == {"url": 70}
    assert stale["ConfigurationFailed"] == 1
    assert fresh["outage_s"] == pytest.approx(1000, abs=70)
    assert "ConfigurationFailed" not in fresh


def test_a_failing_store_is_asked_less_and_less() -> None:
    """In an hour's outage with an invocation each second, the store is asked about once a minute."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100), chance=0.999)
    environment.store.refuses = THROTTLED
    for _ in range(3600):
        environment.invoke(after=1)

    assert 55 < len(environment.store.asked) < 75


def test_a_new_value_that_cannot_be_read_leaves_the_old_one() -> None:
    """Somebody stores nonsense: the last good value stays, and the record says which value and what form."""
    environment = Environment(FakeStore(rate="5"), parameter("rate", form="int", expires_after=100))
    environment.store.texts["rate"] = "hunter2"
    environment.invoke(after=95)

    assert environment.configuration["rate"] == 5
    assert environment.told == ["STALE"]
    assert "parameter 'rate' is not a whole number" in environment.lines[0]["faults"]["rate"]
    assert "hunter2" not in str(environment.lines)


def test_a_store_that_breaks_altogether_is_an_outage_like_any_other() -> None:
    """An exception where none was expected costs neither the invocation nor the value."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))

    def broken(entries: object) -> Any:
        raise OSError("no descriptor is left")

    environment.store.asks = broken  # type: ignore[method-assign]
    environment.invoke(after=95)

    assert environment.configuration["url"] == "a"
    assert environment.lines[0]["faults"] == {"url": "OSError: no descriptor is left"}


def test_without_a_free_thread_the_value_stays() -> None:
    """At Lambda's limit of 1,024 threads no refresh begins, and the next attempt is after a pause."""
    environment = Environment(FakeStore(url="a"), parameter("url", expires_after=100))

    def full(run: object) -> Any:
        raise RuntimeError("can't start new thread")

    environment.configuration._values._start = full  # type: ignore[union-attr]
    environment.invoke(after=95)
    environment.invoke()

    assert environment.configuration["url"] == "a"
    assert "can't start new thread" in environment.lines[0]["faults"]["url"]


def test_calls_that_get_no_thread_are_made_one_after_the_other() -> None:
    """Where no thread can be started in the init phase, all is loaded all the same."""

    def full(run: object) -> Any:
        raise RuntimeError("can't start new thread")

    asks = [lambda name=name: Answer({name: Found(name)}, {}) for name in "abc"]
    answer = ask_all("abc", asks, start=full)

    assert set(answer.found) == {"a", "b", "c"}


def test_a_call_that_breaks_costs_only_its_own_values() -> None:
    """One call of several raises: what the others bring is there, and the rest is told by its error."""

    def broken() -> Answer:
        raise KeyError("Parameters")

    answer = ask_all("ab", [broken, lambda: Answer({"b": Found("x")}, {})], start=None)

    assert answer == Answer({"b": Found("x")}, {"a": "KeyError: 'Parameters'"})


def test_a_first_load_that_fails_is_told_whole_and_fails_no_init() -> None:
    """Starting raises nothing; one record names every value that is missing, and what AWS said."""
    store = FakeStore(url="a")
    environment = Environment(store, parameter("url"), parameter("rate"), parameter("limit"))

    assert environment.told == ["UNCONFIGURED"]
    assert environment.lines[0]["faults"] == {"rate": "no such thing", "limit": "no such thing"}
    assert environment.configuration["url"] == "a"


def test_what_was_never_loaded_is_tried_again_when_it_is_used() -> None:
    """The error names all that is missing; after the pause the next use asks again, and finds it."""
    store = FakeStore()
    environment = Environment(store, parameter("url"), parameter("rate"))
    with pytest.raises(ConfigurationUnavailable, match="'url': no such thing; 'rate': no such thing"):
        _ = environment.configuration["url"]
    store.texts |= {"url": "a", "rate": "b"}
    with pytest.raises(ConfigurationUnavailable):
        _ = environment.configuration["url"]
    assert len(store.asked) == 1

    environment.now += 1
    assert environment.configuration["url"] == "a"
    assert environment.told == ["UNCONFIGURED", "FRESH"]


def test_what_was_never_loaded_is_also_tried_in_the_background() -> None:
    """An invocation that does not ask for a missing value begins to load it all the same."""
    environment = Environment(FakeStore(), parameter("url"))
    environment.store.texts["url"] = "a"
    environment.invoke(after=1)

    assert len(environment.store.asked) == 2
    assert environment.configuration["url"] == "a"


def test_a_refused_credential_can_be_asked_for_again_at_once() -> None:
    """``refresh`` says whether trying again makes sense, and asks at most once a second."""
    environment = Environment(FakeStore(key="old password"), secret("key"))
    assert environment.configuration.refresh("key") is False
    environment.store.texts["key"] = "new password"
    environment.now += 1

    assert environment.configuration.refresh("key") is True
    assert environment.configuration.refresh("key") is False
    assert environment.configuration["key"] == "new password"
    assert len(environment.store.asked) == 2


def test_a_real_thread_renews_a_value() -> None:
    """With Python's own threads and clock, a value that is due is renewed without anybody waiting."""
    store = FakeStore(url="a")
    renewed = threading.Event()
    configuration = Configuration()
    configuration.load(
        [parameter("url", expires_after=0.001)],
        service="shop",
        function_name="Delivery",
        emit=print,
        store_of=lambda kind: store,
    )
    store.texts["url"] = "b"
    show = configuration._show
    configuration._values._changed = lambda: (show(), renewed.set())  # type: ignore[union-attr, func-returns-value, assignment]
    renewed.wait(0.002)
    configuration.refresh_in_background()

    assert renewed.wait(5)
    assert configuration["url"] == "b"


STEPS = st.lists(
    st.tuples(
        st.floats(0, 400),
        st.sampled_from(["answers", "answers", "throttles", "has nonsense"]),
        st.booleans(),
    ),
    max_size=40,
)


@given(STEPS, CHANCE)
def test_a_value_once_loaded_is_never_lost(steps: list[tuple[float, str, bool]], chance: float) -> None:
    """Whatever the store and the freezer do, every read gives the last good value, and no read fails."""
    environment = Environment(
        FakeStore(rate="0"), parameter("rate", form="int", expires_after=100), chance=chance
    )
    good = {0}
    for number, (after, mood, frozen) in enumerate(steps, 1):
        environment.store.refuses = THROTTLED if mood == "throttles" else None
        environment.store.texts["rate"] = "nonsense" if mood == "has nonsense" else str(number)
        good.add(number)
        environment.frozen = frozen
        environment.invoke(after=after)
        if not frozen:
            environment.thaw()
        assert environment.configuration["rate"] in good
        assert len(environment.threads) <= 1
    told = environment.told
    assert all(one != other for one, other in pairwise(told))
