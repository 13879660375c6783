"""Several sandboxes as the servers of one settings file, with others that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from support.bad_server import nobody
from support.cli import Cli

from ztrust_mail.sandbox import Sandbox, SandboxOptions

SPEC = """\
version: 1
realms:
  acme: {sender: {address: no-reply@acme.example}, relay: {host: smtp.example.com, security: none}}
  globex: {sender: {address: no-reply@globex.example}, relay: {host: smtp.example.com, security: none}}
"""


@dataclass
class Fleet:
    """Running sandboxes by the name of their server in ``settings``, a file, and a spec for all of them.

    The settings have three more servers: ``down``, where nothing listens; ``locked-out``, with a wrong password; and
    ``broken``, whose URL is none.
    """

    cli: Cli
    sandboxes: dict[str, Sandbox]
    settings: str
    spec: str

    def __getitem__(self, name: str) -> Sandbox:
        return self.sandboxes[name]

    def writes(self) -> dict[str, int]:
        """Return how many realms were written on each sandbox."""
        return {
            name: sum(request.method == "PUT" for request in sandbox.requests)
            for name, sandbox in self.sandboxes.items()
        }


def entry(name: str, url: str, labels: str, password: str = "admin") -> str:
    """Return the entry of a server in a settings file."""
    login = f'username = "admin"\npassword = "{password}"'
    return f'[servers.{name}]\nurl = "{url}"\n{login}\nlabels = {{{labels}}}\n'


@pytest.fixture
def fleet(cli: Cli) -> Iterator[Fleet]:
    """Three running servers, one of them slow, and three that cannot be used; the settings name them all."""
    with ExitStack() as stack, nobody() as unused:
        options = {"dev": SandboxOptions(), "eu-1": SandboxOptions(slow_reads=0.05), "eu-2": SandboxOptions()}
        running = {name: stack.enter_context(Sandbox(given)) for name, given in options.items()}
        entries = [
            entry("dev", running["dev"].url, 'stage = "dev"'),
            entry("eu-1", running["eu-1"].url, 'stage = "prod", region = "eu"'),
            entry("eu-2", running["eu-2"].url, 'stage = "prod", region = "eu"'),
            entry("down", unused, 'stage = "lab"'),
            entry("locked-out", running["dev"].url.replace("127.0.0.1", "localhost"), 'stage = "lab"', "wrong"),
            entry("broken", "nonsense", 'stage = "lab"'),
        ]
        yield Fleet(cli, running, cli.write("fleet.toml", "\n".join(entries)), cli.write("mail.yaml", SPEC))
