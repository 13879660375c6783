"""Realm exports as a target: what is read, what is refused, and that a write changes nothing but ``smtpServer``."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cli import Cli, raising

import ztrust_mail
from ztrust_mail.core.errors import ConfigError, RealmError, RealmMissing, RealmUnreadable, ServerUnreachable
from ztrust_mail.core.files import PREFIX
from ztrust_mail.core.secret import Secret
from ztrust_mail.dialects.products.keycloak import KEYCLOAK, MASK
from ztrust_mail.gateways import connect
from ztrust_mail.gateways.exports import gateway as exports
from ztrust_mail.gateways.exports.document import scan, with_settings
from ztrust_mail.gateways.exports.gateway import RealmFilesGateway
from ztrust_mail.gateways.gateway import Gateway, LiveRealm
from ztrust_mail.settings import Server, Settings, choose_server, folder_of

CLEAR = "cl3ar-Passw0rd"
SECRET = "relay-Passw0rd"
SMTP = {"host": "old.example", "from": "a@old.example", "auth": "true", "user": "u", "password": CLEAR, "x-own": "kept"}
NEW = {"host": "new.example", "from": "a@new.example"}


def as_kc_writes(realm: Mapping[str, object]) -> str:
    """Return a realm as ``kc.sh export`` writes it, with spaces on both sides of a colon."""
    return json.dumps(realm, indent=2, separators=(",", " : "), ensure_ascii=False)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(PREFIX)]


def export(name: str, **more: object) -> dict[str, object]:
    return {"id": "1", "realm": name, "verifyEmail": True, "clients": [{"realm": "x", "a": [1, None]}], **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of exports: a realm with settings, one with none, one without the key, and people."""
    made = tmp_path / "exports"
    made.mkdir()
    (made / "acme-realm.json").write_text(as_kc_writes(export("acme", smtpServer=SMTP, last=1)))
    (made / "beta-realm.json").write_text(as_kc_writes(export("beta", smtpServer={})))
    (made / "gamma-realm.json").write_text(as_kc_writes(export("gamma")) + "\n")
    (made / "acme-users-0.json").write_text(as_kc_writes({"realm": "acme", "users": [{"username": "ann"}]}))
    return made


def open_at(path: Path) -> Gateway:
    return connect(Server(path.as_uri(), gateway="realm_files"))


def read(path: Path) -> Mapping[str, LiveRealm | RealmError]:
    return open_at(path).read((), everything=True).realms


def problem(path: Path, realm: str) -> RealmUnreadable:
    found = read(path)[realm]
    assert isinstance(found, RealmUnreadable)
    return found


def write(path: Path, realm: str, attributes: Mapping[str, str | Secret] = NEW) -> None:
    gateway = open_at(path)
    gateway.read_one(realm)
    gateway.write(realm, attributes)


# How files are named


def test_a_url_names_files_and_needs_no_gateway() -> None:
    server = choose_server(Settings(), "file:///no/../such%20folder/", environ={"ZTRUST_MAIL_PASSWORD": CLEAR})

    assert (server.url, server.gateway, server.password) == ("file:///such%20folder", "realm_files", None)
    assert folder_of(server.url) == "/such folder"


def test_a_link_to_the_folder_is_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)

    assert choose_server(Settings(), f"file://{tmp_path}/link", environ={}).url == folder.resolve().as_uri()


