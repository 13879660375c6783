"""Writes a plan to a text that can be reviewed and applied later."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Self, cast

from ztrust_mail._version import __version__
from ztrust_mail.core.data import JsonLike, of_json
from ztrust_mail.core.findings import Finding, Severity
from ztrust_mail.core.text import first_and_more, pluralise, shell_word
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.gateways.gateway import Account
from ztrust_mail.journal.records import OF_SAVED_PLAN, JournalState
from ztrust_mail.model.fields import LOGIN, PORT, SECURITY, FieldMap, Masked, field_of
from ztrust_mail.model.serialize import display_value, to_json
from ztrust_mail.model.values import BadValue
from ztrust_mail.planning.compare import Action, Change, ChangeData, Difference, SecretMode, secret_fields
from ztrust_mail.planning.plan import Plan, RealmPlan, Status, of_attributes
from ztrust_mail.planning.saved.validation import parse_settings
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.resolve import Desired, desired_from_journal

SCHEMAS = "urn:ztrust-mail:schema:plan:"
SCHEMA = f"{SCHEMAS}1"


APPLY, REVERT, ROTATE = "apply", "revert", "rotate"
"""What a plan is for. A revert is followed by the number of its run."""

SHOWN_SPECS = 5

NOT_SAVABLE = "not-savable"
"""The rule of an error that a realm's settings cannot be put into a plan file."""


@dataclass(frozen=True)
class PlannedRealm:
    """A realm that the plan writes.

    ``live_digest`` is the digest of its attributes when the plan was made, secrets masked. ``masked`` are the fields
    whose stored secret the server masked, ``changes`` are the changes that the reviewer saw.
    """

    realm: str
    desired: Desired
    live_digest: str
    masked: tuple[str, ...] = ()
    changes: tuple[ChangeData, ...] = ()

    @property
    def rewritten(self) -> frozenset[str]:
        """The masked secrets that the plan lists as changes.

        The file has no fingerprints, so this cannot be decided again without the journal that the plan was made with.
        """
        return self._masked_secrets & {str(change["field"]) for change in self.changes}

    def shows(self, changes: tuple[Change, ...]) -> bool:
        """Tell whether these are the changes that the reviewer saw.

        Masked secrets are ignored: whether they are listed depends on the journal, and any write sends them anyway.
        """
        return self._without_masked(self.changes) == self._without_masked(tuple(change.as_dict() for change in changes))

    @property
    def _masked_secrets(self) -> frozenset[str]:
        return frozenset(self.masked) & secret_fields(self.desired.fields).keys()

    @property
    def as_planned(self) -> RealmPlan:
        """The realm's part of the plan, with the changes that the file lists."""
        changes = tuple(_listed_change(one, self.desired.fields) for one in self.changes)
        masked = tuple(name for name in self.masked if name in self._masked_secrets)
        return RealmPlan(self.realm, Status.CHANGED, self.desired, difference=Difference(changes, masked))

    def _without_masked(self, changes: tuple[ChangeData, ...]) -> list[ChangeData]:
        return [change for change in changes if change["field"] not in self._masked_secrets]


def _listed_change(data: ChangeData, wanted: FieldMap) -> Change:
    """Return a change listed in a file. Its values are texts, except for secrets and the desired value."""
    name, before, after = str(data["field"]), data["before"], data["after"]
    now = Masked() if before == display_value(Masked()) and field_of(name).secret else before
    then = wanted[name] if name in wanted and display_value(wanted[name]) == after else after
    attributes = tuple(cast("list[str]", data["attributes"]))
    return Change(name, attributes, cast("str", now), cast("str", then), Action(str(data["action"])))


