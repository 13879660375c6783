"""What a saved plan holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from ztrust_mail.findings import Finding, Severity
from ztrust_mail.gateways.base import Account
from ztrust_mail.spec.resolve import Desired
from ztrust_mail.sync.compare import Change, SecretMode, Told, secret_fields, told
from ztrust_mail.sync.hidden import Memory
from ztrust_mail.sync.plan import RealmPlan, Status
from ztrust_mail.sync.resume import as_wanted

SCHEMAS = "urn:ztrust-mail:schema:plan:"
SCHEMA = f"{SCHEMAS}1"


@dataclass(frozen=True)
class PlannedRealm:
    """A realm that the plan writes.

    ``live_digest`` is that of the attributes it had, secrets masked. ``hidden`` are the fields whose secret the server
    held and did not show, ``changes`` is what the reviewer was shown.
    """

    realm: str
    desired: Desired
    live_digest: str
    hidden: tuple[str, ...] = ()
    changes: tuple[Told, ...] = ()

    @property
    def rewritten(self) -> frozenset[str]:
        """The hidden secrets that the plan replaces because they were known to differ, or on demand.

        The file has no fingerprints: without the journal that the plan was made with, this cannot be found out anew.
        """
        return self._up_to_the_journal & {str(change["field"]) for change in self.changes}

    def shows(self, changes: tuple[Change, ...]) -> bool:
        """Tell whether these are the changes that the reviewer was shown.

        Whether a hidden secret is listed depends on the journal at hand; it is written with all else in any case.
        """
        return self._certain(self.changes) == self._certain(tuple(told(change) for change in changes))

    @property
    def _up_to_the_journal(self) -> frozenset[str]:
        return frozenset(self.hidden) & secret_fields(self.desired.fields).keys()

    def _certain(self, changes: tuple[Told, ...]) -> list[Told]:
        return [change for change in changes if change["field"] not in self._up_to_the_journal]


@dataclass(frozen=True)
class LeftOut:
    """A realm of the spec that could not be planned; ``why`` and ``hint`` are what was said of it then."""

    realm: str
    status: Status
    rule: str
    why: str
    hint: str = ""

    @property
    def finding(self) -> Finding:
        """What to tell of it again: it is as undone as it was."""
        return Finding(Severity.ERROR, self.rule, f"not in the plan: {self.why}", self.hint, realm=self.realm)

    @property
    def as_planned(self) -> RealmPlan:
        """The realm among those of the plan made anew."""
        return RealmPlan(self.realm, self.status, as_wanted(self.realm, {}), findings=(self.finding,))


@dataclass(frozen=True)
class SavedPlan:
    """A plan read from a file. ``digest`` is what ``--expect-digest`` is compared with.

    ``specs`` tells of each path of the spec which digest its bytes had, ``folders`` in which folders no other was.
    ``in_sync`` counts the realms that need nothing. ``expected`` says that somebody vouches for the plan: its digest
    was given from elsewhere. ``path`` is the file that it was read from.
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

    def within(self, memory: Memory) -> Memory:
        """Return the memory with the secrets that the plan replaces as ones that will be written."""
        return replace(memory, rewritten={one.realm: one.rewritten for one in self.realms})

    def only(self, realms: Collection[str]) -> Self:
        """Return the plan for some of its realms; the others count as done."""
        chosen = tuple(one for one in self.realms if one.realm in realms)
        return replace(self, realms=chosen, in_sync=self.in_sync + len(self.realms) - len(chosen))

    @property
    def issuer(self) -> str:
        """What the server called the account's realm; empty where its token did not say."""
        return self.account.issuer