@pytest.mark.parametrize("url", ["file:exports", "file:/srv", "file://host/srv", "FILE:///srv", "file:///a%00b"])
def test_a_file_url_that_is_not_absolute_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        choose_server(Settings(), url, environ={})

    assert "is not an absolute file: URL" in refusal.value.message


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"url": "file:///srv", "gateway": "keycloak"},
            "file: URL, which the gateway `keycloak` does not support",
        ),
        ({"url": "file:///srv", "username": "admin"}, "`username` of server `main` has no effect on realm files"),
        ({"url": "https://id.example", "gateway": "realm_files"}, "is not an absolute file: URL"),
    ],
)
def test_an_entry_is_for_files_or_for_a_server(entry: Mapping[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        choose_server(Settings(servers={"main": entry}), "main", environ={})

    assert said in refusal.value.message


def test_a_missing_folder_or_file_of_exports_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ServerUnreachable, match=r"there is no file or folder .*/none"):
        open_at(tmp_path / "none").login()
    with pytest.raises(ServerUnreachable, match="contains no realm export"):
        open_at(tmp_path).login()


# Reading


def test_a_folder_shows_its_realms_with_secrets_masked(folder: Path) -> None:
    found = read(folder)

    assert list(found) == ["acme", "beta", "gamma"]
    acme = found["acme"]
    assert isinstance(acme, LiveRealm)
    assert acme.attributes == {**SMTP, "password": MASK}
    assert acme.needs_mail == ("verifyEmail",)
    assert [live.attributes for live in list(found.values())[1:] if isinstance(live, LiveRealm)] == [{}, {}]
    assert open_at(folder).realms() == ["acme", "beta", "gamma"]


def test_realms_are_read_together_except_where_that_is_not_known_to_be_quick(folder: Path) -> None:
    gateway = open_at(folder)
    assert (gateway.prefers_list(1), gateway.prefers_list(1, within=60.0)) == (True, False)
    gateway.read(["acme"], everything=False)
    assert (gateway.prefers_list(1, within=60.0), gateway.prefers_list(1, within=0.0)) == (True, False)


def test_one_file_may_hold_a_list_of_realms(tmp_path: Path) -> None:
    path = tmp_path / "all"
    path.write_text(json.dumps([export("one", smtpServer=SMTP), 7, export("two"), {"realm": ""}, []]))

    assert list(read(path)) == ["one", "two"]


def test_values_of_every_type_are_read_as_text_and_null_as_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"realm": "a", "smtpServer": {"port": 587, "ssl": true, "host": null, "x": {"y": [1]}, "z": ""}}')

    live = read(path)["a"]
    assert isinstance(live, LiveRealm)
    assert live.attributes == {"port": "587", "ssl": "true", "x": '{"y": [1]}', "z": ""}


def test_null_settings_are_read_as_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"realm":"a","smtpServer":null}')
    write(path, "a")

    assert path.read_text() == '{"realm":"a","smtpServer":{"host":"new.example","from":"a@new.example"}}'


def test_a_realm_that_is_not_there_is_missing(folder: Path) -> None:
    with pytest.raises(RealmMissing, match="there is no realm `delta` in /"):
        open_at(folder).read_one("delta")


def test_json_files_without_a_realm_are_ignored(folder: Path) -> None:
    others = {
        "package.json": {"name": "x"},
        "list.json": [1, {"a": 1}],
        "text.json": "text",
        "people.json": {"realm": "acme", "federatedUsers": []},
        "keycloak.json": {"realm": "acme", "auth-server-url": "https://id.example", "resource": "app"},
        ".hidden.json": export("hidden"),
    }
    for name, content in others.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "notes.txt").write_text("{")
    gateway = open_at(folder)
    assert isinstance(gateway, RealmFilesGateway)

    stock = gateway.read_files()

    assert list(stock.realms) == ["acme", "beta", "gamma"]
    passed = ["acme-users-0", "keycloak", "list", "package", "people", "text"]
    assert [Path(path).stem for path in stock.passed_over] == passed


@pytest.mark.parametrize("cut", range(2, 60, 3))
def test_a_cut_off_realm_is_unreadable_and_the_others_are_not(folder: Path, cut: int) -> None:
    path = folder / "acme-realm.json"
    path.write_text(path.read_text()[:cut])

    found = read(folder)

    why = found["acme"]
    assert isinstance(why, RealmUnreadable)
    assert "acme-realm.json:" in why.message
    assert "invalid or ends here" in why.message
    assert isinstance(found["beta"], LiveRealm)


def test_the_line_where_the_json_breaks_is_named(folder: Path) -> None:
    path = folder / "acme-realm.json"
    path.write_text('{\n  "realm": "acme",\n  "smtpServer": {"password": "' + CLEAR + '" oops}\n}')

    assert "acme-realm.json:3:47: the JSON is invalid" in problem(folder, "acme").message
    assert CLEAR not in problem(folder, "acme").message


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"realm"', '{"realm" 1}', "{1: 2}", '{"realm": "acme",}', '{"realm": "acme"} x', '{"realm": NaN}',
     '[{"realm": "acme"},]', '[{"realm": "acme"} 1]', '{"a": ' + "[" * 100_000, '{"realm": "ac\tme"}'],
)  # fmt: skip
def test_a_file_that_is_not_json_is_unreadable_under_its_own_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "acme-realm.json").write_text(text)

    assert problem(tmp_path, "acme").rule == "json-syntax"


