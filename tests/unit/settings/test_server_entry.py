"""Labels, variables and the queue of a server."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from support.settings_files import entry, found, named, refused

from ztrust_mail.settings import choose_server
from ztrust_mail.settings.server_entry import (
    BUILT_IN,
    LABEL_NAME,
    LABEL_VALUE,
    MAX_LENGTH,
    NAME,
    VARIABLE_NAME,
    VARIABLE_VALUE,
)

URL = "https://id.example.com"


@pytest.mark.parametrize("url", [URL, "file:///srv/exports"])
def test_a_server_has_the_labels_and_variables_of_its_entry(tmp_path: Path, url: str) -> None:
    keys = {"labels": '{stage = "prod", region = "eu-1"}', "vars": '{domain = "eu.example.com"}'}
    server = choose_server(named(tmp_path, entry(url=f'"{url}"', **keys)), environ={})
    assert server.labels == {"stage": "prod", "region": "eu-1"}
    assert server.vars == {"domain": "eu.example.com"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", "{Stage = 'x'}", "`servers.main.labels.Stage` is not a name for a label"),
        ("labels", "{stage = 'a b'}", "`servers.main.labels.stage` is not the value of a label"),
        ("labels", "{stage = 1}", "`servers.main.labels.stage` must be a text"),
        ("vars", "{realm = 'x'}", "`servers.main.vars.realm` is not a name for a variable"),
        ("vars", "{server = 'x'}", "`servers.main.vars.server` is not a name for a variable"),
        ("vars", '{a = "b\\u001b[0m"}', "`servers.main.vars.a` contains a control character"),
        ("vars", "{a = ''}", "`servers.main.vars.a` must be a text"),
    ],
)
def test_a_bad_label_or_variable_is_refused_with_its_place(tmp_path: Path, key: str, value: str, message: str) -> None:
    assert message in refused(named(tmp_path, entry(url=f'"{URL}"', **{key: value}))).message


@pytest.mark.parametrize("url", [URL, "file:///srv/exports"])
def test_a_server_has_the_queue_of_its_entry_or_else_the_default(tmp_path: Path, url: str) -> None:
    assert choose_server(named(tmp_path, entry(url=f'"{url}"', queue='"eu-1"')), environ={}).queue == "eu-1"
    assert choose_server(named(tmp_path, entry(url=f'"{url}"')), environ={}).queue == "default"


def test_a_bad_queue_is_refused_with_its_place(tmp_path: Path) -> None:
    settings = named(tmp_path, entry(url=f'"{URL}"', queue='"EU west"'))
    for option in ("main", URL):
        refusal = refused(settings, option)
        assert refusal.message == "`servers.main.queue` is `EU west`"
        assert "lower-case letters" in refusal.hint


def test_the_queue_of_a_server_counts_too_where_it_is_given_by_its_url(tmp_path: Path) -> None:
    twins = entry(url=f'"{URL}"', queue='"eu"') + entry(url=f'"{URL}/"', queue='"us"').replace("main", "twin")
    settings = named(tmp_path, twins)
    assert choose_server(settings, URL, environ={}).queue == "eu"
    assert choose_server(settings, URL, ("twin",), environ={}).queue == "us"
    assert choose_server(settings, "https://other.example.com", environ={}).queue == "default"


def test_with_the_environments_login_labels_variables_and_queue_of_an_untrusted_entry_are_ignored() -> None:
    settings = found(
        entry(url=f'"{URL}"', labels='{stage = "prod"}', vars='{relay = "evil.example"}', queue='"elsewhere"')
    )
    server = choose_server(settings, environ={"ZTRUST_MAIL_URL": URL, "ZTRUST_MAIL_PASSWORD": "p"})
    assert (server.labels, server.vars, server.queue) == ({}, {}, "default")
    assert "`labels`, `vars`, `queue`" in server.findings[0].message
    assert server.findings[0].message.endswith("no labels, no vars, queue `default`")


def test_an_untrusted_entry_with_a_login_of_its_own_has_its_own_queue() -> None:
    server = choose_server(found(entry(url=f'"{URL}"', token='"own"', queue='"eu"')), environ={})
    assert (server.isolated, server.queue) == (True, "eu")


def test_the_schema_has_the_same_patterns() -> None:
    text = resources.files("ztrust_mail").joinpath("schemas/settings.schema.json").read_text(encoding="utf-8")
    keys = json.loads(text)["$defs"]["server"]["properties"]
    labels, variables = keys["labels"], keys["vars"]
    assert (labels["propertyNames"]["pattern"], labels["additionalProperties"]["pattern"]) == (LABEL_NAME, LABEL_VALUE)
    assert variables["propertyNames"] == {"pattern": VARIABLE_NAME, "not": {"enum": [*BUILT_IN]}}
    assert keys["queue"]["pattern"] == NAME
    value = variables["additionalProperties"]
    assert (value["pattern"], value["maxLength"]) == (VARIABLE_VALUE, MAX_LENGTH)