@dataclass(frozen=True)
class LeftOut:
    """A realm of the spec that could not be planned; ``why`` and ``hint`` are the error's message and hint."""

    realm: str
    status: Status
    rule: str
    why: str
    hint: str = ""

    @property
    def finding(self) -> Finding:
        """The error to report when the plan is applied."""
        return Finding(Severity.ERROR, self.rule, f"not in the plan: {self.why}", self.hint, realm=self.realm)

    @property
    def as_planned(self) -> RealmPlan:
        """The realm's part of the plan that is made from the file."""
        return RealmPlan(self.realm, self.status, desired_from_journal(self.realm, {}), findings=(self.finding,))


@dataclass(frozen=True)
class SavedPlan:
    """A plan read from a file. ``digest`` is compared with ``--expect-digest``.

    ``specs`` holds the digest of each spec file by path, ``folders`` the folders that were read for spec files.
    ``in_sync`` counts the realms that need no change. ``expected`` is True if the user gave the plan's digest.
    ``path`` is the file that it was read from, ``command`` what the plan is for, such as ``revert 7``.
    ``filled`` are the placeholders that were filled in from the server or from options.
    """

    url: str
    account: Account
    secrets: SecretMode
    realms: tuple[PlannedRealm, ...]
    digest: str
    created: str
    tool_version: str
    specs: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    uncovered: tuple[str, ...] = ()
    in_sync: int = 0
    expected: bool = False
    path: str = field(default="FILE", compare=False)
    filled: Mapping[str, str] = field(default_factory=dict)
    command: str = APPLY

    def within(self, memory: JournalState) -> JournalState:
        """Return the journal's state, marked with the secrets that the plan replaces."""
        return replace(memory, rewritten={one.realm: one.rewritten for one in self.realms})

    def only(self, realms: Collection[str]) -> Self:
        """Return the plan limited to some of its realms; the others count as in sync."""
        chosen = tuple(one for one in self.realms if one.realm in realms)
        return replace(self, realms=chosen, in_sync=self.in_sync + len(self.realms) - len(chosen))

    @property
    def renewal(self) -> str:
        """The hint of a refusal: how to make a plan of the same kind again."""
        makers = {APPLY: "plan SPEC...", ROTATE: "rotate REFERENCE SPEC..."}
        return f"make a new plan and review it: ztrust-mail {makers.get(self.command, self.command)} --out FILE"

    @property
    def applying(self) -> str:
        """The command of a run that applies this plan, as the journal has it."""
        return OF_SAVED_PLAN if self.command == APPLY else f"{OF_SAVED_PLAN} ({self.command})"

    @property
    def as_plan(self) -> Plan:
        """The plan as its file describes it, compared with nothing: to be shown, not to be applied."""
        left_out = (one.as_planned for one in self.left_out)
        realms = (*(one.as_planned for one in self.realms), *left_out)
        return Plan(
            self.url,
            self.account,
            realms,
            self.secrets,
            uncovered=self.uncovered,
            unnamed=self.in_sync,
            command=self.command,
            intro=tuple(self._intro()),
        )

    def _intro(self) -> Iterator[str]:
        maker = f" by {self.command}" if self.command != APPLY else ""
        yield f"Plan made{maker} at {self.created}, with ztrust-mail {self.tool_version}"
        if self.specs:
            yield f"Made of {first_and_more(list(self.specs), SHOWN_SPECS)}"
        if self.filled:
            yield f"Filled in: {', '.join(f'{name}={text}' for name, text in self.filled.items())}"
        yield f"Digest {self.digest}"
        if self.in_sync:
            yield f"{pluralise(self.in_sync, 'realm')} needed no change."

    @property
    def issuer(self) -> str:
        """The issuer URL of the login realm; empty if the token did not contain it."""
        return self.account.issuer


_PLANNED = (Status.CHANGED, Status.IN_SYNC)
_TOO_FEW = "its glob matched too few realms"


def fit_to_file(plan: Plan, dialect: Dialect) -> Plan:
    """Return a plan in a form that a file can hold: unchanged, unless it is a revert.

    Before a run a realm may have had settings that no spec can have. Absent port, security and login are replaced by
    the server's defaults; a realm with other such settings fails.
    """
    if not plan.command.startswith(REVERT):
        return plan
    return replace(plan, realms=tuple(_fit_realm(realm, dialect, plan.command) for realm in plan.realms))


