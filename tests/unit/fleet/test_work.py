"""What requests ask for: written as JSON without a secret, and read by another program that trusts none of it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.queued import apply_to, entry, onboard, spec

from ztrust_mail.applying.options import Waves
from ztrust_mail.cli.commands.drift import Uncovered
from ztrust_mail.core.errors import SpecError, UsageError, ZtrustMailError
from ztrust_mail.drift_detection.drift import FailOn
from ztrust_mail.fleet import (
    ApplySavedPlan,
    ApplySpec,
    CheckDrift,
    OnboardRealms,
    RotateSecrets,
    TestSpec,
    TestStored,
    Work,
)
from ztrust_mail.fleet.content import FailOnWord, UncoveredWord
from ztrust_mail.fleet.work import (
    KINDS,
    MAX_CONTENT,
    MAX_WAIT_FOR_REALM,
    WithSpec,
    read_content,
    write_content,
)

WHOLE = cast("Any", spec("acme"))
WAVES = Waves("acme", 5, 2, per_credential=True)
WORKS: list[Work] = [
    ApplySpec(WHOLE, realms=["acme", "g*"], variables={"stage": "live"}, allow=["all"], waves=WAVES, secrets="write"),
    ApplySpec(WHOLE),
    CheckDrift(WHOLE, realms=["acme"]),
    TestSpec(WHOLE),
    TestStored(["acme"]),
    RotateSecrets(WHOLE, references=["env:SMTP_*"], waves=Waves("1")),
    RotateSecrets(WHOLE, relay="smtp.example.com", user="apikey"),
    CheckDrift(WHOLE, select=["default"], ignore=["all"], fail_on="critical", uncovered="fail"),
    TestSpec(WHOLE, probe=False),
    TestStored(probe=False, ehlo_name="id.example.com"),
    onboard("acme", test=True, wait_for_realm=60.5, allow=["mass-change"], defaults={"sender": {"name": "Acme"}}),
]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: str(work.kind))
def test_work_is_read_as_it_was_written(work: Work) -> None:
    text = write_content(work)
    read = read_content(work.kind, text, "0.1.0")
    assert type(read) is type(work)
    assert write_content(read) == text
    assert text.isascii()


def test_the_parts_of_work_survive() -> None:
    read = read_content("apply", write_content(WORKS[0]), "")
    assert isinstance(read, ApplySpec)
    assert (read.realms, read.variables, read.allow) == (("acme", "g*"), {"stage": "live"}, ("all",))
    assert (read.waves, read.secrets) == (WAVES, "write")
    assert [entry.name for entry in read.load().entries] == ["acme"]
    new = read_content("onboard", write_content(WORKS[-1]), "")
    assert isinstance(new, OnboardRealms)
    assert (new.test, new.wait_for_realm, new.allow) == (True, 60.5, ("mass-change",))
    assert new.load().entries[0].name == "acme"


OLD_REQUESTS = Path(__file__).parents[2] / "support" / "old_requests"


@pytest.mark.parametrize("file", sorted(OLD_REQUESTS.iterdir()), ids=lambda file: file.stem)
def test_the_requests_of_an_earlier_release_can_be_read(file: Path) -> None:
    works = [read_content(one["kind"], one["content"], file.stem) for one in json.loads(file.read_text("utf-8"))]
    assert {work.kind for work in works} == KINDS.keys() - {"apply-plan"}  # saved plans have a format of their own
    for work in works:
        if isinstance(work, WithSpec):
            assert [entry.name for entry in work.load().entries] == ["acme", "tenant-*"]
    [apply] = [work for work in works if isinstance(work, ApplySpec)]
    assert (apply.realms, apply.variables, apply.allow) == (("acme",), {"stage": "live"}, ("mass-change",))
    assert (apply.waves, apply.secrets) == (WAVES, "write")
    [new] = [work for work in works if isinstance(work, OnboardRealms)]
    assert (new.test, new.wait_for_realm, new.allow, new.defaults) == (
        True, 60.5, ("mass-change",), {"sender": {"name": "Acme"}},
    )  # fmt: skip
    assert [entry.name for entry in new.load().entries] == ["acme"]
    [rotate] = [work for work in works if isinstance(work, RotateSecrets)]
    assert (rotate.references, rotate.waves) == (("env:SMTP_*",), Waves("1"))


def test_every_kind_of_work_can_be_read_and_has_its_own_name() -> None:
    assert {work.kind for work in WORKS} | {"apply-plan"} == set(KINDS)
    assert all(KINDS[kind].kind == kind for kind in KINDS)


def test_onboarding_comes_before_everything_and_drift_after_it() -> None:
    order = sorted(KINDS, key=lambda kind: -KINDS[kind].priority)
    assert order[0] == "onboard"
    assert order[-1] == "drift"


# Specs


def test_the_files_of_a_spec_travel_with_the_request(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(json.dumps(spec("acme")), "utf-8")
    (tmp_path / "b.yaml").write_text(json.dumps({"version": 1, "realms": {"globex": entry()}}), "utf-8")
    text = write_content(CheckDrift(str(tmp_path)))
    for file in tmp_path.iterdir():
        file.unlink()
    read = read_content("drift", text, "")
    assert isinstance(read, WithSpec)
    assert [entry.name for entry in read.load().entries] == ["acme", "globex"]


@pytest.mark.parametrize("work", [ApplySpec, CheckDrift, TestSpec, RotateSecrets])
def test_an_invalid_spec_is_refused_with_its_problems(work: type[WithSpec]) -> None:
    wrong = cast("Any", {"version": 1, "realms": {"acme": {"sender": {"adress": "a@b.example"}}}})
    with pytest.raises(SpecError) as caught:
        write_content(work(wrong, **({"references": ["env:A"]} if work is RotateSecrets else {})))
    assert "adress" in str(caught.value.findings)


def test_a_plain_secret_is_refused_and_never_quoted() -> None:
    wanted: Any = entry()
    wanted["relay"]["auth"] = {"username": "u", "password": "geheim-Passw0rd"}
    for work in (ApplySpec({"version": 1, "realms": {"acme": wanted}}), OnboardRealms({"acme": wanted})):
        with pytest.raises(SpecError) as caught:
            write_content(work)
        assert "geheim" not in f"{caught.value} {caught.value.findings}"


def test_a_relative_secret_file_is_refused_as_the_worker_has_another_folder() -> None:
    wanted: Any = entry()
    wanted["relay"]["auth"] = {"username": "u", "password": {"file": "secret.txt"}}
    for work in (ApplySpec({"version": 1, "realms": {"acme": wanted}}), OnboardRealms({"acme": wanted})):
        with pytest.raises(UsageError, match=r"takes a secret from `secret.txt`") as caught:
            write_content(work)
        assert (caught.value.rule, "/run/secrets/NAME" in caught.value.hint) == ("request-file", True)
    wanted["relay"]["auth"]["password"] = {"file": "/run/secrets/smtp"}
    assert "/run/secrets/smtp" in write_content(OnboardRealms({"acme": wanted}))


def test_a_relative_secret_file_in_the_defaults_is_refused_too() -> None:
    wanted: Any = {"relay": {"host": "h.example", "auth": {"username": "u", "password": {"file": "secret.txt"}}}}
    with pytest.raises(UsageError, match="a relative path that workers cannot use"):
        write_content(onboard("acme", defaults=wanted))


def test_a_huge_request_is_refused_with_the_way_out() -> None:
    many = ["x" * 1000] * (MAX_CONTENT // 1000)
    with pytest.raises(UsageError, match=rf"characters; the limit is {MAX_CONTENT:,}") as caught:
        write_content(CheckDrift(WHOLE, realms=many))
    assert "split the spec" in caught.value.hint


def test_onboarding_takes_names_and_at_least_one() -> None:
    for name in ("tenant-*", "tenant-?"):
        with pytest.raises(UsageError, match="is a glob") as caught:
            write_content(onboard(name))
        assert "ApplySpec" in caught.value.hint
    with pytest.raises(UsageError, match="names no realm"):
        write_content(OnboardRealms({}))


@pytest.mark.parametrize("seconds", [-1.0, float("inf"), float("nan"), MAX_WAIT_FOR_REALM + 1.0])
def test_a_time_that_no_realm_can_be_waited_for_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="is out of range"):
        write_content(onboard("acme", wait_for_realm=seconds))


@pytest.mark.parametrize(
    "work",
    [
        TestStored("acme"),
        CheckDrift(WHOLE, realms="acme"),
        ApplySpec(WHOLE, allow="all"),
        onboard("acme", allow="all"),
        RotateSecrets(WHOLE, references="env:A"),
    ],
    ids=lambda work: str(work.kind),
)
def test_a_text_in_the_place_of_a_list_is_refused(work: Work) -> None:
    """Else its letters would be the items."""
    with pytest.raises(UsageError, match="must be a list, not the text") as caught:
        write_content(work)
    assert "=[" in caught.value.hint


def test_a_danger_that_nobody_knows_and_a_rotation_of_nothing_are_refused() -> None:
    for work in (ApplySpec(WHOLE, allow=["mass-chaos"]), onboard("acme", allow=["mass-chaos"])):
        with pytest.raises(UsageError, match="unknown reason `mass-chaos`"):
            write_content(work)
    with pytest.raises(UsageError, match="no reference to rotate"):
        write_content(RotateSecrets(WHOLE))


def test_a_text_that_is_no_plan_is_refused() -> None:
    for text in ("", "{}", "[]", "\ud800"):
        with pytest.raises(ZtrustMailError):
            write_content(ApplySavedPlan(text))


def test_placeholders_are_accepted_for_whatever_server_has_them() -> None:
    """The settings of the machine that submits say nothing of the server; the engine then asks the server's entry."""
    assert "{stage}" in write_content(apply_to("acme", address="{stage}@acme.example"))


