"""Real Keycloak servers for tests: fetched by Maven, unpacked once, run from a private copy, always stopped.

Needs java and mvn; a missing one is an error that names the Debian package. What was fetched stays in
``$ZTRUST_MAIL_TEST_CACHE``, by default ``~/.cache/ztrust-mail-tests``.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from support.processes import free_port, tail

ADMIN, PASSWORD = "admin", "admin"
START_TIMEOUT = 240.0  # seconds; 26 takes 10 on an idle machine, a shared one is slow
STOP_TIMEOUT = 30.0
_ATTEMPTS = 3  # a port that was free may be taken a moment later
_HEAP = "-Xms64m -Xmx640m"
_PACKAGES = {"java": "openjdk-17-jre-headless", "keytool": "openjdk-17-jre-headless", "mvn": "maven"}


class KeycloakFailed(RuntimeError):
    """The server could not be fetched or did not come up; the text has the end of its log."""


@dataclass(frozen=True)
class Distribution:
    """A Keycloak to be had from Maven; ``base_path`` is where it serves."""

    version: str
    artifact: str
    base_path: str

    @property
    def folder(self) -> str:
        """The name of the folder inside the archive and in the cache."""
        return f"keycloak-{self.version}"


KEYCLOAK_26 = Distribution("26.7.4", "org.keycloak:keycloak-quarkus-dist:26.7.4:zip", "")
KEYCLOAK_16 = Distribution("16.1.1", "org.keycloak:keycloak-server-dist:16.1.1:zip", "/auth")


class KeycloakServer:
    """One running server, as a context manager. ``ca_file`` is a PEM certificate it is to trust for mail.

    ``options`` are added to its command line; ``imports`` is a folder of realm exports that it takes in as it starts.
    """

    def __init__(
        self,
        distribution: Distribution,
        ca_file: Path | None = None,
        options: Sequence[str] = (),
        imports: Path | None = None,
    ) -> None:
        self.distribution = distribution
        self.version = distribution.version
        self.admin_user, self.admin_password = ADMIN, PASSWORD
        self.url = ""
        self._ca_file = ca_file
        self._options = options
        self._imports = imports
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> KeycloakServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers. Raises KeycloakFailed, with the end of the log."""
        installed = install(self.distribution)
        atexit.register(self.stop)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._start_once(installed)
                return
            except KeycloakFailed as failure:
                self.stop()
                if attempt == _ATTEMPTS or "in use" not in str(failure):
                    raise

    def stop(self) -> None:
        """Stop the server and everything it started, and remove its private copy."""
        atexit.unregister(self.stop)
        if self._process is not None:
            _end_group(self._process)
            self._process = None
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def _start_once(self, installed: Path) -> None:
        self._home = Path(tempfile.mkdtemp(prefix=f"{self.distribution.folder}-"))
        prepare = _prepare_quarkus if self.distribution is KEYCLOAK_26 else _prepare_wildfly
        command, environment, port = prepare(installed, self._home, self._ca_file)
        command += [*self._options, *self._importing(self._home)]
        self.url = f"http://127.0.0.1:{port}{self.distribution.base_path}"
        log = self._home / "test-server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        _wait_until_up(self.url, self._process, log)

    def _importing(self, home: Path) -> list[str]:
        if self._imports is None:
            return []
        if self.distribution is KEYCLOAK_16:
            return [*migration("import", self._imports), "-Dkeycloak.migration.strategy=OVERWRITE_EXISTING"]
        shutil.copytree(self._imports, home / "server" / "data" / "import")
        return ["--import-realm"]


def migration(action: str, folder: Path) -> list[str]:
    """Return the options with which a Keycloak 16 imports or exports realms as it starts."""
    names = {"action": action, "provider": "dir", "dir": str(folder)}
    return [f"-Dkeycloak.migration.{name}={value}" for name, value in names.items()]


def install(distribution: Distribution) -> Path:
    """Return the unpacked server in the cache, fetching it when it is not there yet."""
    _require("java")
    cache = Path(os.environ.get("ZTRUST_MAIL_TEST_CACHE") or Path.home() / ".cache" / "ztrust-mail-tests")
    cache.mkdir(parents=True, exist_ok=True)
    final = cache / distribution.folder
    with _locked(cache / f"{distribution.folder}.lock"):
        if not final.is_dir():
            with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as folder:
                _fetch(distribution, Path(folder))
                unpacked = Path(folder) / distribution.folder
                if distribution is KEYCLOAK_26:
                    _run([str(unpacked / "bin" / "kc.sh"), "build", "--db=dev-mem", "--cache=local"])
                unpacked.rename(final)
    return final


