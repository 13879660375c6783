"""Writes Kubernetes jobs that make the same probes next to the server, where its network and its names are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.text import printable, quoted
from ztrust_mail.model.fields import Login
from ztrust_mail.probing.options import AddressFamily, ProbeOptions
from ztrust_mail.probing.outcome import Stage
from ztrust_mail.probing.relay import Relay

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_IMAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,511}")
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")

PASSWORD = "SMTP_PASSWORD"
"""The variable of the job that has the password."""

_USER = 10_001


@dataclass(frozen=True)
class JobPlace:
    """The place of a job: the server's ``namespace`` and ``service_account``, empty for those of the caller.

    ``secret`` is NAME/KEY of the Kubernetes secret with the relay's password, empty to skip the login. Raises
    :class:`UsageError` for names that Kubernetes does not accept.
    """

    image: str = "ztrust-mail"
    namespace: str = ""
    service_account: str = ""
    secret: str = ""

    def __post_init__(self) -> None:
        for what, name in (("namespace", self.namespace), ("service account", self.service_account)):
            if name and not _NAME.fullmatch(name):
                raise UsageError(f"{quoted(name)} cannot be a {what}", "write lower-case letters, digits and hyphens")
        if not _IMAGE.fullmatch(self.image):
            raise UsageError(f"{quoted(self.image)} cannot be an image", "write it as registry.example/ztrust-mail:TAG")
        name, slash, key = self.secret.partition("/")
        if self.secret and not (slash and _NAME.fullmatch(name) and _KEY.fullmatch(key)):
            raise UsageError("--secret is no name of a secret and its key", "write NAME/KEY, such as smtp/password")


def write_jobs(senders: Mapping[Relay, Sequence[str]], options: ProbeOptions, place: JobPlace) -> str:
    """Return one job for each relay, as YAML documents. They have no secret, only the name of one."""
    jobs = [_write_job(number, relay, own, options, place) for number, (relay, own) in enumerate(senders.items(), 1)]
    return "---\n".join(jobs)


def _write_job(number: int, relay: Relay, senders: Sequence[str], options: ProbeOptions, place: JobPlace) -> str:
    name = f"ztrust-mail-probe-{number}"
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **({"namespace": place.namespace} if place.namespace else {})},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(options.deadline) + 60,
            "ttlSecondsAfterFinished": 3_600,
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "ztrust-mail-probe"}},
                "spec": _pod(relay, senders, options, place),
            },
        },
    }
    return "".join([*_comments(name, relay, options, place), yaml.safe_dump(job, sort_keys=False, allow_unicode=False)])


def _comments(name: str, relay: Relay, options: ProbeOptions, place: JobPlace) -> Iterator[str]:
    space = f" -n {place.namespace}" if place.namespace else ""
    yield f"# Probes {printable(str(relay))} next to the server. Save as probe.yaml, then:\n"
    yield f"#   kubectl apply{space} -f probe.yaml\n"
    yield f"#   kubectl logs{space} --follow --pod-running-timeout=1m job/{name}\n"
    yield "# NetworkPolicies that select the server's pods by their labels do not select this one.\n"
    if relay.login is Login.TOKEN:
        yield "# The token login is not tested.\n"
    elif relay.login is Login.BASIC and not place.secret:
        yield "# The login is not tested: --secret NAME/KEY names the Kubernetes secret with the password.\n"
    if options.ca_bundle:
        yield "# --ca-bundle is left out: it names a file of this machine. Mount it, and add it to the arguments.\n"


def _pod(relay: Relay, senders: Sequence[str], options: ProbeOptions, place: JobPlace) -> dict[str, object]:
    name, _, key = place.secret.partition("/")
    password = {"name": PASSWORD, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}
    return {
        "restartPolicy": "Never",
        **({"serviceAccountName": place.service_account} if place.service_account else {}),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "probe",
                "image": place.image,
                "command": ["ztrust-mail"],
                "args": list(_arguments(relay, senders, options, has_secret=_logs_in(relay, place))),
                **({"env": [password]} if _logs_in(relay, place) else {}),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            }
        ],
    }


def _logs_in(relay: Relay, place: JobPlace) -> bool:
    return relay.login is Login.BASIC and bool(place.secret)


def _arguments(relay: Relay, senders: Sequence[str], options: ProbeOptions, *, has_secret: bool) -> Iterator[str]:
    """Yield the command line of the same probe of one relay."""
    given = {
        "--relay": relay.address,
        "--security": relay.security.value,
        "--username": relay.username if has_secret else "",
        "--password": f"env:{PASSWORD}" if has_secret else "",
        "--from": options.sender or next(iter(senders), ""),
        "--to": options.to,
        "--until": "" if options.until is Stage.QUIT else options.until.value,
        "--ehlo-name": options.ehlo_name,
        "--deadline": f"{options.deadline:g}s",
    }
    yield "probe"
    for name, value in given.items():
        if value:
            # One word, since a value may start with a hyphen. Kubernetes expands $(NAME), which could name the secret.
            yield f"{name}={value}".replace("$(", "$$(")
    if options.family is not AddressFamily.ANY:
        yield f"--{options.family.value}"
    yield from ["--allow-clear-login"] if options.allow_clear_login and has_secret else []
    yield from ["--send"] if options.send else []
    yield "--verbose"