# Content from a database that anybody may have written

KIND = st.sampled_from([*KINDS, "teleport", ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = sorted({name for work in WORKS for name in json.loads(write_content(work))} | {"plan", "size", "canary"})


def shaken(work: Work) -> st.SearchStrategy[dict[str, Any]]:
    """Give the content of work with some values replaced by any others, or left out."""
    content = json.loads(write_content(work))
    replaced = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3)
    dropped = st.sets(st.sampled_from(sorted(content)), max_size=2)
    return st.builds(
        lambda new, gone: {k: v for k, v in {**content, **new}.items() if k not in gone}, replaced, dropped
    )


def read_and_load(kind: str, text: str) -> None:
    """Read and load content, where nothing but the package's errors may come up."""
    with suppress(ZtrustMailError):
        work = read_content(kind, text, "99.1")
        if isinstance(work, WithSpec | OnboardRealms):
            work.load()
        write_content(work)


@given(KIND, JSON | st.dictionaries(st.sampled_from([*NAMES, "format"]), JSON | st.just(1)))
def test_any_json_is_read_or_refused(kind: str, content: object) -> None:
    read_and_load(kind, json.dumps(content))


@given(KIND, st.text(max_size=50))
def test_any_text_is_read_or_refused(kind: str, text: str) -> None:
    read_and_load(kind, text)


@given(st.one_of([shaken(work).map(lambda content, kind=work.kind: (kind, content)) for work in WORKS]))
def test_content_that_was_changed_anywhere_is_read_or_refused(changed: tuple[str, dict[str, Any]]) -> None:
    kind, content = changed
    read_and_load(kind, json.dumps(content))


@pytest.mark.parametrize("wait", ["1e999", "-1e999", "NaN", "-1", "1e300", "true", '"5"', "null"])
def test_a_stored_time_that_no_realm_can_be_waited_for_is_refused(wait: str) -> None:
    text = write_content(onboard("acme", wait_for_realm=77.0)).replace("77.0", wait)
    with pytest.raises(UsageError, match="cannot be read"):
        read_content("onboard", text, "")


def test_a_newer_format_is_no_damage() -> None:
    with pytest.raises(UsageError, match=r"ztrust-mail 99.1, which is newer than this worker") as caught:
        read_content("apply", '{"format":3}', "99.1")
    assert (caught.value.rule, "--retry" in caught.value.hint) == ("newer-request", True)


# Versions of the content

_SPEC_1 = '{"<dict>":{"realms":{"acme":{"relay":{"host":"h.example"},"sender":{"address":"a@b.example"}}},"version":1}}'
FIRST = {
    "drift": f'{{"format":1,"realms":["acme"],"spec":{_SPEC_1},"variables":{{}}}}',
    "test": f'{{"format":1,"realms":[],"spec":{_SPEC_1},"variables":{{}}}}',
    "test-stored": '{"format":1,"realms":["acme"]}',
    "rotate": '{"allow":[],"format":1,"realms":[],"references":["env:A"],'
    f'"spec":{_SPEC_1},"variables":{{}},"waves":null}}',
}
"""Requests as they were stored before their kinds had more fields."""


@pytest.mark.parametrize("kind", FIRST)
def test_content_of_the_first_version_is_read_and_still_written_where_it_is_enough(kind: str) -> None:
    assert write_content(read_content(kind, FIRST[kind], "0.3.0")) == FIRST[kind]


@pytest.mark.parametrize(
    ("work", "later"),
    [
        (CheckDrift(WHOLE, select=["default"]), {"select": ["default"]}),
        (CheckDrift(WHOLE, fail_on="critical"), {"fail_on": "critical"}),
        (CheckDrift(WHOLE, uncovered="fail"), {"uncovered": "fail"}),
        (RotateSecrets(WHOLE, relay="h.example"), {"relay": "h.example"}),
        (TestSpec(WHOLE, ehlo_name="id.example.com"), {"ehlo_name": "id.example.com"}),
        (TestStored(probe=False), {"probe": False}),
    ],
    ids=lambda value: "" if isinstance(value, Work) else "+".join(value),
)
def test_content_with_a_later_field_has_that_field_alone_and_is_newer_for_older_workers(
    work: Work, later: dict[str, object]
) -> None:
    """A worker that does not know the field would do something else than was asked for."""
    content = json.loads(write_content(work))
    first = json.loads(FIRST[work.kind])
    assert content.pop("format") == 2
    assert {name: content[name] for name in content.keys() - first.keys()} == later


@pytest.mark.parametrize("work", [*WORKS, onboard("acme")], ids=lambda work: str(work.kind))
def test_content_with_a_field_that_no_work_has_is_refused(work: Work) -> None:
    content = {**json.loads(write_content(work)), "teleport": True}
    with pytest.raises(UsageError, match="cannot be read"):
        read_content(work.kind, json.dumps(content), "")


def test_the_words_of_work_are_those_of_the_options() -> None:
    assert [*get_args(FailOnWord)] == [one.value for one in FailOn]
    assert [*get_args(UncoveredWord)] == [one.value for one in Uncovered]


@pytest.mark.parametrize(
    ("work", "problem"),
    [
        (CheckDrift(WHOLE, ignore=["tsl"]), "unknown lint rule or group `tsl` in ignore"),
        (CheckDrift(WHOLE, fail_on=cast("Any", "never")), "fail_on cannot be `never`"),
        (CheckDrift(WHOLE, uncovered=cast("Any", "")), "uncovered cannot be ``"),
        (RotateSecrets(WHOLE, references=["env:A"], relay="h.example"), "references and relay exclude each other"),
        (RotateSecrets(WHOLE, references=["env:A"], user="u"), "user needs relay"),
        (TestStored(ehlo_name="two words"), "`two words` cannot be a name in EHLO"),
        (TestSpec(WHOLE, ehlo_name="\n"), "cannot be a name in EHLO"),
    ],
    ids=lambda value: "" if isinstance(value, Work) else str(value),
)
def test_what_a_worker_would_not_understand_is_refused_when_it_is_submitted(work: Work, problem: str) -> None:
    with pytest.raises(UsageError, match=re.escape(problem)):
        write_content(work)


@pytest.mark.parametrize("later", ['"select":"x"', '"fail_on":"never"', '"fail_on":[]', '"uncovered":{}'])
def test_stored_words_that_nobody_submits_are_refused(later: str) -> None:
    text = write_content(CheckDrift(WHOLE)).replace('"format":1', f'"format":2,{later}')
    with pytest.raises(UsageError, match="cannot be read"):
        read_content("drift", text, "")
