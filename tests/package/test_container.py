"""The Containerfile is built and its containers run: as a user without rights, on a read-only root file system."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.distributions import ROOT, user_extras
from support.image import Image, Mount, build
from support.listening_worker import ListeningWorker
from support.pods import Cluster
from support.processes import free_port

from ztrust_mail import fleet
from ztrust_mail.sandbox import Sandbox, SandboxOptions

MANIFESTS = ROOT / "deploy" / "kubernetes"
SPEC = """\
version: 1
defaults:
  relay: {host: smtp.example.com}
  sender: {address: no-reply@example.com}
realms: {acme: {}}
"""
RELAY_SECRET = "typed-right"


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Image:
    return build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def journal(tmp_path) -> Path:
    folder = tmp_path / "journal"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def login(sandbox: Sandbox) -> dict[str, str]:
    options = sandbox.options
    return {"ZTRUST_MAIL_URL": sandbox.url, "ZTRUST_MAIL_USERNAME": options.admin_user,
            "ZTRUST_MAIL_PASSWORD": options.admin_password}  # fmt: skip


def specs_of(realm: str, folder: Path) -> Path:
    specs = folder / "specs"
    specs.mkdir()
    (specs / "mail.yaml").write_text(SPEC.replace("acme", realm), encoding="utf-8")
    return specs


def test_the_containerfile_passes_hadolint():
    subprocess.run(["hadolint", ROOT / "Containerfile"], check=True)


def test_the_image_has_the_whole_package_the_extras_and_its_labels(image):
    modules = {"fleet": "procrastinate", "html": "jinja2", "postgresql": "psycopg"}
    assert f"[{','.join(modules)}]" in (ROOT / "Containerfile").read_text(encoding="utf-8")
    for extra in modules.keys() & user_extras().keys():
        imported = image.start(["/opt/ztrust-mail/bin/python", "-c", f"import {modules[extra]}"])
        assert imported.returncode == 0, imported.stdout
    assert 'org.opencontainers.image.title="ztrust-mail"' in image.said["LABEL"]
    assert json.loads(image.said["VOLUME"]) == ["/var/lib/ztrust-mail"]
    assert image.run([]).stdout.startswith("Usage: ztrust-mail")
    for name in ("docs", "schemas"):
        packaged = {path.name for path in image.root.glob(f"opt/ztrust-mail/lib/*/site-packages/ztrust_mail/{name}/*")}
        assert packaged >= {path.name for path in (ROOT / name).glob("*.json" if name == "schemas" else "*.md")}


def test_a_container_writes_to_its_journal_and_nowhere_else(image, journal, ztrust_sandbox, tmp_path):
    ztrust_sandbox.create_realm("shop")
    specs = specs_of("shop", tmp_path)
    mounts = [Mount(specs, "/spec"), Mount(journal, "/var/lib/ztrust-mail", read_only=False)]
    before = files_of(image.root)
    for command, status in (("drift", 1), ("apply", 0), ("drift", 0), ("history", 0)):
        words = {"apply": ["mail.yaml", "--yes"], "history": []}.get(command, ["mail.yaml"])
        done = image.run([command, *words], login(ztrust_sandbox), mounts)
        assert done.returncode == status, done.stdout
    assert "apply" in done.stdout
    assert ztrust_sandbox.smtp("shop")["host"] == "smtp.example.com"
    (file, *_) = sorted(journal.iterdir())
    assert file.stat().st_uid == int(image.user.partition(":")[0]) != 0
    assert files_of(image.root) == before


def test_without_a_volume_a_container_writes_nothing_to_the_server(image, ztrust_sandbox, tmp_path):
    specs = specs_of("acme", tmp_path)
    done = image.run(["apply", "mail.yaml", "--yes"], login(ztrust_sandbox), [Mount(specs, "/spec")])
    assert done.returncode not in (0, 70), done.stdout
    assert "journal" in done.stdout
    assert not [request for request in ztrust_sandbox.requests if request.method == "PUT"]


# Kubernetes


def manifests() -> list[Path]:
    return sorted(path for path in MANIFESTS.rglob("*.yaml") if path.name not in ("kustomization.yaml", "mail.yaml"))


def pod(name: str) -> dict:
    job = yaml.safe_load((MANIFESTS / name).read_text(encoding="utf-8"))["spec"]
    return job.get("jobTemplate", {"spec": job})["spec"]["template"]["spec"]


def test_every_manifest_is_valid_and_is_a_resource_of_a_kustomization():
    subprocess.run(["kubernetes-validate", "--strict", *manifests()], check=True)
    listed = set()
    for file in MANIFESTS.rglob("kustomization.yaml"):
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert content["namespace"] == "ztrust-mail"
        for resource in content["resources"]:
            path = (file.parent / resource).resolve()
            assert path.is_file() or (path / "kustomization.yaml").is_file()
            listed.add(path)
    assert {path.resolve() for path in manifests()} <= listed


@pytest.mark.parametrize(
    ("name", "writable"), [("drift.yaml", ["journal"]), ("apply/apply.yaml", ["journal"]), ("worker/worker.yaml", [])]
)
def test_a_pod_has_no_rights_beyond_its_purpose(name, writable):
    (container,) = pod(name)["containers"]
    assert pod(name)["automountServiceAccountToken"] is False
    assert pod(name)["securityContext"]["runAsNonRoot"] is True
    assert pod(name)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"]["memory"]
    assert [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")] == writable


def test_the_check_for_drift_excludes_another_and_gets_no_secret_of_a_spec():
    cron = yaml.safe_load((MANIFESTS / "drift.yaml").read_text(encoding="utf-8"))["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert not [volume for volume in pod("drift.yaml")["volumes"] if "secret" in volume]


def test_the_image_of_all_pods_is_replaced_by_the_same_tag():
    images = [yaml.safe_load(file.read_text())["images"] for file in MANIFESTS.glob("**/kustomization.yaml")
              if file.parent.name != "base"]  # fmt: skip
    assert len(images) == 3
    assert all(one == images[0] for one in images)
    names = {pod(name)["containers"][0]["image"] for name in ("drift.yaml", "apply/apply.yaml", "worker/worker.yaml")}
    assert names == {images[0][0]["name"]}


@pytest.fixture
def served() -> Iterator[Sandbox]:
    """The server of the example settings, and its service account."""
    options = SandboxOptions(realms=("acme",))
    with Sandbox(options) as sandbox:
        sandbox.create_client("master", "ztrust-mail", "server-secret", ["admin"], "mail@example.com")
        yield sandbox


@pytest.fixture
def cluster(served, tmp_path) -> Cluster:
    """A cluster with the config maps of the kustomization; only the hosts are those of the sandbox."""
    base = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text(encoding="utf-8"))
    maps = {
        made["name"]: {name: on_loopback((MANIFESTS / "base" / name).read_text(), served) for name in made["files"]}
        for made in base["configMapGenerator"]
    }
    secrets = {
        "ztrust-mail-server": {"client-secret": "server-secret"},
        "ztrust-mail-relay": {"smtp-password": RELAY_SECRET},
    }
    return Cluster(tmp_path, maps, secrets)


def on_loopback(text: str, sandbox: Sandbox) -> str:
    host = "host: smtp.example.com"
    text = text.replace(host, f"host: 127.0.0.1\n    port: {sandbox.mail.port}\n    security: none")
    return text.replace("https://id.example.com", sandbox.url).replace('"smtp.example.com"', '"127.0.0.1"')


def test_the_jobs_find_drift_fix_it_and_find_none(image, cluster, served):
    found = cluster.run(image, pod("drift.yaml"))
    assert found.returncode == 1, found.stdout
    applied = cluster.run(image, pod("apply/apply.yaml"))
    assert applied.returncode == 0, applied.stdout
    assert served.smtp("acme")["password"] == RELAY_SECRET
    assert served.mail.wait_for(1)[0].login == "apikey"
    again = cluster.run(image, pod("drift.yaml"))
    assert again.returncode == 0, again.stdout
    served.edit_smtp("acme", {**served.smtp("acme"), "fromDisplayName": "Somebody"})
    edited = cluster.run(image, pod("drift.yaml"))
    assert edited.returncode == 1
    assert "out of band" in edited.stdout, "the check for drift reads the journal that the apply wrote"


def test_a_worker_of_the_deployment_onboards_a_realm_and_stops_in_order(image, cluster, served, postgresql, tmp_path):
    worker_pod, port, log = pod("worker/worker.yaml"), free_port(), tmp_path / "worker.log"
    worker_pod["containers"][0]["args"][-1] = f"127.0.0.1:{port}"
    url = postgresql.url(postgresql.empty_database())
    in_cluster = replace(cluster, secrets={**cluster.secrets, "ztrust-mail-journal": {"url": url}})
    environ = {"ZTRUST_MAIL_JOURNAL": url}
    config = tmp_path / "submitter.toml"
    config.write_text(f'[servers.production]\nurl = "{served.url}"\n', encoding="utf-8")
    login = {"username": "apikey", "password": {"file": "/run/secrets/ztrust-mail/smtp-password"}}
    relay = {"host": "127.0.0.1", "port": served.mail.port, "security": "none", "auth": login}
    work = fleet.OnboardRealms({"acme": {"sender": {"address": "no-reply@acme.example.com"}, "relay": relay}})
    process = in_cluster.launch(image, worker_pod, log)
    try:
        worker = ListeningWorker(process, port, log)
        worker.wait_until(lambda: worker.health() == (200, "ok\n"))
        number = fleet.submit(work, "production", config_path=str(config), environ=environ).number
        worker.wait_until(lambda: fleet.status(number, config_path=str(config), environ=environ).state.is_final)
        request = fleet.status(number, config_path=str(config), environ=environ)
        assert request.state is fleet.RequestState.DONE, request.summary
        assert worker.stop() == 0
    finally:
        process.kill()
        process.wait()
    assert served.smtp("acme")["password"] == RELAY_SECRET
    assert served.mail.wait_for(1)[0].login == "apikey"
    assert RELAY_SECRET not in log.read_text(encoding="utf-8")


def files_of(root: Path) -> set[tuple[Path, float]]:
    folders = [root / name for name in ("opt", "var", "etc", "spec", "tmp", "src")]
    return {(path, path.lstat().st_mtime) for folder in folders for path in folder.rglob("*")}
