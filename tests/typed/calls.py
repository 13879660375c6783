"""Calls for a type checker: right ones, and wrong ones that it has to find. Nothing runs them.

``mypy`` fails where an ``ignore`` is not needed, so this file shows that each mistake is found.
"""

from __future__ import annotations

import ztrust_mail
from ztrust_mail import aio


def call_rightly(session: ztrust_mail.Session) -> ztrust_mail.Ensured:
    """Use the typed dicts, the login and the results as documented."""
    relay: ztrust_mail.EntryDict = {"relay": {"host": "smtp.example.com", "port": 587, "auth": False}}
    spec = ztrust_mail.load_spec({"version": 1, "realms": {"acme": relay}})
    plan: ztrust_mail.Plan = ztrust_mail.plan(spec, session)
    plan.raise_for_status()
    ztrust_mail.apply(plan, session, allow=["all"], waves=ztrust_mail.Waves(canary="acme")).raise_for_status()
    with ztrust_mail.connect("https://id.example", username="admin", password="x", secrets={"A": "b"}) as other:
        return ztrust_mail.ensure(other, {"acme": relay}, test="always", wait_for_realm=5.0)


async def call_rightly_on_a_loop() -> ztrust_mail.Ensured:
    """Do the same on an event loop."""
    async with aio.connect("https://id.example", token="x") as session:
        (await aio.probe(session, ["acme"], options=ztrust_mail.ProbeOptions(deadline=5.0))).raise_for_status()
        (await aio.plan(await aio.load_spec("mail.yaml"), session)).raise_for_status()
        return await aio.ensure(session, {"acme": {}}, allow=["all"])


def call_wrongly(session: ztrust_mail.Session, plan: ztrust_mail.Plan) -> None:
    """Make the mistakes that a type checker finds."""
    ztrust_mail.ensure("x", {"acme": {"sender": {"adress": "a"}}})  # type: ignore[typeddict-unknown-key]
    ztrust_mail.ensure("x", {"acme": {"relay": {"port": "587"}}})  # type: ignore[typeddict-item]
    ztrust_mail.ensure("x", {}, alow=["all"])  # type: ignore[call-arg]
    ztrust_mail.load_spec({"version": 1, "realm": {}})  # type: ignore[arg-type]
    ztrust_mail.ProbeOptions(untill=ztrust_mail.Stage.EHLO)  # type: ignore[call-arg]
    ztrust_mail.probe(relay="smtp.example.com:587")  # type: ignore[arg-type]
    ztrust_mail.connect("x", pasword="x")  # type: ignore[call-arg]
    ztrust_mail.apply(plan, session, alow=["all"])  # type: ignore[call-arg]