def test_a_broken_list_makes_all_its_realms_unreadable(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text('[{"realm": "a"}, {"realm": "b"}, {"realm": "c", "smtpServer": ')

    assert [type(why) for why in read(tmp_path).values()] == [RealmUnreadable] * 3
    assert list(read(tmp_path)) == ["a", "b", "c"]


def test_a_broken_file_of_users_is_ignored(folder: Path) -> None:
    (folder / "acme-users-0.json").write_text('{"realm": "acme", "users": [{"na')
    (folder / "acme-federated-users-1.json").write_text("{")

    assert list(read(folder)) == ["acme", "beta", "gamma"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"realm": "acme", "smtpServer": {}, "smtpServer": {}}', "`smtpServer` is defined twice in this realm"),
        ('{"realm": "other", "realm": "acme"}', "`realm` is defined twice in this realm"),
        (
            '{"realm": "acme", "smtpServer": {"host": "a", "x": "", "host": "b"}}',
            "`host` is defined twice in `smtpServer`",
        ),
        ('{"realm": "acme", "smtpServer": [{"host": "a"}]}', "`smtpServer` is not a mapping"),
        ('{"realm": "acme", "smtpServer": true}', "`smtpServer` is not a mapping"),
        ('{"realm": "acme", "smtpServer": 7}', "`smtpServer` is not a mapping"),
    ],
)
def test_ambiguous_settings_are_unreadable(folder: Path, text: str, said: str) -> None:
    (folder / "acme-realm.json").write_text(text)

    assert said in problem(folder, "acme").message
    assert isinstance(read(folder)["beta"], LiveRealm)


def test_a_realm_in_two_files_is_unreadable_and_both_are_named(folder: Path) -> None:
    (folder / "copy.json").write_text(json.dumps(export("acme")))
    (folder / "third.json").write_text(json.dumps(export("acme")))

    assert "copy.json and in /" in problem(folder, "acme").message
    assert "acme-realm.json" in problem(folder, "acme").message


def test_a_realm_twice_in_one_file_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "all.json").write_text(json.dumps([export("acme"), export("acme")]))

    assert problem(tmp_path, "acme").message.endswith("all.json twice")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_an_export_that_is_not_utf_8_is_reported(folder: Path, encoding: str) -> None:
    (folder / "acme-realm.json").write_bytes(
        json.dumps(export("acme", displayName="Bär"), ensure_ascii=False).encode(encoding)
    )

    assert "acme-realm.json is not UTF-8 text" in problem(folder, "acme").message


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text(json.dumps(export("outside", smtpServer=SMTP)))
    (tmp_path / "more").mkdir()
    (folder / "delta-realm.json").symlink_to(tmp_path / "outside.json")
    (folder / "tenants").symlink_to(tmp_path / "more")
    (folder / "notes.txt").symlink_to(tmp_path / "outside.json")

    assert "leads out of the folder" in problem(folder, "delta").message
    assert "leads out of the folder" in problem(folder, "tenants").message
    assert "outside" not in read(folder)


def test_links_within_the_folder_are_read_once(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "delta.json").write_text(json.dumps(export("delta")))
    (folder / "again.json").symlink_to(folder / "acme-realm.json")
    (folder / "round").symlink_to(folder)

    assert all(isinstance(live, LiveRealm) for live in read(folder).values())
    assert list(read(folder)) == ["acme", "beta", "delta", "gamma"]


def test_a_file_that_is_not_regular_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")

    assert problem(folder, "pipe").message.endswith("pipe.json cannot be read: it is not a regular file")


def test_a_folder_that_cannot_be_opened_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "closed").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if os.path.basename(path) in closed:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    closed = ["closed"]
    assert "closed cannot be opened: Permission denied" in problem(folder, "closed").message
    closed = ["exports"]
    with pytest.raises(ServerUnreachable, match="exports cannot be opened: Permission denied"):
        open_at(folder).login()


def test_only_the_beginning_of_a_huge_file_is_read(folder: Path) -> None:
    for name, start in {
        "acme-realm.json": '{"id": "1", "realm": "acme", "clients": [',
        "acme-users-0.json": '{"realm": "acme", "users": [',
    }.items():
        with (folder / name).open("w") as file:
            file.write(start)
            file.truncate(200_000_000)
    tracemalloc.start()

    why = problem(folder, "acme")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert why.message.endswith("acme-realm.json is larger than 64 MB, the limit")
    assert "--users different_files" in why.hint
    assert peak < 5_000_000
    assert list(read(folder)) == ["acme", "beta", "gamma"]


