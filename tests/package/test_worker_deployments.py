"""The files that run workers: for Compose, Kubernetes and systemd. What they mount, docs/fleet.md says how to write."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from support.console import blocks
from support.distributions import ROOT

from ztrust_mail import settings
from ztrust_mail.fleet.health import parse_address
from ztrust_mail.fleet.worker import WorkerTiming

DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
UNIT = DEPLOY / "systemd" / "ztrust-mail-worker@.service"
PAGE = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
LONGEST_PAUSE = WorkerTiming().longest_reconnect


def manifest(name: str) -> dict:
    return yaml.safe_load((DEPLOY / "kubernetes" / "worker" / name).read_text(encoding="utf-8"))


def settings_of(place: str) -> str:
    """Return the settings file that the page shows for a place: the name in its first line."""
    [found] = [block for block in blocks(PAGE, "toml") if block.startswith(f"# {place}\n")]
    return found


# Compose


def test_the_compose_file_is_valid():
    command = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml"]
    subprocess.run(command, check=True)


def test_compose_starts_two_workers_of_the_containerfile_that_wait_for_the_database():
    worker = COMPOSE["services"]["worker"]
    assert worker["deploy"]["replicas"] == 2
    build = worker["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).samefile(ROOT / "Containerfile")
    assert worker["depends_on"] == {"database": {"condition": "service_healthy"}}


def test_no_secret_of_compose_is_a_variable_and_each_service_has_only_those_that_it_reads():
    services, secrets = COMPOSE["services"], COMPOSE["secrets"]
    values = [value for service in services.values() for value in service["environment"].values()]
    assert {value for value in values if "/" in value} == {
        "/run/secrets/database-password",
        "/run/secrets/ztrust-mail.toml",
    }
    assert services["database"]["secrets"] == ["database-password"]
    assert set(services["worker"]["secrets"]) == secrets.keys() - {"database-password"}
    assert all(secret == {"file": f"secrets/{name}"} for name, secret in secrets.items())


def test_the_settings_shown_for_compose_name_the_database_and_the_secrets_of_the_file(tmp_path):
    path = tmp_path / "ztrust-mail.toml"
    path.write_text(settings_of("deploy/secrets/ztrust-mail.toml"), encoding="utf-8")
    loaded = settings.load(str(path), {})
    url = settings.journal_url(loaded, {})
    assert url
    database = COMPOSE["services"]["database"]["environment"]
    assert re.fullmatch(
        rf"postgresql://{database['POSTGRES_USER']}:[A-Z]+@database/{database['POSTGRES_DB']}", url.reveal()
    )
    [server] = [settings.choose_server(loaded, name, (), {}) for name in loaded.servers]
    assert [ref.argument for ref in server.login.refs.values()] == [("/run/secrets/client-secret",)]


def test_a_worker_of_compose_cannot_write_to_its_image_and_has_no_rights():
    worker = COMPOSE["services"]["worker"]
    assert worker["read_only"] is True
    assert worker["cap_drop"] == ["ALL"]
    assert worker["security_opt"] == ["no-new-privileges:true"]
    assert COMPOSE["networks"]["database"] == {"internal": True}
    assert COMPOSE["services"]["database"]["networks"] == ["database"]


def test_the_health_check_of_compose_asks_the_address_on_which_the_worker_listens():
    worker = COMPOSE["services"]["worker"]
    _, port = parse_address(worker["command"][worker["command"].index("--listen") + 1])
    *_, program = worker["healthcheck"]["test"]
    assert f"http://127.0.0.1:{port}/health" in program
    compile(program, "healthcheck", "exec")


def test_every_orchestrator_gives_a_worker_two_minutes_to_finish_its_writes():
    assert COMPOSE["services"]["worker"]["stop_grace_period"] == "2m"
    assert manifest("worker.yaml")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 120
    assert unit()["Service"]["TimeoutStopSec"] == "120"


# Kubernetes


def test_the_probes_of_a_worker_ask_for_its_health_and_a_restart_of_the_database_restarts_no_worker():
    [container] = manifest("worker.yaml")["spec"]["template"]["spec"]["containers"]
    [port] = container["ports"]
    assert parse_address(container["args"][container["args"].index("--listen") + 1]) == (
        "0.0.0.0",
        port["containerPort"],
    )
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": port["name"]}
    live = container["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] > 10 * LONGEST_PAUSE


def test_a_worker_gets_the_url_of_its_journal_from_a_secret_and_no_volume_for_it():
    pod = manifest("worker.yaml")["spec"]["template"]["spec"]
    [journal] = [one for one in pod["containers"][0]["env"] if one["name"] == "ZTRUST_MAIL_JOURNAL"]
    assert "secretKeyRef" in journal["valueFrom"]
    assert not [volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    [patch] = manifest("kustomization.yaml")["patches"]
    removed = yaml.safe_load(patch["patch"])
    base = yaml.safe_load((DEPLOY / "kubernetes" / "base" / "journal.yaml").read_text(encoding="utf-8"))
    assert removed["$patch"] == "delete"
    assert (removed["kind"], removed["metadata"]["name"]) == (base["kind"], base["metadata"]["name"])


def test_the_budget_and_the_policy_of_workers_select_their_pods_and_their_port():
    deployment, policy = manifest("worker.yaml")["spec"], manifest("metrics-policy.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    budget = manifest("disruption-budget.yaml")["spec"]
    for selector in (deployment["selector"], budget["selector"], policy["podSelector"]):
        assert selector["matchLabels"].items() <= labels.items()
    assert budget["minAvailable"] < deployment["replicas"]
    [rule] = policy["ingress"]
    [container] = deployment["template"]["spec"]["containers"]
    assert [port["port"] for port in rule["ports"]] == [port["containerPort"] for port in container["ports"]]


@pytest.mark.parametrize("name", ["ztrust-mail-journal", "ztrust-mail-server", "ztrust-mail-relay"])
def test_every_secret_of_the_worker_is_made_by_a_command_of_the_page(name):
    assert name in (DEPLOY / "kubernetes" / "worker" / "worker.yaml").read_text(encoding="utf-8")
    assert f"create secret generic {name} " in PAGE


# systemd


class _Unit(ConfigParser):
    """A unit file: keys keep their case, and one given several times has all its values, one a line."""

    def __init__(self) -> None:
        super().__init__(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def unit() -> ConfigParser:
    """Return the unit file; values of a key that is given several times are lines of one value."""
    lines: list[str] = []
    seen: dict[str, int] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition("=")
        if line.startswith("["):
            seen.clear()
        if key in seen and not line.startswith("#"):
            lines[seen[key]] += f"\n {value}"
            continue
        if value and not line.startswith("#"):
            seen[key] = len(lines)
        lines.append(line)
    parsed = _Unit()
    parsed.read_string("\n".join(lines))
    return parsed


def test_the_unit_runs_a_worker_for_the_queue_of_its_instance_and_starts_it_again():
    service = unit()["Service"]
    assert service["ExecStart"].endswith("ztrust-mail worker --queue %i --listen ${LISTEN}")
    listen = dict(line.split("=", 1) for line in service["Environment"].split("\n"))["LISTEN"]
    assert parse_address(listen) == ("127.0.0.1", 9180)
    assert service["Restart"] == "on-failure"
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"
    assert service["KillMode"] == "mixed"


def test_the_unit_has_no_rights_and_gets_its_secrets_as_credentials():
    service = unit()["Service"]
    for key in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateDevices", "PrivateTmp", "RestrictNamespaces"):
        assert service[key] == "yes", key
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert service["SystemCallFilter"] == "@system-service"
    credentials = dict(line.split(":", 1) for line in service["LoadCredential"].split("\n"))
    assert credentials == {name: f"/etc/ztrust-mail/{name}" for name in ("ztrust-mail.toml", "client-secret")}
    assert "ZTRUST_MAIL_CONFIG=%d/ztrust-mail.toml" in service["Environment"].split("\n")


def test_the_settings_shown_for_the_unit_read_the_credential_next_to_them(tmp_path):
    path = tmp_path / "ztrust-mail.toml"
    path.write_text(settings_of("/etc/ztrust-mail/ztrust-mail.toml"), encoding="utf-8")
    loaded = settings.load(str(path), {})
    server = settings.choose_server(loaded, None, (), {})
    assert [(ref.base, ref.argument) for ref in server.login.refs.values()] == [(str(tmp_path), ("client-secret",))]


def test_systemd_accepts_the_unit_where_it_is_installed(tmp_path):
    """Elsewhere only that each line is a section, a comment, or a key with a value."""
    text = UNIT.read_text(encoding="utf-8")
    assert all(re.fullmatch(r"(\[\w+\]|#.*|[A-Z]\w+=.*)?", line) for line in text.splitlines())
    copy = tmp_path / "ztrust-mail-worker@eu.service"
    copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    if analyze := shutil.which("systemd-analyze"):
        done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
        assert (done.returncode, _about(copy, done.stderr)) == (0, [])


def _about(unit_file: Path, output: str) -> list[str]:
    """Return the lines about one unit; others are about this machine."""
    return [line for line in output.splitlines() if unit_file.name in line]
