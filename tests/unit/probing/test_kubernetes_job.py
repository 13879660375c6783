"""Jobs that make a probe next to the server: valid, without secrets, and the same probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from support.cli import Cli
from support.relays import OddRelays, answering
from support.smtp import PASSWORD, USER

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.kubernetes_job import JobPlace, write_jobs
from ztrust_mail.probing.options import ProbeOptions
from ztrust_mail.probing.outcome import Stage
from ztrust_mail.probing.relay import Relay

REFERENCE = SecretRef(SecretKind.ENV, ("RELAY_PASSWORD",))
LOGIN = Relay("smtp.acme.example", 587, Security.STARTTLS, Login.BASIC, "apikey", REFERENCE)
ACCEPTED = {"EHLO": b"250-odd\r\n250 AUTH PLAIN\r\n", "AUTH": b"235 2.7.0 ok\r\n"}


def written(relay: Relay, place: JobPlace, **options: object) -> Mapping[str, Any]:
    how = ProbeOptions(**options)  # type: ignore[arg-type]  # the tests' own values
    (job,) = yaml.safe_load_all(write_jobs({relay: ["no-reply@acme.example"]}, how, place))
    found: Mapping[str, Any] = job
    return found


def container_of(job: Mapping[str, Any]) -> Mapping[str, Any]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    found: Mapping[str, Any] = container
    return found


def command_of(container: Mapping[str, Any]) -> list[str]:
    """Return the command line as Kubernetes gives it to the container."""
    return [one.replace("$$(", "$(") for one in [*container["command"], *container["args"]]]


def test_a_job_names_the_secret_and_never_holds_its_value() -> None:
    job = written(LOGIN, JobPlace("registry.example/ztrust-mail:1", "identity", "keycloak", "smtp/password"))
    pod, container = job["spec"]["template"]["spec"], container_of(job)
    assert (job["kind"], job["metadata"]["namespace"]) == ("Job", "identity")
    assert (pod["serviceAccountName"], container["image"]) == ("keycloak", "registry.example/ztrust-mail:1")
    key = {"name": "smtp", "key": "password"}
    assert container["env"] == [{"name": "SMTP_PASSWORD", "valueFrom": {"secretKeyRef": key}}]
    assert "--password=env:SMTP_PASSWORD" in container["args"]


def test_a_pod_is_as_restricted_as_the_restricted_standard_of_kubernetes_demands() -> None:
    job = written(LOGIN, JobPlace())
    pod, container = job["spec"]["template"]["spec"], container_of(job)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never")


def test_the_command_of_a_job_makes_the_same_probe(cli: Cli, odd_relays: OddRelays) -> None:
    relay = odd_relays(answering(ACCEPTED))
    given = Relay("127.0.0.1", relay.port, Security.NONE, Login.BASIC, USER, REFERENCE)
    place = JobPlace(secret="smtp/password")
    job = written(given, place, to="ann@acme.example", ehlo_name="pod.acme.example", allow_clear_login=True)
    command = command_of(container_of(job))
    assert command[0] == "ztrust-mail"
    cli.monkeypatch.setenv("SMTP_PASSWORD", PASSWORD)
    found = cli.json(*command[1:])
    (one,) = found["relays"]
    statuses = {stage["stage"]: stage["status"] for stage in one["stages"]}
    assert {statuses[name] for name in ("login", "mail-from", "rcpt-to")} == {"ok"}
    assert {"mark": "->", "text": "ehlo pod.acme.example"} in one["transcript"]
    assert one["senders"][0]["address"] == "no-reply@acme.example"


def test_the_options_of_the_probe_are_those_of_the_job() -> None:
    arguments = container_of(written(LOGIN, JobPlace(), until=Stage.STARTTLS, deadline=30))["args"]
    assert arguments == [
        "probe",
        "--relay=smtp.acme.example:587",
        "--security=starttls",
        "--from=no-reply@acme.example",
        "--until=starttls",
        "--deadline=30s",
        "--verbose",
    ]


def test_a_user_name_that_looks_like_a_variable_is_not_expanded_and_breaks_no_comment() -> None:
    name = "$(SMTP_PASSWORD)\nevil: true\n"
    relay = Relay("smtp.acme.example", 587, Security.STARTTLS, Login.BASIC, name, REFERENCE)
    text = write_jobs({relay: []}, ProbeOptions(), JobPlace(secret="smtp/password"))
    job = yaml.safe_load(text)
    assert "evil" not in job
    assert f"--username={name}" in command_of(container_of(job))
    assert "--username=$(SMTP" not in text


@pytest.mark.parametrize(
    "given",
    [
        {"namespace": "Über"},
        {"service_account": "a b"},
        {"image": "x: {y}"},
        {"secret": "smtp"},
        {"secret": "smtp/pass word"},
    ],
)
def test_names_that_kubernetes_does_not_take_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        JobPlace(**given)


SPEC = """\
version: 1
defaults: {relay: {host: smtp.acme.example, auth: {username: u, password: {env: RELAY_PASSWORD}}}}
realms:
  acme: {sender: {address: a@acme.example}}
  globex: {sender: {address: b@acme.example}}
  other: {sender: {address: c@acme.example}, relay: {host: mail.other.example}}
"""


def test_a_spec_gives_one_job_for_each_relay_and_resolves_no_secret(cli: Cli) -> None:
    cli.write("mail.yaml", SPEC)
    ran = cli("probe", "--spec", "mail.yaml", "--as", "kubernetes-job", "--secret", "smtp/password")
    assert (ran.status, ran.err) == (0, "")
    jobs = [*yaml.safe_load_all(ran.out)]
    assert [job["metadata"]["name"] for job in jobs] == ["ztrust-mail-probe-1", "ztrust-mail-probe-2"]
    assert ["env" in container_of(job) for job in jobs] == [True, False]


def test_options_of_a_job_without_a_job_are_refused(cli: Cli) -> None:
    ran = cli("probe", "--relay", "smtp.acme.example:25", "--namespace", "identity")
    assert ran.status == 2
    assert "--as kubernetes-job" in ran.err
