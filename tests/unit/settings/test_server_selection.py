"""Servers selected by name, glob and label."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fleets import entry
from support.settings_files import found, named

from ztrust_mail.core.errors import ZtrustMailError
from ztrust_mail.settings import Settings, choose_server
from ztrust_mail.settings.fleet import ServerSelection, is_glob
from ztrust_mail.settings.inventory import report_left_out, resolve_selection

ENTRIES = [
    entry("eu-1", "https://eu-1.example.com", 'stage = "prod", region = "eu"'),
    entry("eu-2", "https://eu-2.example.com", 'stage = "test", region = "eu"'),
    entry("us-1", "https://us-1.example.com", 'stage = "prod", region = "us"'),
    entry("broken", "nonsense", 'stage = "lab"'),
    entry("twin", "https://EU-1.example.com/", 'stage = "twins"'),
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return named(tmp_path, "\n".join(ENTRIES))


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (["us-1", "eu-1"], [], ["us-1", "eu-1"]),
        (["eu-*"], [], ["eu-1", "eu-2"]),
        (["eu-?", "eu-1", "us*"], [], ["eu-1", "eu-2", "us-1"]),
        ([], ["stage=prod"], ["eu-1", "us-1"]),
        ([], ["stage=prod", "region=eu"], ["eu-1"]),
        (["eu-*"], ["stage=test"], ["eu-2"]),
        (["https://other.example.com", "us-1"], [], ["https://other.example.com", "us-1"]),
        (["broken", "us-1"], [], ["broken", "us-1"]),
    ],
)
def test_a_selection_has_each_server_once_in_the_order_given(
    settings: Settings, names: list[str], labels: list[str], expected: list[str]
) -> None:
    found = resolve_selection(settings, ServerSelection(tuple(names), tuple(labels)), {})
    assert [one.name for one in found] == expected


@pytest.mark.parametrize(
    ("selection", "message", "hint"),
    [
        (ServerSelection(("eu-1", "us*", "eu-3")), "no server `eu-3` in ", "did you mean `eu-2`?"),
        (ServerSelection(("q*",)), "no server matches `q*`", "known servers: eu-1, eu-2, us-1, broken and twin"),
        (ServerSelection(labels=("stage=prdo",)), "no server has the label `stage=prdo`", "did you mean `prod`?"),
        (ServerSelection(labels=("sage=prod",)), "no server has the label `sage=prod`", "did you mean `stage`?"),
        (ServerSelection(labels=("stage",)), "`stage` is not a label", "write NAME=VALUE"),
        (ServerSelection(("us*",), ("region=eu",)), "no server among us-1 has `region=eu`", "fewer labels"),
        (ServerSelection(labels=("region=us", "stage=test")), "has `region=us` and `stage=test`", "fewer labels"),
        (ServerSelection(("eu-1",), every=True), "--all-servers cannot be combined", "leave out"),
        (ServerSelection(every=True), "`eu-1` and `twin` have the same URL", "leave one of them out"),
    ],
)
def test_a_selection_that_means_nothing_or_one_server_twice_is_refused(
    settings: Settings, selection: ServerSelection, message: str, hint: str
) -> None:
    with pytest.raises(ZtrustMailError) as raised:
        resolve_selection(settings, selection, {})
    assert message in raised.value.message
    assert hint in raised.value.hint


def test_settings_without_servers_have_none_to_select() -> None:
    with pytest.raises(ZtrustMailError, match="the settings have no servers"):
        resolve_selection(Settings(), ServerSelection(every=True), {})


def test_a_question_mark_in_a_url_makes_no_glob() -> None:
    assert [is_glob(one) for one in ("eu-?", "https://a.example/?x", "file:///srv/a*")] == [True, False, False]


def test_a_label_in_an_untrusted_file_selects_no_server_of_the_environments_login() -> None:
    settings = found('[servers.x]\nlabels = {stage = "dev"}\n')
    environ = {"ZTRUST_MAIL_URL": "https://prod.example.com", "ZTRUST_MAIL_TOKEN": "t"}
    with pytest.raises(ZtrustMailError, match="no server has the label `stage=dev`"):
        resolve_selection(settings, ServerSelection(labels=("stage=dev",)), environ)


def test_a_url_that_the_guard_names_has_the_labels_and_variables_of_its_entry(tmp_path: Path) -> None:
    url = "https://eu-1.example.com"
    settings = named(tmp_path, f"{ENTRIES[4]}{ENTRIES[0]}vars = {{domain = 'eu.example'}}")
    server = choose_server(settings, url, ("eu-1",), {})
    assert (server.name, server.vars) == ("eu-1", {"domain": "eu.example"})
    assert server.labels == {"stage": "prod", "region": "eu"}
    assert not server.password
    assert not choose_server(settings, url, (), {}).labels


@pytest.fixture
def mixed(user_folder: Path) -> Settings:
    """The user's own ``eu-1``, and a found file with ``eu-1``, ``eu-2`` and ``us-1``."""
    (user_folder / "ztrust-mail.toml").write_text(ENTRIES[0], encoding="utf-8")
    return found("\n".join(ENTRIES[:3]))


@pytest.mark.parametrize(
    ("selection", "expected", "left_out"),
    [
        (ServerSelection(every=True), ["eu-1"], "2 servers (eu-2 and us-1)"),
        (ServerSelection(("eu-*",)), ["eu-1"], "1 server (eu-2)"),
        (ServerSelection(labels=("stage=prod",)), ["eu-1"], "1 server (us-1)"),
        (ServerSelection(("eu-*",), ("stage=prod",)), ["eu-1"], ""),
        (ServerSelection(("eu-1", "eu-2")), ["eu-1", "eu-2"], ""),
        (ServerSelection(("eu-*", "eu-2")), ["eu-1", "eu-2"], ""),
        (ServerSelection(("us-1", "*")), ["us-1", "eu-1"], "1 server (eu-2)"),
    ],
)
def test_a_server_that_only_an_untrusted_file_names_is_selected_by_its_exact_name_alone(
    mixed: Settings, selection: ServerSelection, expected: list[str], left_out: str
) -> None:
    assert [one.name for one in resolve_selection(mixed, selection, {})] == expected
    reported = report_left_out(mixed, selection, {})
    assert len(reported) == bool(left_out)
    for one in reported:
        assert one.rule == "untrusted-settings"
        assert one.message.startswith(f"left out {left_out}, which only ztrust-mail.toml names")


@pytest.mark.parametrize(
    "selection", [ServerSelection(("us-*",)), ServerSelection(("eu-1", "us-*")), ServerSelection(("us-*", "http://x"))]
)
def test_a_glob_that_only_servers_of_an_untrusted_file_match_is_refused(
    mixed: Settings, selection: ServerSelection
) -> None:
    with pytest.raises(ZtrustMailError, match="left out 1 server") as raised:
        resolve_selection(mixed, selection, {})
    assert "--config ztrust-mail.toml" in raised.value.hint


def test_a_server_of_the_url_in_the_environment_is_left_out_too_where_only_an_untrusted_file_names_it() -> None:
    settings = found("\n".join(ENTRIES[:2]))
    environ = {"ZTRUST_MAIL_URL": "https://eu-1.example.com", "ZTRUST_MAIL_TOKEN": "t"}
    with pytest.raises(ZtrustMailError, match=r"left out 2 servers \(eu-1 and eu-2\)"):
        resolve_selection(settings, ServerSelection(every=True), environ)


def test_nothing_is_left_out_of_trusted_settings(settings: Settings) -> None:
    assert report_left_out(settings, ServerSelection(every=True), {}) == ()