def test_a_file_that_grows_while_it_is_read_is_unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def grow_and_open(path: str, flags: int) -> int:
        with open(path, "a", encoding="utf-8") as file:
            file.write(" ")
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", grow_and_open)
    assert problem(folder, "acme").message.endswith("acme-realm.json cannot be read: another process is writing it")


def test_too_many_files_are_refused(folder: Path) -> None:
    for number in range(exports.MAX_FILES):
        (folder / f"{number}.json").touch()

    with pytest.raises(ServerUnreachable, match="has more than 10,000 files"):
        open_at(folder).login()


# Writing

BOM = "\ufeff"
BEFORE_AND_AFTER = {
    "as kc.sh writes it": (
        '{\n  "realm" : "a",\n  "smtpServer" : {\n    "port" : 25,\n    "host" : "h"\n  },\n  "x" : [ ]\n}',
        '{\n  "realm" : "a",\n  "smtpServer" : {\n    "port" : 25,\n    "host" : "n",\n    "from" : "f"'
        '\n  },\n  "x" : [ ]\n}',
    ),
    "empty": (
        '{\n  "realm" : "a",\n  "smtpServer" : { },\n  "x" : [ ]\n}',
        '{\n  "realm" : "a",\n  "smtpServer" : {\n    "host" : "n",\n    "port" : "25",\n    "from" : "f"'
        '\n  },\n  "x" : [ ]\n}',
    ),
    "absent, with CRLF, tabs and a BOM": (
        BOM + '{\r\n\t"realm": "a",\r\n\t"x": 1.50\r\n}\r\n',
        BOM + '{\r\n\t"realm": "a",\r\n\t"x": 1.50,\r\n\t"smtpServer": {\r\n\t\t"host": "n",\r\n\t\t"port": "25",'
        '\r\n\t\t"from": "f"\r\n\t}\r\n}\r\n',
    ),
    "absent, in a list that is indented": (
        '[\n  {\n    "realm": "a"\n  }\n]\n',
        '[\n  {\n    "realm": "a",\n    "smtpServer": {\n      "host": "n",\n      "port": "25",\n      "from": "f"\n'
        "    }\n  }\n]\n",
    ),
    "on one line": (
        '{"realm":"a","smtpServer":{"host":"h"}}',
        '{"realm":"a","smtpServer":{"host":"n","port":"25","from":"f"}}',
    ),
    "on one line with spaces, absent": (
        '{ "realm": "a" }',
        '{ "realm": "a", "smtpServer": { "host": "n", "port": "25", "from": "f" } }',
    ),
    "one attribute in lines of its own": (
        '{"realm":\n"a", "smtpServer": {\n  "host": "h"\n}}',
        '{"realm":\n"a", "smtpServer": {\n  "host": "n",\n  "port": "25",\n  "from": "f"\n}}',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BEFORE_AND_AFTER)
def test_settings_are_written_in_the_style_of_the_file(tmp_path: Path, case: str) -> None:
    before, after = BEFORE_AND_AFTER[case]
    path = tmp_path / "a.json"
    path.write_bytes(before.encode())

    write(path, "a", {"host": "n", "port": "25", "from": "f"})

    assert path.read_bytes().decode() == after


def test_a_realm_whose_settings_are_removed_has_an_empty_mapping(folder: Path) -> None:
    write(folder, "acme", {})

    assert json.loads((folder / "acme-realm.json").read_text())["smtpServer"] == {}


space = st.text(" \t\n\r", max_size=3)
texts = st.text(max_size=8)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
)


@st.composite
def formatted(draw: st.DrawFn, value: object) -> str:
    """Return a value as JSON with any white space and any way to write a character."""

    def gap() -> str:
        return draw(space)

    def text(value: str) -> str:
        return json.dumps(value, ensure_ascii=draw(st.booleans()) or not value.isprintable())

    def of(value: object) -> str:
        if isinstance(value, dict):
            inside = ",".join(f"{gap()}{text(k)}{gap()}:{gap()}{of(v)}{gap()}" for k, v in value.items())
            return f"{{{inside or gap()}}}"
        if isinstance(value, list):
            return f"[{','.join(f'{gap()}{of(item)}{gap()}' for item in value) or gap()}]"
        return text(value) if isinstance(value, str) else json.dumps(value)

    return of(value)


