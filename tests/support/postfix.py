"""Debian's Postfix on loopback, with logins by Dovecot: a service on a port of its own for each kind of relay.

It runs from a temporary folder with its own configuration and queue, as root, which Postfix demands. Mails that it
accepts are thrown away.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import trustme

USER, PASSWORD = "relay-user", "relay-Pässw0rd"
SENDER = "no-reply@acme.example"
REFUSED = "refused@acme.example"
"""A recipient that no service accepts."""

_LOGIN = (
    "smtpd_sasl_auth_enable=yes",
    "smtpd_tls_auth_only=yes",
    "smtpd_relay_restrictions=permit_sasl_authenticated,reject",
)
_OWNED = ("smtpd_sender_login_maps=$owned_senders", "smtpd_sender_restrictions=reject_sender_login_mismatch")

SERVICES: Mapping[str, tuple[str, ...]] = {
    "plain": ("smtpd_tls_security_level=none",),
    "opportunistic": ("smtpd_tls_security_level=may",),
    "starttls": ("smtpd_tls_security_level=encrypt", *_LOGIN, *_OWNED),
    "tls": ("smtpd_tls_wrappermode=yes", *_LOGIN),
    "expired": ("smtpd_tls_security_level=may",),
    "wrong-name": ("smtpd_tls_security_level=may",),
    "unknown-issuer": ("smtpd_tls_security_level=may",),
    "expires-soon": ("smtpd_tls_security_level=may",),
    "helo": (
        "smtpd_tls_security_level=none",
        "smtpd_helo_required=yes",
        "smtpd_helo_restrictions=reject_non_fqdn_helo_hostname",
    ),
    "greylisting": ("smtpd_tls_security_level=none", "smtpd_recipient_restrictions=$defer_all"),
}
"""The services by name, with their settings."""

_OWN_SERVICES = (
    "cleanup unix n - n - 0 cleanup",
    "pickup unix n - n 60 1 pickup",
    "qmgr unix n - n 300 1 qmgr",
    "tlsmgr unix - - n 1000? 1 tlsmgr",
    "rewrite unix - - n - - trivial-rewrite",
    "bounce unix - - n - 0 bounce",
    "defer unix - - n - 0 bounce",
    "discard unix - - n - - discard",
    "anvil unix - - n - 1 anvil",
    "proxymap unix - - n - - proxymap",
    "postlog unix-dgram n - n - 1 postlogd",
)
"""The services that Postfix needs for itself, as in Debian's master.cf."""

START_TIMEOUT = 60.0  # seconds; about 2 on an idle machine

_DAYS = {"expired": -3, "expires-soon": 5}


class PostfixFailed(RuntimeError):
    """A server is missing or did not start; the text contains the end of its log."""


class Postfix:
    """A running Postfix. ``ports`` has the port of each service of :data:`SERVICES`."""

    def __init__(self, authority: trustme.CA) -> None:
        self._authority = authority
        self._folder = Path(tempfile.mkdtemp(prefix="ztrust-postfix-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports = dict(zip(SERVICES, _free_ports(len(SERVICES)), strict=True))

    def __enter__(self) -> Self:
        self._folder.chmod(0o755)  # Postfix's processes run as another user
        self._write_dovecot()
        self._write_certificates()
        self._write_postfix()
        self._start("dovecot", "-F", "-c", str(self._folder / "dovecot.conf"))
        self._start("postfix", "-c", str(self._folder / "etc"), "start-fg")
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End both servers, and remove the folder."""
        subprocess.run(
            ["postfix", "-c", str(self._folder / "etc"), "stop"], capture_output=True, check=False, timeout=60
        )
        for process in self._processes:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with suppress(ProcessLookupError):  # a service that waits for another one outlives its master
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """What both servers logged."""
        return "\n".join(path.read_text("utf-8", "replace") for path in self._folder.glob("*.log"))

    def _start(self, *command: str) -> None:
        log = (self._folder / f"{command[0]}.log").open("wb")
        with log:
            self._processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            )

    def _wait(self) -> None:
        """Return when both servers answer. Raises :class:`PostfixFailed`."""
        end = time.monotonic() + START_TIMEOUT
        while not self._is_up():
            ended = self._processes[-1].poll() is not None or self._processes[0].poll() is not None
            if ended or time.monotonic() > end:
                raise PostfixFailed(f"Postfix or Dovecot did not start: {self.log[-2_000:]}")
            with suppress(subprocess.TimeoutExpired):
                self._processes[-1].wait(0.1)

    def _is_up(self) -> bool:
        return (self._folder / "auth").exists() and _greets(self.ports["plain"])

    def _write_certificates(self) -> None:
        now = datetime.now(UTC)
        for name in ("good", "expired", "wrong-name", "unknown-issuer", "expires-soon"):
            issued = (trustme.CA() if name == "unknown-issuer" else self._authority).issue_cert(
                *(["relay.invalid"] if name == "wrong-name" else ["localhost", "127.0.0.1"]),
                not_before=now - timedelta(days=30),
                not_after=now + timedelta(days=_DAYS.get(name, 90), hours=1),
            )
            path = self._folder / f"{name}.pem"
            issued.private_key_and_cert_chain_pem.write_to_path(path)
            path.chmod(0o600)

    def _write_dovecot(self) -> None:
        folder = self._folder
        (folder / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n", encoding="utf-8")
        (folder / "users").chmod(0o644)
        (folder / "dovecot.conf").write_text(
            f"""
base_dir = {folder}/dovecot
log_path = /dev/stderr
protocols =
ssl = no
auth_mechanisms = plain login
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
""",
            encoding="utf-8",
        )

    def _write_postfix(self) -> None:
        folder, settings = self._folder, self._folder / "etc"
        for name in ("etc", "spool", "data"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        (settings / "main.cf").write_text(
            f"""
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = /dev/stdout
myhostname = relay.acme.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
alias_database =
default_transport = discard:thrown away
smtpd_tls_chain_files = {folder}/good.pem
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/auth
smtpd_recipient_restrictions = check_recipient_access inline:{{{REFUSED}=REJECT}}
smtpd_delay_reject = yes
owned_senders = inline:{{{SENDER}={USER}}}
defer_all = check_recipient_access static:DEFER
""",
            encoding="utf-8",
        )
        (settings / "master.cf").write_text("".join(f"{one}\n" for one in self._services()), encoding="utf-8")

    def _services(self) -> Iterator[str]:
        for name, values in SERVICES.items():
            own = f"smtpd_tls_chain_files={self._folder}/{name}.pem"
            chain = [own] if (self._folder / f"{name}.pem").exists() else []
            overrides = " ".join(f"-o {one}" for one in (*values, *chain))
            yield f"127.0.0.1:{self.ports[name]} inet n - n - - smtpd {overrides}"
        yield from _OWN_SERVICES


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(4) == b"220 "
    except OSError:
        return False


@pytest.fixture(scope="session")
def postfix(authority: trustme.CA) -> Iterator[Postfix]:
    """A real Postfix with all services."""
    if os.geteuid() != 0 or not shutil.which("postfix") or not shutil.which("dovecot"):
        raise PostfixFailed("Postfix starts as root only: run as root, with Debian's postfix and dovecot-core")
    with Postfix(authority) as started:
        yield started
