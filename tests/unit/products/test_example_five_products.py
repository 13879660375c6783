"""The example with a realm for each of five products: valid, and each product supports all settings of its realm."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cli import Cli
from support.converting import convert
from support.published import TOKEN, Digitanium, UiPath, served

import ztrust_mail
from ztrust_mail.convert import FORMATS, Style
from ztrust_mail.core.findings import Severity
from ztrust_mail.sandbox import Sandbox

FOLDER = Path(__file__).parents[3] / "examples" / "five-products"
SPEC = FOLDER / "mail.yaml"
PRODUCTS = ("ztrust", "oneaccess", "omnibyte", "digitanium", "uipath")


def resolved(path: str) -> dict:
    return dict(FORMATS["spec"].read(path).realms)


def test_the_example_is_valid_and_has_a_realm_for_each_product() -> None:
    spec, findings = ztrust_mail.load_spec(str(SPEC)), ztrust_mail.validate([str(SPEC)])[1]
    assert list(findings) == []
    assert tuple(entry.name for entry in spec.entries) == PRODUCTS


@pytest.mark.parametrize("style", [Style.JSON, Style.TEXT])
@pytest.mark.parametrize("product", PRODUCTS)
def test_each_product_holds_all_that_its_realm_asks_for(product: str, style: Style, tmp_path: Path) -> None:
    written = convert(FORMATS["spec"], FORMATS[product], str(SPEC), style, [product])
    assert {finding.severity for finding in written.findings} <= {Severity.NOTE}
    path = tmp_path / (product + (".json" if style is Style.JSON else ".txt"))
    path.write_text(written.text)
    back = convert(FORMATS[product], FORMATS["spec"], str(path))
    (tmp_path / "back.yaml").write_text(back.text)
    assert resolved(str(tmp_path / "back.yaml")) == {product: resolved(str(SPEC))[product]}


def test_ztrusts_realm_is_planned_and_applied(cli: Cli, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(SPEC, "mail.yaml")
    monkeypatch.setenv("SMTP_PASSWORD_ZTRUST", "relay-Passw0rd")
    sandbox.create_realm("ztrust")
    assert cli("plan", "mail.yaml", "--realm", "ztrust").status == 1
    assert cli("apply", "mail.yaml", "--realm", "ztrust", "--yes").status == 0
    assert cli("plan", "mail.yaml", "--realm", "ztrust").status == 0
    assert sandbox.smtp("ztrust")["envelopeFrom"] == "bounces@acme.example"


@pytest.mark.parametrize(
    ("product", "published", "path", "sender"),
    [("digitanium", Digitanium, "/auth", "from"), ("uipath", UiPath, "", "Email.Smtp.FromEmail")],
)
def test_a_realm_is_planned_and_applied_by_its_products_own_api(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    product: str,
    published: Callable[[], Digitanium | UiPath],
    path: str,
    sender: str,
) -> None:
    shutil.copy(SPEC, "mail.yaml")
    for name in ("SMTP_PASSWORD_DIGITANIUM", "GOOGLE_APP_PASSWORD"):
        monkeypatch.setenv(name, "relay-Passw0rd")
    cli.set(TOKEN=TOKEN)
    with served(published(), tmp_path) as there:
        there.stored[product] = {}
        entry = f'url = "{there.url}{path}"\ngateway = "{product}"\nca_bundle = "{there.bundle}"\n'
        cli.set(CONFIG=cli.write("ztrust-mail.toml", f"[servers.there]\n{entry}"))
        assert cli("plan", "mail.yaml", "--realm", product).status == 1
        assert cli("apply", "mail.yaml", "--realm", product, "--yes").status == 0
        assert cli("plan", "mail.yaml", "--realm", product).status == 0
    assert there.breaches == []
    assert there.stored[product][sender].endswith("@acme.example")


def test_the_offline_commands_work(cli: Cli) -> None:
    shutil.copy(SPEC, "mail.yaml")
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("ztrust-mail ")]
    offline = [command[1:] for command in commands if command[1] != "plan"]
    assert len(offline) == 3
    assert [cli(*command).status for command in offline] == [0, 0, 0]
    assert (cli.folder / "sheet.html").exists()
