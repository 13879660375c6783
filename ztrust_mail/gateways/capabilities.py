"""Which operations a product supports, and the nearest alternative to those it does not, from its capabilities."""

from dataclasses import dataclass
from enum import StrEnum

from ztrust_mail.core.errors import UsageError
from ztrust_mail.gateways.gateway import Capabilities, Gateway


class Operation(StrEnum):
    """An operation that some products do not support, named as on the command line."""

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
    """Whether a product supports an operation. ``remark`` names a restriction, or the nearest alternative."""

    operation: Operation
    is_supported: bool
    remark: str = ""


def describe_operations(can: Capabilities) -> tuple[Support, ...]:
    """Return the support for every operation, in the order in which doctor lists them."""

    def support(operation: Operation, is_supported: bool, alternative: str, *, restriction: str = "") -> Support:
        return Support(operation, is_supported, restriction if is_supported else alternative)

    unseen = "" if can.read else "compared with what was last applied: the server shows no settings"
    unconfirmed = "" if can.read else "not read back: the server's response is the only confirmation"
    last_known = "" if can.read else "to what was applied before, where the journal has it"
    uncanaried = "" if can.test else "with --canary 0: the canary cannot be tested"
    untested = "plan and drift compare what it has stored" if can.read else "history RUN shows what was applied"
    by_hand = "plan shows what to do by hand"
    unstored = "apply, then test REALM" if can.test else untested
    return (
        Support(Operation.PLAN, True, unseen),
        support(Operation.APPLY, can.write, by_hand, restriction=unconfirmed),
        Support(Operation.DRIFT, True, unseen),
        support(Operation.REVERT, can.write, by_hand, restriction=last_known),
        support(Operation.ROTATE, can.write, by_hand, restriction=uncanaried),
        support(Operation.PULL, can.read, "history RUN shows what was applied"),
        support(Operation.TEST, can.test, untested),
        support(Operation.TEST_UNSTORED, can.test_unstored, unstored),
        support(Operation.CANARY, can.test, "--wave SIZE with --stop-after 1; for rotate --canary 0"),
        support(Operation.KEEP, can.keep_secrets, "a write sends the secret itself"),
        support(Operation.GLOBS, can.list_realms, "name each realm in full"),
        support(Operation.UNCOVERED, can.list_realms, "drift of the realms that the spec names"),
        support(Operation.DISABLED, can.clear, "an entry with other settings"),
        support(Operation.SET_UP, can.set_up, "create the account, if one is needed, with the product's own tools"),
    )


def require(gateway: Gateway, operation: Operation) -> None:
    """Raise :class:`UsageError`, naming the nearest alternative, if the product does not support an operation."""
    support = next(one for one in describe_operations(gateway.capabilities) if one.operation is operation)
    if not support.is_supported:
        hint = f"the nearest alternative: {support.remark}"
        raise UsageError(f"{gateway.title} does not support `{operation}`", hint, "not-served")