attributes = st.dictionaries(texts, texts, max_size=4)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, str]:
    """Return a text with realms, and the name of one of them."""
    realms = []
    for name in ("a", "bär"):
        content = draw(st.dictionaries(texts.filter(lambda t: t not in ("realm", "smtpServer")), junk, max_size=3))
        content["realm"] = name
        if draw(st.booleans()):
            content["smtpServer"] = draw(attributes | st.just(None))
        realms.append({key: content[key] for key in draw(st.permutations(list(content)))})
    text = draw(space) + draw(formatted(realms)) + draw(space)
    return draw(st.sampled_from(["", BOM])) + text, draw(st.sampled_from(["a", "bär"]))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(files(), attributes)
def test_a_write_changes_only_the_settings_in_a_file_of_any_formatting(
    made: tuple[str, str], wanted: dict[str, str]
) -> None:
    text, name = made
    realm = next(realm for realm in scan(text).realms if realm.realm == name)

    new = with_settings(text, realm, wanted, MASK)

    def without(text: str) -> tuple[str, str]:
        (found,) = [one for one in scan(text).realms if one.realm == name]
        assert found.mail
        return text[: found.mail.start], text[found.mail.end :]

    (found,) = [one for one in scan(new).realms if one.realm == name]
    assert found.attributes == wanted
    if realm.mail:
        assert without(new) == without(text)
    else:
        before, after = without(new)
        assert before.startswith(text[: realm.last.end])
        assert after == text[realm.last.end :]
    then, now = json.loads(text.removeprefix(BOM)), json.loads(new.removeprefix(BOM))
    for one in then:
        if one["realm"] == name:
            one["smtpServer"] = wanted
    assert now == then


def test_writing_a_secret_changes_no_other_byte_of_the_file(folder: Path) -> None:
    path = folder / "acme-realm.json"
    before = path.read_bytes()
    others = {name: (folder / name).read_bytes() for name in os.listdir(folder) if name != path.name}

    write(folder, "acme", {**SMTP, "password": Secret(SECRET)})

    assert path.read_bytes() == before.replace(CLEAR.encode(), SECRET.encode())
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder) if name != path.name} == others


def test_writing_the_mask_preserves_the_stored_secret(folder: Path) -> None:
    before = (folder / "acme-realm.json").read_bytes()

    write(folder, "acme", {**SMTP, "password": Secret(MASK)})

    assert (folder / "acme-realm.json").read_bytes() == before


def test_a_vault_reference_is_shown_and_written_as_it_is(folder: Path) -> None:
    write(folder, "beta", {"password": "${vault.mail}"})

    live = open_at(folder).read_one("beta")
    assert live.attributes == {"password": "${vault.mail}"}


def test_a_secret_that_an_import_would_fill_in_is_refused(folder: Path) -> None:
    with pytest.raises(RealmError, match="`password` contains `\\$\\{`, which an import reads") as refusal:
        write(folder, "beta", {"password": Secret("a${HOME}b")})

    assert "HOME" not in refusal.value.message
    assert open_at(folder).read_one("beta").attributes == {}


def test_lone_surrogates_and_invisible_characters_are_escaped(folder: Path) -> None:
    write(folder, "beta", {"fromDisplayName": "Bär \u200b\n", "password": Secret("x\udce4")})

    text = (folder / "beta-realm.json").read_text()
    assert r'"Bär \u200b\n"'.replace("Bär", r"B\u00e4r") in text
    assert r'"x\udce4"' in text


def test_writing_an_export_preserves_mode_and_owner(folder: Path) -> None:
    path = folder / "acme-realm.json"
    os.chown(path, os.getuid(), os.getgid())
    path.chmod(0o640)
    if os.getuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()

    write(folder, "acme")

    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (before.st_uid, before.st_gid, 0o640)
    assert after.st_ino != before.st_ino
    assert after.st_mtime_ns > before.st_mtime_ns


