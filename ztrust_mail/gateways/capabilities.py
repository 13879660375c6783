"""What can be done with the product at hand, and the nearest thing where it cannot: made from its capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ztrust_mail.core.errors import UsageError
from ztrust_mail.gateways.gateway import Capabilities, Gateway


class Operation(StrEnum):
    """What a product can serve or not, by the words in which people ask for it."""

    PLAN = "plan"
    APPLY = "apply"
    DRIFT = "drift"
    REVERT = "revert"
    ROTATE = "rotate"
    PULL = "pull"
    TEST = "test"
    TEST_UNSTORED = "test --spec"
    CANARY = "--canary"
    KEEP = "--secrets keep"
    GLOBS = "globs"
    UNCOVERED = "drift --uncovered fail"
    DISABLED = "disabled: true"
    SET_UP = "doctor --setup-commands"


@dataclass(frozen=True)
class Support:
    """Whether a product serves a verb. ``remark`` says how, where not as usual, or else what comes nearest."""

    verb: Operation
    able: bool
    remark: str = ""


def describe_operations(can: Capabilities) -> tuple[Support, ...]:
    """Return what can be done with a product, in the order in which people meet it."""
    unseen = "" if can.read else "compared with what was last applied: nothing shows what the server holds"
    untested = "plan and drift compare what it holds" if can.read else "history RUN tells what was applied"
    by_hand = _unless(can.write, "plan tells what to do by hand")
    return (
        Support(Operation.PLAN, True, unseen),
        Support(Operation.APPLY, can.write, by_hand or _unless(can.read, "not read back: its answer is all there is")),
        Support(Operation.DRIFT, True, unseen),
        Support(
            Operation.REVERT, can.write, by_hand or _unless(can.read, "to what was applied before, where it is known")
        ),
        Support(Operation.ROTATE, can.write, by_hand or _unless(can.test, "with --canary 0: nothing tests a canary")),
        Support(Operation.PULL, can.read, _unless(can.read, "history RUN tells what was applied")),
        Support(Operation.TEST, can.test, _unless(can.test, untested)),
        Support(
            Operation.TEST_UNSTORED,
            can.test_unstored,
            _unless(can.test_unstored, "apply, then test REALM" if can.test else untested),
        ),
        Support(
            Operation.CANARY, can.test, _unless(can.test, "--wave SIZE with --stop-after 1; for rotate --canary 0")
        ),
        Support(Operation.KEEP, can.keep_secrets, _unless(can.keep_secrets, "a write sends the secret itself")),
        Support(Operation.GLOBS, can.list_realms, _unless(can.list_realms, "name each realm in full")),
        Support(
            Operation.UNCOVERED, can.list_realms, _unless(can.list_realms, "drift of the realms that the spec names")
        ),
        Support(Operation.DISABLED, can.clear, _unless(can.clear, "an entry with other settings")),
        Support(
            Operation.SET_UP,
            can.set_up,
            _unless(can.set_up, "make the account, where one is needed, by the product's own means"),
        ),
    )


def _unless(able: bool, remark: str) -> str:
    return "" if able else remark


def require(gateway: Gateway, verb: Operation) -> None:
    """Raise :class:`UsageError`, naming the nearest thing, where the product cannot serve a verb."""
    ability = next(one for one in describe_operations(gateway.capabilities) if one.verb is verb)
    if not ability.able:
        raise UsageError(f"{gateway.title} cannot serve `{verb}`", f"the nearest: {ability.remark}", "not-served")
