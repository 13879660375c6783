"""A saved plan on its way to a worker: its paths are those of the machine that made it, and mean nothing there."""

from dataclasses import replace
from typing import TypeGuard

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.core.text import quoted
from ztrust_mail.model.fields import FieldMap
from ztrust_mail.planning.saved.checks import check_specs
from ztrust_mail.planning.saved.write import SavedPlan
from ztrust_mail.secrets.sources import RUN_SECRETS


def move(saved: SavedPlan) -> SavedPlan:
    """Return the plan as a worker applies it: without spec files, and with secrets in files only within its own reach.

    A plan may name any folder as that of its specs. A worker that compared these would say which files it has, and one
    that read secrets there would send them to the server.
    """
    realms = (
        replace(one, desired=replace(one.desired, fields=_move_files(one.desired.fields))) for one in saved.realms
    )
    return replace(saved, specs={}, folders=(), realms=tuple(realms))


def check_before_move(saved: SavedPlan) -> None:
    """Check a plan on the machine that submits it.

    Raises :class:`UsageError` for a secret in a file that no worker finds, :class:`Unsafe` where the plan is stale as
    its spec files have changed.
    """
    for one in saved.realms:
        for ref in one.desired.fields.values():
            if _is_file(ref) and not ref.argument[0].startswith("/"):
                name = quoted(ref.argument[0])
                message = f"the plan takes a secret of realm {quoted(one.realm)} from the file {name}, which only this"
                hint = f"write where the worker has it, such as file: {RUN_SECRETS}/NAME, and make the plan again"
                raise UsageError(f"{message} machine has", hint, "request-file")
    check_specs(replace(move(saved), specs=saved.specs, folders=saved.folders))


def _move_files(fields: FieldMap) -> FieldMap:
    """Return fields whose references to files start from the folder where workers have secrets."""
    return {name: replace(value, base=RUN_SECRETS) if _is_file(value) else value for name, value in fields.items()}


def _is_file(value: object) -> TypeGuard[SecretRef]:
    return isinstance(value, SecretRef) and value.kind is SecretKind.FILE
