"""Where secrets come from, what a spec cannot reach, and what is no secret."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import keyring
import keyring.errors
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring

from ztrust_mail import settings as config
from ztrust_mail.core.errors import ExitStatus, SecretError
from ztrust_mail.core.secret import Secret, SecretKind, SecretRef
from ztrust_mail.linting.lint import load_spec
from ztrust_mail.secrets import sources
from ztrust_mail.secrets.sources import Reach
from ztrust_mail.secrets.store import FETCHERS, MAX_LENGTH, resolve, resolve_all
from ztrust_mail.settings import Permissions
from ztrust_mail.specfile.resolve import match, resolve_entry

HIDDEN = "S3cr3t-w0rd"


def env(name: str) -> SecretRef:
    return SecretRef(SecretKind.ENV, (name,))


def ran(*argv: str) -> SecretRef:
    return SecretRef(SecretKind.COMMAND, argv)


def python(code: str) -> SecretRef:
    return ran(sys.executable, "-c", code)


def stored(service: str, name: str) -> SecretRef:
    return SecretRef(SecretKind.KEYRING, (service, name))


def refused(ref: SecretRef, reach: Reach) -> SecretError:
    """Return why a reference has no value, which has to be told without the value."""
    with pytest.raises(SecretError) as refusal:
        resolve(ref, reach)
    error = refusal.value
    assert error.hint
    assert error.exit_status is ExitStatus.PARTIAL
    told = "".join(traceback.TracebackException.from_exception(error).format())
    assert HIDDEN not in told + error.message + error.hint
    return error


# Environment variables


def test_a_variable_gives_its_value() -> None:
    assert resolve(env("SMTP"), Reach(environ={"SMTP": HIDDEN})) == Secret(HIDDEN)


def test_a_variable_is_looked_up_in_the_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_OF_THIS_TEST", HIDDEN)
    assert resolve(env("SMTP_OF_THIS_TEST"), Reach()) == Secret(HIDDEN)


def test_an_unset_variable_is_reported_by_its_name() -> None:
    error = refused(env("SMTP"), Reach(environ={}))
    assert (error.message, error.rule) == ("the environment variable `SMTP` is not set", "secret-missing")
    assert error.hint == "export SMTP"


@pytest.mark.parametrize(
    "name",
    [
        "ZTRUST_MAIL_PASSWORD",
        "ZTRUST_MAIL_TOKEN",
        "ZTRUST_MAIL_",
        "ztrust_mail_password",
        "ZTrust_Mail_Password",
        "ztruſt_mail_password",
    ],
)
@pytest.mark.parametrize("is_set", [True, False])
def test_this_tools_own_variables_are_out_of_reach(name: str, is_set: bool) -> None:
    error = refused(env(name), Reach(environ={name: HIDDEN} if is_set else {}))
    assert error.rule == "secret-out-of-reach"


@pytest.mark.parametrize("realm", ["ztrust_mail", "ztrust-mail", "ZTRUST MAIL"])
def test_a_placeholder_does_not_reach_this_tools_own_variables_either(realm: str) -> None:
    given = {
        "version": 1,
        "defaults": {
            "sender": {"address": "a@b.example"},
            "relay": {"host": "h.example", "auth": {"username": "u", "password": {"env": "{realm}_PASSWORD"}}},
        },
        "realms": {realm: {}},
    }
    spec = load_spec(given, {})
    wanted = resolve_entry(spec, match(spec, [realm]).entries[realm], realm)
    ref = next(value for value in wanted.fields.values() if isinstance(value, SecretRef))
    assert ref == env("ZTRUST_MAIL_PASSWORD")
    assert refused(ref, Reach(environ={"ZTRUST_MAIL_PASSWORD": HIDDEN})).rule == "secret-out-of-reach"


def test_a_variable_that_only_ends_like_ours_is_allowed() -> None:
    assert resolve(env("X_ZTRUST_MAIL_P"), Reach(environ={"X_ZTRUST_MAIL_P": HIDDEN})) == Secret(HIDDEN)


# Files


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The spec's folder, with a secret beside it in a folder of its own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "key").write_text(HIDDEN, encoding="utf-8")
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "key").write_text(HIDDEN + "\n", encoding="utf-8")
    return folder


def at(base: Path, path: str | Path) -> SecretRef:
    return SecretRef(SecretKind.FILE, (str(path),), str(base))


def reach(**more: object) -> Reach:
    return Reach(**{"environ": {}, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["key", "./key", "sub/../key", "../specs/key", "{base}/key"])
def test_a_file_in_the_specs_folder_gives_its_text(base: Path, path: str) -> None:
    (base / "sub").mkdir()
    assert resolve(at(base, path.format(base=base)), reach()) == Secret(HIDDEN)


def test_a_file_in_a_subfolder_and_a_link_within_the_folder_are_allowed(base: Path) -> None:
    (base / "sub").mkdir()
    (base / "sub" / "key").write_text(HIDDEN, encoding="utf-8")
    (base / "link").symlink_to(base / "sub" / "key")
    assert resolve(at(base, "sub/key"), reach()) == resolve(at(base, "link"), reach()) == Secret(HIDDEN)


def test_a_specs_folder_that_is_itself_a_link_is_allowed(base: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(base)
    assert resolve(at(tmp_path / "link", "key"), reach()) == Secret(HIDDEN)


def test_paths_of_a_spec_without_a_file_start_from_the_working_folder(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base)
    assert resolve(SecretRef(SecretKind.FILE, ("key",)), reach()) == Secret(HIDDEN)
    assert refused(SecretRef(SecretKind.FILE, ("../outside/key",)), reach()).rule == "secret-out-of-reach"


@pytest.mark.parametrize(
    "path",
    [
        "../outside/key",
        "sub/../../outside/key",
        "{base}/../outside/key",
        "{base}/../outside/missing",
        "{base}-evil/key",
        "/etc/passwd",
        "/etc/missing",
        "/proc/self/environ",
        "/proc/self/cwd/key",
        "/dev/stdin",
        "..",
        "/",
        "link",
        "folder/key",
        "deep",
        "key\0/../../outside/key",
    ],
)
def test_a_file_elsewhere_is_out_of_reach(base: Path, tmp_path: Path, path: str) -> None:
    evil = Path(f"{base}-evil")
    evil.mkdir()
    (evil / "key").write_text(HIDDEN, encoding="utf-8")
    (base / "link").symlink_to("../outside/key")
    (base / "folder").symlink_to(tmp_path / "outside")
    (base / "deep").symlink_to("folder/key")
    assert refused(at(base, path.format(base=base)), reach()).rule == "secret-out-of-reach"


def test_a_tilde_in_a_path_is_not_expanded(base: Path) -> None:
    assert refused(at(base, "~/key"), reach()).rule == "secret-missing"


def test_a_path_out_of_reach_is_refused_without_checking_whether_it_exists(base: Path) -> None:
    messages = {refused(at(base, path), reach()).message for path in ("../outside/key", "../outside/nothing")}
    assert {m.replace("nothing", "key") for m in messages} == {"the file `../outside/key` is out of a spec's reach"}


def test_the_processes_own_environment_is_out_of_reach_even_of_a_spec_in_the_root_folder(base: Path) -> None:
    assert resolve(at(Path("/"), base / "key"), reach()) == Secret(HIDDEN)
    for path in (
        "/proc/self/environ",
        "proc/self/environ",
        f"/proc/{os.getpid()}/cmdline",
        "/sys/kernel/uevent_seqnum",
    ):
        assert refused(at(Path("/"), path), reach()).rule == "secret-out-of-reach"


def test_a_missing_file_in_reach_is_reported(base: Path) -> None:
    error = refused(at(base, "missing"), reach())
    assert (error.message, error.rule) == ("the file `missing` does not exist", "secret-missing")


@pytest.mark.parametrize("given", ["the settings", "a link to them", "a hard link to them", "their whole path"])
def test_the_settings_file_is_never_a_secret(base: Path, given: str) -> None:
    settings = base / config.FILE_NAME
    settings.write_text(HIDDEN, encoding="utf-8")
    (base / "link").symlink_to(settings)
    os.link(settings, base / "hard")
    path = {"a link to them": "link", "a hard link to them": "hard", "their whole path": str(settings)}.get(
        given, config.FILE_NAME
    )
    permissions = Permissions(secret_folders=("/",))
    assert refused(at(base, path), reach(settings_paths=(str(settings),))).rule == "secret-out-of-reach"
    error = refused(at(base, path), reach(settings_paths=(str(settings),), permissions=permissions))
    assert error.rule == "secret-out-of-reach"


def test_the_settings_file_is_known_by_a_relative_path_and_may_be_gone(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(base)
    Path(config.FILE_NAME).write_text(HIDDEN, encoding="utf-8")
    assert refused(at(base, config.FILE_NAME), reach(settings_paths=(config.FILE_NAME,))).rule == "secret-out-of-reach"
    assert resolve(at(base, "key"), reach(settings_paths=("gone.toml",))) == Secret(HIDDEN)


def test_the_credentials_directory_is_in_reach(base: Path, tmp_path: Path) -> None:
    given = tmp_path / "outside"
    assert resolve(at(base, given / "key"), reach(environ={"CREDENTIALS_DIRECTORY": str(given)})) == Secret(HIDDEN)
    assert refused(at(base, given / "key"), reach(environ={"CREDENTIALS_DIRECTORY": ""})).rule == "secret-out-of-reach"


def test_run_secrets_is_in_reach(base: Path, tmp_path: Path) -> None:
    assert reach().run_secrets == "/run/secrets"
    outside = tmp_path / "outside"
    assert resolve(at(base, outside / "key"), reach(run_secrets=str(outside))) == Secret(HIDDEN)


def test_folders_of_trusted_settings_are_in_reach(base: Path, tmp_path: Path) -> None:
    permissions = Permissions(secret_folders=(str(tmp_path / "other"), str(tmp_path / "outside")))
    assert resolve(at(base, tmp_path / "outside" / "key"), reach(permissions=permissions)) == Secret(HIDDEN)
    assert resolve(at(base, "../outside/key"), reach(permissions=permissions)) == Secret(HIDDEN)
    assert refused(at(base, tmp_path / "key"), reach(permissions=permissions)).rule == "secret-out-of-reach"


def test_a_pipe_is_refused_without_waiting_for_a_writer(base: Path) -> None:
    os.mkfifo(base / "pipe")
    error = refused(at(base, "pipe"), reach())
    assert error.message == "cannot read the file `pipe`: it is not a regular file"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "/dev/null"])
def test_a_device_is_refused(path: str) -> None:
    error = refused(at(Path("/dev"), path), reach())
    assert error.rule == "secret-missing"
    assert error.message.startswith(f"cannot read the file `{path}`: ")


def test_a_folder_is_refused_and_no_handle_is_left_open(base: Path) -> None:
    (base / "sub").mkdir()
    before = set(os.listdir("/proc/self/fd"))
    error = refused(at(base, "sub"), reach())
    assert error.message == "cannot read the file `sub`: it is not a regular file"
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_file_that_may_not_be_opened_is_reported(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", closed)
    assert refused(at(base, "key"), reach()).message == "cannot read the file `key`: Permission denied"


def test_a_link_created_after_the_check_is_not_followed(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "link").symlink_to("../outside/key")
    monkeypatch.setattr(os.path, "realpath", os.path.abspath)
    assert refused(at(base, "link"), reach()).rule == "secret-missing"


@pytest.mark.parametrize("size", [MAX_LENGTH + 1, sources.MAX_BYTES, 10 * sources.MAX_BYTES])
def test_a_large_file_is_refused_and_not_read_to_its_end(base: Path, size: int) -> None:
    with (base / "large").open("wb") as large:
        large.write(b"x" * size)
        large.truncate(max(size, 2**33 if size > sources.MAX_BYTES else 0))
    assert refused(at(base, "large"), reach()).message == ("the secret from `file:large` is longer than 255 characters")


def test_a_file_that_is_not_utf_8_is_refused(base: Path) -> None:
    (base / "key").write_bytes(b"caf\xe9")
    error = refused(at(base, "key"), reach())
    assert (error.message, error.rule) == ("the file `key` is not UTF-8 text", "secret-bad")
    assert error.__context__ is None  # a UnicodeDecodeError holds the bytes


# Commands

PERMITTED = Permissions(command=True)


def test_a_command_is_not_run_unless_trusted_settings_permit_it(tmp_path: Path) -> None:
    made = tmp_path / "made"
    error = refused(ran("touch", str(made)), reach(environ=os.environ))
    assert error.rule == "secret-out-of-reach"
    assert "`touch`" in error.message
    assert "command = true" in error.hint
    assert not made.exists()


def test_a_commands_output_is_the_secret() -> None:
    assert resolve(python(f"print('{HIDDEN}')"), reach(permissions=PERMITTED)) == Secret(HIDDEN)


def test_a_command_runs_without_a_shell(tmp_path: Path) -> None:
    made = tmp_path / "made"
    argument = f"$(touch {made}); touch {made} | `touch {made}` $HOME *"
    code = "import sys; print(sys.argv[1])"
    ref = ran(sys.executable, "-c", code, argument)
    assert resolve(ref, reach(permissions=PERMITTED, environ={"HOME": "/x"})) == Secret(argument)
    assert not made.exists()


def test_a_command_does_not_get_this_tools_variables() -> None:
    environ = {"ZTRUST_MAIL_PASSWORD": HIDDEN, "ztrust_mail_token": HIDDEN, "VAULT_ADDR": "v", "PATH": os.defpath}
    code = "import os; print(','.join(sorted(k for k in os.environ if k != 'LC_CTYPE')))"
    assert resolve(python(code), reach(permissions=PERMITTED, environ=environ)) == Secret("PATH,VAULT_ADDR")


def test_a_command_gets_no_input() -> None:
    code = "import sys; print(repr(sys.stdin.read()))"
    assert resolve(python(code), reach(permissions=PERMITTED)) == Secret("''")


def test_the_standard_error_of_a_command_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    code = f"import sys; print('{HIDDEN}', file=sys.stderr); sys.exit(3)"
    error = refused(python(code), reach(permissions=PERMITTED))
    assert error.message.endswith("ended with status 3")
    assert HIDDEN not in "".join(capfd.readouterr())


def test_a_failed_commands_output_is_no_secret() -> None:
    error = refused(python(f"import sys; print('{HIDDEN}'); sys.exit(1)"), reach(permissions=PERMITTED))
    assert error.rule == "secret-missing"


@pytest.mark.parametrize("end", ["\\n'); raise SystemExit(1); print('", "\\udcff", "\\0", "${vault.a}"])
def test_an_error_keeps_neither_environment_nor_output_in_local_variables(end: str) -> None:
    """Error collectors store local variables; ``axb`` is in the command's output only."""
    code = f"import sys; sys.stdout.reconfigure(errors='surrogateescape'); print('a' + 'x' + 'b' + '{end}', flush=True)"
    error = refused(python(code), reach(permissions=PERMITTED, environ={"X": HIDDEN}))
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours = [frame for frame in frames if Path(frame.f_code.co_filename).parent.name == "secrets"]
    kept = "".join(repr(value) for frame in ours for value in frame.f_locals.values())
    assert ours
    assert "axb" not in kept
    assert HIDDEN not in kept