@pytest.mark.parametrize("which", ["file", "folder"])
def test_read_only_files_are_left_alone(folder: Path, which: str) -> None:
    path = folder / "acme-realm.json"
    (path if which == "file" else folder).chmod(0o444 if which == "file" else 0o555)
    before = path.read_bytes()
    gateway = open_at(folder)
    gateway.login()

    with pytest.raises(RealmError, match=r"acme-realm\.json cannot be replaced: it, or its folder, is read-only") as e:
        gateway.write("acme", NEW)

    folder.chmod(0o755)
    assert path.read_bytes() == before
    assert "check the owner and permissions" in e.value.hint


def test_write_access_is_checked_without_writing(folder: Path) -> None:
    (folder / "beta-realm.json").chmod(0o400)
    gateway = open_at(folder)
    gateway.login()

    assert [gateway.may_write(realm) for realm in ("acme", "beta", "none")] == [True, False, False]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text(path.read_text().replace("old.example", "other.example")),
        lambda path: path.write_text(path.read_text().replace('"acme"', '"other"')),
        lambda path: path.write_text(json.dumps([export("acme"), export("acme")])),
    ],
)
def test_a_file_that_changed_after_it_was_read_is_left_alone(folder: Path, spoil: Callable[[Path], object]) -> None:
    gateway = open_at(folder)
    gateway.login()
    spoil(folder / "acme-realm.json")
    before = (folder / "acme-realm.json").read_bytes()

    with pytest.raises(RealmError, match="changed since it was read"):
        gateway.write("acme", NEW)

    assert (folder / "acme-realm.json").read_bytes() == before


def test_a_concurrent_change_of_another_realm_in_the_file_is_preserved(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps([export("one"), export("two", displayName="old")]))
    gateway = open_at(path)
    gateway.login()
    path.write_text(path.read_text().replace("old", "a much longer new name"))

    gateway.write("one", NEW)

    one, two = json.loads(path.read_text())
    assert (one["smtpServer"], two["displayName"]) == (NEW, "a much longer new name")


def test_a_change_during_the_write_is_not_overwritten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "acme-realm.json"
    fsync = os.fsync

    def meanwhile(handle: int) -> None:
        fsync(handle)
        path.write_text("{}")

    gateway = open_at(folder)
    gateway.login()
    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(RealmError, match="changed since it was read"):
        gateway.write("acme", NEW)

    assert path.read_text() == "{}"
    assert leftovers(folder) == []


def test_a_file_that_is_broken_or_removed_meanwhile_is_reported(folder: Path) -> None:
    gateway = open_at(folder)
    gateway.login()
    (folder / "acme-realm.json").write_text("{")
    (folder / "beta-realm.json").unlink()

    with pytest.raises(RealmError, match="the JSON is invalid"):
        gateway.write("acme", NEW)
    with pytest.raises(RealmError, match=r"beta-realm\.json cannot be read: No such file"):
        gateway.write("beta", NEW)


def test_a_full_disk_leaves_the_export_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / "acme-realm.json").read_bytes()
    monkeypatch.setattr(os, "fsync", raising(OSError(28, "No space left on device")))

    with pytest.raises(RealmError, match="cannot be replaced: No space left on device"):
        write(folder, "acme")

    assert (folder / "acme-realm.json").read_bytes() == before
    assert sorted(os.listdir(folder)) == sorted(
        ["acme-realm.json", "acme-users-0.json", "beta-realm.json", "gamma-realm.json"]
    )


def test_the_last_of_two_writes_is_read_back(folder: Path) -> None:
    gateway = open_at(folder)

    gateway.write("beta", NEW)
    gateway.write("beta", {**NEW, "port": "25"})

    assert gateway.read_one("beta").attributes == {**NEW, "port": "25"}


# A run that was killed


