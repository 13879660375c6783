"""The rules about a server, on what a server may say; the contract tests run them on real ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from ztrust_mail.core.findings import Location
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.linting.lint import find_on_server
from ztrust_mail.linting.rule import LiveRealmFacts, ServerView
from ztrust_mail.linting.selection import LintOptions, choose_rules
from ztrust_mail.settings.file import DayLimits, LintSettings
from ztrust_mail.specfile.entries import Entry
from ztrust_mail.specfile.resolve import Desired

TODAY = date(2026, 11, 29)
ENTRY = Entry("acme", Location("mail.yaml", 3, 3))
WANTED = Desired("acme", ENTRY, {"relay.host": "h.example", "sender.address": "a@acme.example"})
VIEW = ServerView(KEYCLOAK, {"acme": WANTED}, {"acme": LiveRealmFacts(has_mail=True)}, TODAY)


def rules(view: ServerView, settings: LintSettings | None = None) -> list[tuple[str, str | None]]:
    selection = choose_rules(LintOptions(today=TODAY), settings or LintSettings())
    return [(one.rule, one.realm) for one in find_on_server(view, selection)]


def test_a_server_that_says_nothing_is_no_finding() -> None:
    assert rules(VIEW) == []


@pytest.mark.parametrize(
    ("senders", "found"),
    [(None, []), (("default",), []), (("default", "ses"), [("email-sender-provider", None)]),
     ((), [("email-sender-provider", None)])],
)  # fmt: skip
def test_another_sender_of_mail_or_none_is_found(
    senders: tuple[str, ...] | None, found: list[tuple[str, str | None]]
) -> None:
    assert rules(replace(VIEW, senders=senders)) == found


def test_a_realm_without_an_entry_that_needs_mail_is_found_and_one_that_has_mail_is_not() -> None:
    realms = {
        "a": LiveRealmFacts(has_mail=False, needs_mail=("verifyEmail", "resetPasswordAllowed")),
        "b": LiveRealmFacts(has_mail=True, needs_mail=("verifyEmail",)),
        "acme": LiveRealmFacts(has_mail=False, needs_mail=("verifyEmail",)),
    }
    assert rules(replace(VIEW, realms=realms)) == [("needs-mail", "a")]


def test_workflows_and_switches_that_need_mail_are_one_finding() -> None:
    switches, workflows = ("verifyEmail",), ("hello", "bye")
    realms = {"a": LiveRealmFacts(has_mail=False, needs_mail=switches, workflows=workflows)}
    (found,) = find_on_server(replace(VIEW, realms=realms), choose_rules(LintOptions(today=TODAY)))
    reasons = "verifyEmail is on, and its workflows send mail: `hello` and `bye`"
    assert found.message == f"the realm has no e-mail settings, and {reasons}"


def test_both_switches_are_found_where_no_plan_corrects_them() -> None:
    both = LiveRealmFacts(has_mail=True, both_switches=True)
    assert rules(replace(VIEW, realms={"acme": both, "other": both})) == [("both-tls-switches", "other")]


def test_the_theme_that_the_spec_sets_counts_and_not_the_present_one() -> None:
    wanted = replace(WANTED, fields={**WANTED.fields, "templates.theme": "acme"})
    view = replace(VIEW, wanted={"acme": wanted}, themes=frozenset({"base", "acme"}))
    realms = {"acme": LiveRealmFacts(has_mail=True, theme="gone"), "other": LiveRealmFacts(has_mail=True, theme="gone")}
    assert rules(replace(view, realms=realms)) == [("unknown-email-theme", "other")]
    assert rules(replace(view, realms=realms, themes=None)) == []


@pytest.mark.parametrize(("version", "found"), [((26, 7, 4), 0), ((26, 4, 0), 1), ((), 0)])
def test_a_field_that_is_newer_than_the_server_is_found_where_its_version_is_known(
    version: tuple[int, ...], found: int
) -> None:
    wanted = replace(WANTED, fields={**WANTED.fields, "relay.timeouts.read": "5s", "relay.utf8": True})
    assert len(rules(replace(VIEW, wanted={"acme": wanted}, version=version))) == found


@pytest.mark.parametrize(("days", "limit", "found"), [(365, 365, 0), (366, 365, 1), (31, 30, 1)])
def test_a_secret_that_was_not_rotated_for_long_is_found(days: int, limit: int, found: int) -> None:
    since = datetime(2026, 11, 29, tzinfo=UTC) - timedelta(days=days)
    settings = LintSettings(limits=DayLimits(secret=limit))
    assert len(rules(replace(VIEW, secrets={"acme": since, "not in the spec": since}), settings)) == found