def test_a_commands_arguments_are_not_reported() -> None:
    ref = ran(sys.executable, "-c", "import sys; sys.exit(1)", HIDDEN)
    assert sys.executable[:20] in refused(ref, reach(permissions=PERMITTED)).message


def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: run(*arguments, **{**options, "timeout": 0.2}))
    ref = python(f"import signal; print('{HIDDEN}', flush=True); signal.pause()")
    assert "took over 30s" in refused(ref, reach(permissions=PERMITTED)).message


@pytest.mark.parametrize("argv", [("/nowhere/command",), ("/",), ("a\0b",)])
def test_a_command_that_cannot_be_started_is_reported(argv: tuple[str, ...]) -> None:
    error = refused(ran(*argv), reach(permissions=PERMITTED))
    assert error.message.endswith("cannot be started")
    assert error.rule == "secret-missing"


def test_output_that_is_not_text_is_refused() -> None:
    error = refused(python("import sys; sys.stdout.buffer.write(b'\\xff')"), reach(permissions=PERMITTED))
    assert (error.rule, error.message.endswith("printed text that is not UTF-8")) == ("secret-bad", True)


def test_subprocesses_get_a_list_and_never_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def run(arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.update(options, arguments=arguments)
        return subprocess.CompletedProcess([], 0, b"x")

    monkeypatch.setattr(subprocess, "run", run)
    assert resolve(ran("pass", "show", "smtp"), reach(permissions=PERMITTED)) == Secret("x")
    assert seen["arguments"] == ("pass", "show", "smtp")
    assert not seen.get("shell")
    assert seen["timeout"] == 30


# The keyring


class Entries(KeyringBackend):
    """A keyring of a few entries; one of them fails as it is told to."""

    priority = 1  # type: ignore[assignment]

    def __init__(self, entries: Mapping[tuple[str, str], str | Exception]) -> None:
        super().__init__()
        self.entries = entries

    def get_password(self, service: str, username: str) -> str | None:
        found = self.entries.get((service, username))
        if isinstance(found, Exception):
            raise found
        return found

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


@pytest.fixture
def _restored() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


@pytest.mark.usefixtures("_restored")
class TestKeyring:
    def test_an_entry_gives_its_value(self) -> None:
        keyring.set_keyring(Entries({("mail", "acme"): HIDDEN}))
        assert resolve(stored("mail", "acme"), reach()) == Secret(HIDDEN)

    def test_a_missing_entry_is_reported_with_the_command_that_adds_it(self) -> None:
        keyring.set_keyring(Entries({}))
        error = refused(stored("my mail", "acme; rm -rf"), reach())
        assert error.message == "the keyring has no entry `acme; rm -rf` for service `my mail`"
        assert error.hint == "add it: keyring set 'my mail' 'acme; rm -rf'"
        assert error.rule == "secret-missing"

    @pytest.mark.parametrize(
        "failure",
        [keyring.errors.KeyringLocked(HIDDEN), keyring.errors.InitError(HIDDEN), RuntimeError(HIDDEN), OSError(HIDDEN)],
    )
    def test_any_failure_of_the_keyring_is_reported_without_its_own_message(self, failure: Exception) -> None:
        keyring.set_keyring(Entries({("mail", "acme"): failure}))
        error = refused(stored("mail", "acme"), reach())
        assert error.message == "the operating system's keyring cannot be read"
        assert error.rule == "secret-missing"

    def test_without_a_keyring_the_error_says_what_to_use_instead(self) -> None:
        keyring.set_keyring(NoKeyring())
        assert "env or file" in refused(stored("mail", "acme"), reach()).hint


# Resolution


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("word", "word"),
        ("word\n", "word"),
        ("word\r\n", "word"),
        (" word ", " word "),
        ("pa**word", "pa**word"),
        ("x" * MAX_LENGTH, "x" * MAX_LENGTH),
        ("x" * MAX_LENGTH + "\n", "x" * MAX_LENGTH),
        ("pässwörd€😀", "pässwörd€😀"),
        ("${vault", "${vault"),
        ("$vault.{key}", "$vault.{key}"),
    ],
)
def test_one_line_break_at_the_end_is_not_part_of_a_secret(text: str, value: str) -> None:
    assert resolve(env("X"), Reach(environ={"X": text})).reveal() == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("\r\n", "is empty"),
        (f"{HIDDEN}\n\n", "contains a line break or a null character"),
        (f"{HIDDEN}\nx", "contains a line break or a null character"),
        (f"{HIDDEN}\rx", "contains a line break or a null character"),
        (f"{HIDDEN}\0", "contains a line break or a null character"),
        (HIDDEN * 30, "is longer than 255 characters"),
        ("*", "has only asterisks: it is a mask, not a secret"),
        ("**********\n", "has only asterisks: it is a mask, not a secret"),
        (f"{HIDDEN}\udce9", "is not UTF-8 text"),
    ],
)
def test_a_value_that_cannot_be_a_secret_is_refused_and_not_quoted(text: str, problem: str) -> None:
    error = refused(env("X"), Reach(environ={"X": text}))
    assert (error.message, error.rule) == (f"the secret from `env:X` {problem}", "secret-bad")