def test_the_temporary_file_of_a_killed_run_is_private_and_removed_by_the_next_run(folder: Path) -> None:
    (folder / "below").mkdir()
    path = (folder / "acme-realm.json").rename(folder / "below" / "acme-realm.json")
    path.chmod(0o644)
    before = path.read_bytes()
    program = f"""
import os, pathlib, signal, sys
from ztrust_mail.settings import Server
from ztrust_mail.gateways import connect
from ztrust_mail.core.secret import Secret
gateway = connect(Server(sys.argv[1], gateway="realm_files"))
gateway.login()
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
gateway.write("acme", {{"host": "new.example", "password": Secret({SECRET!r})}})
"""
    killed = subprocess.run([sys.executable, "-c", program, folder.as_uri()], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    [left] = leftovers(path.parent)
    assert SECRET in left.read_text()
    assert stat.S_IMODE(left.stat().st_mode) == 0o600

    assert list(read(folder)) == ["acme", "beta", "gamma"]
    assert leftovers(path.parent) == [left]
    write(folder, "beta")
    assert leftovers(path.parent) == []
    assert path.read_bytes() == before


# What files cannot do


def test_files_send_no_test_mail(folder: Path) -> None:
    gateway = open_at(folder)

    assert not gateway.capabilities.test
    with pytest.raises(RealmError, match="realm files cannot send a test mail") as refusal:
        gateway.test("acme", NEW)
    assert "run test against that server" in refusal.value.hint


def test_the_account_of_a_files_gateway_is_the_user_of_the_machine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "mo")
    assert str(open_at(folder).account()) == "mo"
    monkeypatch.setattr("getpass.getuser", raising(OSError("nobody")))
    assert str(open_at(folder).account()) == "unknown"
    assert open_at(folder).version() == ()


# The whole way through the command line

SPEC = """
version: 1
defaults:
  relay: {host: smtp.example.com, auth: {username: apikey, password: {env: SMTP_PASSWORD}}}
  sender: {address: "no-reply@{realm.slug}.example.com"}
realms:
  "*": {}
"""


@pytest.fixture
def at(cli: Cli, folder: Path) -> tuple[str, ...]:
    """The option that names the folder; the spec is there, and its secret."""
    cli.write("mail.yaml", SPEC)
    cli.monkeypatch.setenv("SMTP_PASSWORD", SECRET)
    return ("--server", folder.as_uri())