def _fetch(distribution: Distribution, folder: Path) -> None:
    _require("mvn")
    copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={distribution.artifact}", f"-DoutputDirectory={folder}"]
    _run(copy)
    (archive,) = folder.glob("*.zip")
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            written = content.extract(entry, folder)
            # zipfile forgets the permissions, and without them no script runs.
            if mode := (entry.external_attr >> 16) & 0o777:
                os.chmod(written, mode | 0o600)
    archive.unlink()


def _prepare_quarkus(installed: Path, home: Path, ca_file: Path | None) -> tuple[list[str], dict[str, str], int]:
    shutil.copytree(installed, home / "server", copy_function=_linked, symlinks=True)
    port = free_port()
    options = ["--http-enabled=true", "--hostname-strict=false", "--http-host=127.0.0.1", f"--http-port={port}"]
    if ca_file is not None:
        options.append(f"--truststore-paths={ca_file}")
    environment = {
        "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
        "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
        "JAVA_OPTS_KC_HEAP": _HEAP,
    }
    return [str(home / "server" / "bin" / "kc.sh"), "start", "--optimized", *options], environment, port


def _prepare_wildfly(installed: Path, home: Path, ca_file: Path | None) -> tuple[list[str], dict[str, str], int]:
    base = home / "standalone"
    shutil.copytree(installed / "standalone", base)
    scripts = installed / "bin"
    add_user = [str(scripts / "add-user-keycloak.sh"), "--sc", str(base / "configuration"), "-u", ADMIN, "-p", PASSWORD]
    _run(add_user)
    java = f"{_HEAP} -XX:MaxMetaspaceSize=384m -Djava.net.preferIPv4Stack=true -Djava.awt.headless=true"
    if ca_file is not None:
        java += f" -Djavax.net.ssl.trustStore={_java_truststore(ca_file, home)}"
        # Not a secret, but Java reads nothing from a PKCS#12 store without it.
        java += " -Djavax.net.ssl.trustStorePassword=changeit"
    offset = _free_offset((8080, 8443, 8009, 9990, 9993, 4712, 4713))
    command = [
        str(scripts / "standalone.sh"), f"-Djboss.server.base.dir={base}", "-b", "127.0.0.1",
        "-bmanagement", "127.0.0.1", f"-Djboss.socket.binding.port-offset={offset}",
    ]  # fmt: skip
    # LAUNCH_JBOSS_IN_BACKGROUND makes the script pass signals on to java.
    return command, {"JAVA_OPTS": java, "LAUNCH_JBOSS_IN_BACKGROUND": "1"}, 8080 + offset


def _java_truststore(ca_file: Path, home: Path) -> Path:
    _require("keytool")
    store = home / "truststore.p12"
    _run(
        ["keytool", "-importcert", "-noprompt", "-alias", "tests", "-file", str(ca_file), "-keystore", str(store),
         "-storetype", "PKCS12", "-storepass", "changeit"],
    )  # fmt: skip
    return store


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        try:
            process.wait(timeout=0.25)
        except subprocess.TimeoutExpired:
            pass
        else:
            raise KeycloakFailed(f"the server ended with {process.returncode}\n{tail(log)}")
        try:
            with urllib.request.urlopen(f"{url}/realms/master", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            continue
    raise KeycloakFailed(f"{url} does not answer after {START_TIMEOUT:g} s\n{tail(log)}")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    for end, patience in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, STOP_TIMEOUT)):
        try:
            os.killpg(process.pid, end)
        except ProcessLookupError:
            process.wait()
            return
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        with suppress(ProcessLookupError):  # nothing of the group is to outlive its leader
            os.killpg(process.pid, signal.SIGKILL)
        return


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise KeycloakFailed(f"{command[0]} ended with {done.returncode}\n{done.stdout[-4000:]}")


def _require(tool: str) -> None:
    if shutil.which(tool) is None:
        raise KeycloakFailed(f"{tool} is not installed; it is in the Debian package {_PACKAGES[tool]}")


def _free_offset(ports: Sequence[int]) -> int:
    for _ in range(100):
        offset = random.randrange(1000, 20000)
        if all(_is_free(port + offset) for port in ports):
            return offset
    raise KeycloakFailed("no free ports")


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