def _fit_realm(realm: RealmPlan, dialect: Dialect, command: str) -> RealmPlan:
    if realm.status is not Status.CHANGED or realm.wanted.disabled:
        return realm
    implied = {name: dialect.effective_value(name, None) for name in (PORT, SECURITY, LOGIN)}
    fields = {**{name: value for name, value in implied.items() if value is not None}, **realm.wanted.fields}
    try:
        parse_settings(to_json(fields))
    except BadValue as bad:
        message = f"a plan file cannot hold the settings from before the run: {bad.problem}"
        hint = f"revert this realm without --out: ztrust-mail {command} --realm {shell_word(realm.realm)}"
        finding = Finding(Severity.ERROR, NOT_SAVABLE, message, hint, realm=realm.realm)
        return replace(realm, status=Status.FAILED, difference=Difference(), findings=(*realm.findings, finding))
    return replace(realm, wanted=replace(realm.wanted, fields=fields))


def to_text(plan: Plan, spec: Spec | None, *, dialect: Dialect, issuer: str, created: str) -> str:
    """Return the plan as JSON in ASCII that matches ``schemas/plan.schema.json``.

    A revert has no spec. ``created`` is the time in UTC, such as ``2026-01-31T12:00:00Z``. The text has the resolved
    desired settings of each changed realm, with references instead of secrets. Of the live settings it has the changes
    and a digest of the masked attributes. Realms in sync are counted; realms that could not be planned are listed with
    the reason.
    """
    plan = fit_to_file(plan, dialect)
    content: dict[str, JsonLike] = {
        "schema": SCHEMA,
        "tool_version": __version__,
        "created": created,
        **({"command": plan.command} if plan.command != APPLY else {}),
        "server": {"url": plan.url, "issuer": issuer},
        "account": {"name": plan.account.name, "realm": plan.account.realm},
        "secrets": plan.secrets.value,
        "spec": [{"path": path, "digest": digest} for path, digest in spec.digests.items()] if spec else [],
        "folders": list(spec.folders) if spec else [],
        **({"filled": dict(spec.filled)} if spec and spec.filled else {}),
        "realms": [_realm(realm, dialect) for realm in plan.changed],
        "in_sync": sum(realm.status is Status.IN_SYNC for realm in plan.realms),
        "uncovered": list(plan.uncovered),
        "left_out": [_left_out(realm) for realm in plan.realms if realm.status not in _PLANNED],
    }
    return json.dumps({**content, "digest": of_json(content)}, indent=2, ensure_ascii=True) + "\n"


def digest_of(text: str) -> str:
    """Return the digest in the text of a plan, for ``--expect-digest``."""
    return str(json.loads(text)["digest"])


def _realm(realm: RealmPlan, dialect: Dialect) -> Mapping[str, JsonLike]:
    assert realm.live is not None  # a changed realm was read
    masked = {change.field for change in realm.changes if isinstance(change.before, Masked)}
    return {
        "realm": realm.realm,
        "entry": realm.wanted.entry.name,
        "disabled": realm.wanted.disabled,
        "settings": to_json(realm.wanted.fields),
        "live_digest": of_attributes(dialect.mask_secrets(realm.live.attributes)),
        "hidden": sorted({*realm.difference.masked_fields, *masked}),
        "needs_mail": list(realm.live.needs_mail),
        "changes": [change.as_dict() for change in realm.changes],
    }


def _left_out(realm: RealmPlan) -> Mapping[str, JsonLike]:
    said = next((f for f in realm.findings if f.severity is Severity.ERROR), None)
    return {
        "realm": realm.realm,
        "status": realm.status.value,
        "rule": said.rule if said else "left-out",
        "why": said.message if said else _TOO_FEW,
        "hint": said.hint if said else "",
    }
