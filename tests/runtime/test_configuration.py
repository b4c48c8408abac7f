"""What a handler reads its parameters and secrets from."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import timeit
import traceback
from typing import Any

import pytest
from configuration_fakes import Environment, FakeStore, parameter, secret
from hypothesis import given
from hypothesis import strategies as st
from resilient_runtime.configured import Configuration, ConfigurationUnavailable, UnknownConfiguration
from resilient_runtime.configured.forms import FORMS, Unreadable, read, secrets_in

PASSWORD = "correct horse battery staple"
DATABASE = {
    "host": "db.example.com",
    "password": PASSWORD,
    "port": "5432",
    "tls": True,
    "nodes": [{"w": 0.5}],
}


@pytest.fixture
def environment() -> Environment:
    """An environment with one value of each form."""
    texts = {
        "url": "http://courier",
        "rate": "10",
        "share": "0.25",
        "dark": "yes",
        "database": json.dumps(DATABASE),
    }
    return Environment(
        FakeStore(**texts),
        parameter("url"),
        parameter("rate", form="int"),
        parameter("share", form="float"),
        parameter("dark", form="bool"),
        secret("database", form="json"),
    )


def test_a_value_is_read_in_the_form_that_was_declared(environment: Environment) -> None:
    """Text, whole number, number, flag and JSON come as what they are in Python."""
    configuration = environment.configuration

    assert [configuration[name] for name in ("url", "rate", "share", "dark", "database")] == [
        "http://courier",
        10,
        0.25,
        True,
        DATABASE,
    ]


def test_typed_access_reads_values_and_members(environment: Environment) -> None:
    """Each accessor has one type, reaches into JSON, and takes numbers that are stored as text."""
    configuration = environment.configuration

    assert configuration.text("database", "password") == PASSWORD
    assert configuration.integer("database", "port") == 5432
    assert configuration.flag("database", "tls") is True
    assert configuration.number("database", "nodes", 0, "w") == 0.5
    assert configuration.json("database", "nodes", -1) == {"w": 0.5}
    assert configuration.number("rate") == 10.0
    assert configuration.text("rate") == "10"
    assert configuration.flag("dark") is True


def test_an_unknown_name_is_told_the_known_ones(environment: Environment) -> None:
    """A misspelt name is answered with the names there are, and where to add one."""
    with pytest.raises(
        UnknownConfiguration, match=r"'couriers_url'.*'dark', 'database', 'rate', 'share', 'url'"
    ):
        _ = environment.configuration["couriers_url"]
    with pytest.raises(UnknownConfiguration, match=r"knows none.*override"):
        _ = Configuration()["url"]
    with pytest.raises(UnknownConfiguration, match="couriers_url"):
        environment.configuration.refresh("couriers_url")


def test_a_missing_member_is_told_the_members(environment: Environment) -> None:
    """What is inside is named by its names; values never are."""
    with pytest.raises(
        ValueError, match=r"has no member 'pass': its members are 'host', 'password'"
    ) as raised:
        environment.configuration.text("database", "pass")
    assert PASSWORD not in str(raised.value)
    with pytest.raises(ValueError, match="it is a list of 1"):
        environment.configuration.text("database", "nodes", 1)
    with pytest.raises(ValueError, match="form='json'"):
        environment.configuration.text("url", "host")


@pytest.mark.parametrize("accessor", ["integer", "number", "flag", "json"])
def test_a_value_of_another_form_is_named_and_not_shown(accessor: str) -> None:
    """A password asked for as a number fails by its name: neither message nor stack nor cause shows it."""
    environment = Environment(FakeStore(key=PASSWORD), secret("key"))

    with pytest.raises(ValueError, match=r"configuration\['key'\] is not") as raised:
        getattr(environment.configuration, accessor)("key")

    assert raised.value.__context__ is None
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


def test_a_declared_form_that_does_not_fit_is_told_without_the_value() -> None:
    """A secret that is no JSON is missing, and neither the record nor the error shows it."""
    environment = Environment(FakeStore(key=PASSWORD), secret("key", form="json"))

    with pytest.raises(
        ConfigurationUnavailable, match=r"secret 'key' is not JSON\. Correct its value"
    ) as raised:
        _ = environment.configuration["key"]

    told = "".join(traceback.format_exception(raised.value)) + str(environment.lines)
    assert PASSWORD not in told


def test_names_and_ages_are_all_that_is_shown(environment: Environment) -> None:
    """The representation of a configuration, and of all it is made of, holds no value."""
    environment.now += 12
    configuration = environment.configuration

    assert "database (12 s old)" in repr(configuration)
    shown = repr(configuration) + str(vars(configuration._values))
    assert PASSWORD not in shown
    assert "http://courier" not in shown
    assert repr(Configuration()) == "<configuration: nothing>"


def test_names_can_be_listed_and_asked_for(environment: Environment) -> None:
    """``in`` and iteration speak of names, loaded or not."""
    missing = Environment(FakeStore(), parameter("url")).configuration

    assert list(environment.configuration) == ["dark", "database", "rate", "share", "url"]
    assert "url" in missing
    assert "nothing" not in missing
    assert repr(missing) == "<configuration: url (not loaded)>"


def test_known_secrets_are_what_redaction_must_hide(environment: Environment) -> None:
    """A secret, and what is long enough in it; not where a database is, and nothing of a parameter."""
    hidden = environment.configuration.known_secrets()

    assert hidden == {PASSWORD, json.dumps(DATABASE)}


def test_a_renewed_secret_stays_hidden_beside_the_new_one() -> None:
    """An event that was sent before a rotation may still hold the old secret."""
    environment = Environment(FakeStore(key="first secret"), secret("key", expires_after=100))
    for text in ("second secret", "third secret"):
        environment.store.texts["key"] = text
        environment.invoke(after=90)
        environment.invoke(after=1)

    assert environment.configuration.known_secrets() == {"second secret", "third secret"}


def test_an_override_needs_no_aws() -> None:
    """A unit test gives values for a block of code, and they are gone after it, exception or not."""
    configuration = Configuration()
    with configuration.override({"url": "http://localhost", "rate": "7"}):
        assert configuration["url"] == "http://localhost"
        assert configuration.integer("rate") == 7
        with configuration.override({"rate": 8}):
            assert configuration["rate"] == 8
            assert repr(configuration) == "<configuration: rate (overridden), url (overridden)>"
        assert configuration["rate"] == "7"
    with pytest.raises(ZeroDivisionError), configuration.override({"url": "x"}):
        _ = 1 / 0

    assert "url" not in configuration


def test_an_override_covers_loaded_values_and_refreshes(environment: Environment) -> None:
    """While it lasts, neither what was loaded nor what is renewed shows through."""
    configuration = environment.configuration
    with configuration.override({"url": "http://localhost"}):
        environment.store.texts["url"] = "http://new"
        environment.invoke(after=280)
        environment.invoke(after=1)
        assert configuration["url"] == "http://localhost"
        assert configuration["rate"] == 10

    assert configuration["url"] == "http://new"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    """Any JSON value comes back as it went in."""
    assert read(json.dumps(value), "json") == value


@given(st.text(min_size=8), st.sampled_from(sorted(FORMS)))
def test_no_error_shows_what_could_not_be_read(text: str, form: str) -> None:
    """Whatever the text and the form, reading gives a value of that form or an error without the text."""
    types = {"text": str, "int": int, "float": float, "bool": bool, "json": object}
    refusal: Unreadable | None = None
    value = None
    try:
        value = read(text, form)
    except Unreadable as error:
        refusal = error

    if refusal is None:
        assert isinstance(value, types[form])
    else:
        assert str(refusal) == f"is not {FORMS[form]}"
        assert refusal.__context__ is None


@given(JSON)
def test_every_long_text_in_a_secret_is_hidden(value: Any) -> None:
    """However deep a text of eight characters stands in a JSON secret, it is among what is hidden."""

    def texts(one: Any) -> list[str]:
        if isinstance(one, str):
            return [one]
        inside = one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        return [text for each in inside for text in texts(each)]

    whole = json.dumps({"secret": value})
    hidden = secrets_in(whole)

    assert {text for text in texts(value) if len(text) >= 8} | {whole} == hidden


def test_reading_a_value_takes_less_than_a_microsecond(environment: Environment) -> None:
    """A handler may read its configuration as often as it likes, and an invocation look after its age."""
    configuration = environment.configuration
    read_us = min(timeit.repeat(lambda: configuration["url"], number=10_000, repeat=5)) * 100
    look_us = min(timeit.repeat(configuration.refresh_in_background, number=10_000, repeat=5)) * 100

    assert read_us < 1
    assert look_us < 5


def test_a_function_without_configuration_pays_for_none() -> None:
    """The runtime's public names are listed, and nothing of configuration or AWS is imported."""
    code = (
        "import sys, resilient_runtime.application, resilient_runtime; dir(resilient_runtime); "
        "print([name for name in sys.modules if 'configured' in name or 'boto' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_handlers_import_it_by_its_name() -> None:
    """``from resilient_runtime import configuration`` is one object, whoever was imported first."""
    code = (
        "import resilient_runtime.configured as home; from resilient_runtime import configuration; "
        "print(configuration is home.configuration, 'botocore' in __import__('sys').modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "True False"


def test_debug_logs_of_whoever_hold_no_value(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """With everything logged at DEBUG, a load and a failed read leave no value in the log."""
    with caplog.at_level(logging.DEBUG):
        environment.invoke(after=300)
        with pytest.raises(ValueError, match="whole number"):
            environment.configuration.integer("database", "password")

    assert PASSWORD not in caplog.text