def test_plan_apply_drift_and_history_work_offline(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    assert cli("plan", "mail.yaml", *at).status == 1
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before

    assert "Done: 3 realms applied (run 1)." in cli("apply", "mail.yaml", *at, "--yes").out
    acme = json.loads((folder / "acme-realm.json").read_text())
    assert acme["smtpServer"] == {
        "host": "smtp.example.com", "from": "no-reply@acme.example.com", "auth": "true", "user": "apikey",
        "password": SECRET, "x-own": "kept", "port": "587", "starttls": "true", "ssl": "false", "authType": "basic",
    }  # fmt: skip
    assert {**acme, "smtpServer": SMTP} == json.loads(before["acme-realm.json"])
    assert "3 realms in sync; 3 passwords unchanged since the last apply" in cli("plan", "mail.yaml", *at).out
    assert "No drift" in cli("drift", "mail.yaml", *at).out
    assert cli.json("plan", "mail.yaml", *at)["server"] == folder.as_uri()
    assert "3 verified" in cli("history", *at).out

    path = folder / "beta-realm.json"
    path.write_text(path.read_text().replace("smtp.example.com", "smtp.attacker.example"))
    drifted = cli("drift", "mail.yaml", *at)
    assert drifted.status == 1
    assert "  changed outside ztrust-mail\n" in drifted.out
    assert "  last applied by run 1 of " in drifted.out
    assert not [text for text in cli.seen if CLEAR in text or SECRET in text]


def test_revert_restores_the_settings_of_the_file(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    before = json.loads((folder / "gamma-realm.json").read_text())
    cli("apply", "mail.yaml", *at, "--yes")

    reverted = cli("revert", "--realm", "gamma", *at, "--yes", "--allow", "all")

    assert "1 realm applied" in reverted.out
    assert json.loads((folder / "gamma-realm.json").read_text()) == {**before, "smtpServer": {}}


def test_pull_gives_a_spec_that_is_in_sync(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    cli("apply", "mail.yaml", *at, "--yes")
    pulled = cli("pull", *at, "--factor", "--out", "pulled.yaml")

    assert pulled.status == 0
    assert SECRET not in Path("pulled.yaml").read_text()
    assert "3 realms in sync" in cli("plan", "pulled.yaml", *at, "--no-secrets").out


@pytest.mark.parametrize("mode", ["auto", "write", "keep"])
def test_secret_modes_do_to_a_file_what_they_do_to_a_server(
    cli: Cli, folder: Path, at: tuple[str, ...], mode: str
) -> None:
    smtp = {**SMTP, "auth": "true", "user": "apikey", "replyTo": "old@old.example"}
    (folder / "acme-realm.json").write_text(as_kc_writes(export("acme", smtpServer=smtp)))
    login = "auth: {username: apikey, password: {env: SMTP_PASSWORD}}"
    relay = f"relay: {{host: old.example, port: 25, security: none, {login}}}"
    cli.write("mail.yaml", f"version: 1\nrealms: {{acme: {{sender: {{address: a@old.example}}, {relay}}}}}\n")

    assert cli("apply", "mail.yaml", *at, "--yes", "--secrets", mode).status == 0

    written = json.loads((folder / "acme-realm.json").read_text())["smtpServer"]
    assert "replyTo" not in written
    assert written["password"] == (CLEAR if mode == "keep" else SECRET)


def test_a_change_of_only_a_secret_is_written_only_on_request(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    cli("apply", "mail.yaml", *at, "--yes")
    path = folder / "acme-realm.json"
    path.write_text(path.read_text().replace(SECRET, "somebody-s"))

    assert cli("plan", "mail.yaml", *at).status == 0
    assert cli("apply", "mail.yaml", *at, "--yes", "--secrets", "write").status == 0
    assert SECRET in path.read_text()


def test_one_read_only_file_does_not_stop_the_others(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    (folder / "beta-realm.json").chmod(0o444)

    ran = cli("apply", "mail.yaml", *at, "--yes")

    assert ran.status == 4
    assert "Done: 2 realms applied, 1 failed" in ran.out
    assert "beta-realm.json cannot be replaced: it, or its folder, is read-only" in ran.out


def test_doctor_names_the_folder_it_checked(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    fine = cli("doctor", *at)
    (folder / "beta-realm.json").chmod(0o444)
    (folder / "gamma-realm.json").write_text("{")
    bad = cli("doctor", *at)

    assert fine.status == 0
    assert f"3 realms in {folder}" in fine.out
    assert "1 file without a realm, such as" in fine.out
    assert "import the files, then run `ztrust-mail test` there" in fine.out
    assert bad.status == 4
    assert "in 2 of 3 realms\n      not in `gamma`: " in bad.out
    assert "the JSON is invalid or ends here" in bad.out
    assert "in 1 of 2 realms\n      not in `beta`: the file or its folder is read-only" in bad.out
    assert cli("doctor", "--realm", "x*", *at).status == 4
    assert cli("doctor", "--server", "file:///no/such/folder").status == 3
    assert (
        "does not support `doctor --setup-commands`; the nearest alternative: create the account, if one is needed"
        in cli("doctor", "--setup-commands", *at).err
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "mail.yaml", "--report", "json={}/new.json"),
        ("apply", "mail.yaml", "--yes", "--report", "text={}/below/../new.json"),
        ("plan", "mail.yaml", "--out", "{}/new.json"),
        ("doctor", "--report", "json=fine.json", "--report", "json={}/new.json"),
    ],
)
def test_neither_a_report_nor_a_plan_is_written_among_the_exports(
    cli: Cli, folder: Path, at: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    (folder / "below").mkdir()
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder) if name != "below"}
    ran = cli(*(argument.format(folder) for argument in arguments), *at)
    assert (ran.status, ran.out) == (2, "")
    assert f"it would be one of the realm exports in `{folder}`; name a file in another folder" in ran.err
    assert {name: (folder / name).read_bytes() for name in os.listdir(folder) if name != "below"} == before
    assert not Path("fine.json").exists()


def test_a_report_is_not_written_over_an_export(cli: Cli, folder: Path, at: tuple[str, ...]) -> None:
    path = folder / "acme-realm.json"
    before = path.read_bytes()
    for report in (f"json={path}", f"text={path}"):
        ran = cli("plan", "mail.yaml", "--report", report, *at)
        assert ran.status == 2
        assert "it holds something other than a report; name another file" in ran.err
    assert path.read_bytes() == before


def test_the_library_takes_a_file_url(folder: Path) -> None:
    spec = ztrust_mail.load_spec(
        {"version": 1, "realms": {"beta": {"sender": {"address": "a@b.example"}, "relay": {"host": "h.example"}}}}
    )
    with ztrust_mail.connect((folder / "beta-realm.json").as_uri(), spec=spec, environ={}) as connection:
        plan = ztrust_mail.plan(spec, connection)
        result = ztrust_mail.apply(plan, connection, spec=spec)

    assert [realm.status.value for realm in result.realms] == ["applied"]
    assert KEYCLOAK.decode(open_at(folder).read_one("beta").attributes)["relay.host"] == "h.example"