@pytest.mark.parametrize(
    "text", ["${vault.other}", "${vault.other}\n", " ${vault.other} ", "a${vault.b}c", "${vault.x"]
)
@pytest.mark.parametrize("kind", ["env", "file", "command", "keyring"])
@pytest.mark.usefixtures("_restored")
def test_a_value_that_names_another_secret_in_keycloaks_vault_is_refused(kind: str, text: str, tmp_path: Path) -> None:
    """A value that Keycloak would replace would get round what a policy says of ``keycloak_vault``.

    Read off Keycloak's sources: it replaces a whole value that matches ``^\\$\\{vault\\.(.+?)}$``, and of the e-mail
    settings only ``password`` and ``authTokenClientSecret``. A host, a user, a token's other fields and further
    attributes are taken as they are, and a spec takes nothing but references for the two that are replaced.
    """
    (tmp_path / "pw").write_text(text)
    keyring.set_keyring(Entries({("smtp", "acme"): text}))
    refs = {
        "env": env("X"),
        "file": SecretRef(SecretKind.FILE, ("pw",), str(tmp_path)),
        "command": python(f"print({text!r}, end='')"),
        "keyring": stored("smtp", "acme"),
    }
    error = refused(refs[kind], reach(permissions=PERMITTED, environ={"X": text}))
    assert error.rule == "secret-bad"
    assert "an expression of Keycloak's vault" in error.message
    assert "{keycloak_vault: KEY}" in error.hint
    assert text.strip() not in error.message + error.hint


def test_each_distinct_reference_is_resolved_once(tmp_path: Path) -> None:
    count = tmp_path / "count"
    ref = python(f"open({str(count)!r}, 'a').write('x'); print('word')")
    same = SecretRef(ref.kind, ref.argument, ref.base)
    found = resolve_all([ref, same, ref, env("X"), env("X")], reach(permissions=PERMITTED, environ={"X": "y"}))
    assert count.read_text() == "x"
    assert found == {ref: Secret("word"), env("X"): Secret("y")}


def test_one_reference_that_fails_does_not_stop_the_others() -> None:
    found = resolve_all([env("A"), env("B"), ran("true"), env("C")], reach(environ={"A": "a", "C": "c"}))
    assert found[env("A")] == Secret("a")
    assert found[env("C")] == Secret("c")
    assert isinstance(found[env("B")], SecretError)
    assert isinstance(found[ran("true")], SecretError)


def test_every_kind_has_a_source_except_the_servers_own_vault() -> None:
    assert set(FETCHERS) == set(SecretKind) - {SecretKind.KEYCLOAK_VAULT}


def test_the_repr_of_a_reach_does_not_show_the_environment() -> None:
    assert HIDDEN not in repr(Reach(environ={"X": HIDDEN}))
