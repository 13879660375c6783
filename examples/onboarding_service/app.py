"""A service that gives a new tenant its e-mail settings: ``PUT /tenants/acme``. README.md says how to run it."""

import os
import re
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ztrust_mail import (
    DefaultsDict,
    EntryDict,
    MailTestFailed,
    RealmMissing,
    SecretError,
    ServerError,
    SpecError,
    Unsafe,
    UsageError,
    ZtrustMailError,
    aio,
)

DEFAULTS: DefaultsDict = {
    "relay": {"host": "smtp.example.com", "auth": {"username": "apikey", "password": {"env": "SMTP_PASSWORD"}}},
    "sender": {"address": "no-reply@{realm.slug}.example.com"},
}
TENANT = re.compile(r"(?!master$)[a-z0-9][a-z0-9-]{0,62}")
"""The names of tenants. The realm ``master`` belongs to the administrators, whatever a request asks for."""

STATUSES: Mapping[type[ZtrustMailError], int] = {
    SpecError: 422,
    UsageError: 422,
    Unsafe: 409,
    RealmMissing: 503,  # it may be created any moment: ask again
    ServerError: 503,
    SecretError: 500,
    MailTestFailed: 502,
}


class Tenant(BaseModel):
    """What a tenant may choose."""

    sender_name: str
    reply_to: str | None = None


class Onboarded(BaseModel):
    """What was done. A repeated request writes nothing, and tests again."""

    realm: str
    written: bool
    tested: bool


def create_app(environ: Mapping[str, str] = os.environ, defaults: DefaultsDict = DEFAULTS) -> FastAPI:
    """Return the service. ``environ`` holds the server's URL, the login and the relay's password."""
    app = FastAPI(title="Tenant onboarding")

    @app.put("/tenants/{realm}")
    async def onboard(realm: str, tenant: Tenant) -> Onboarded:
        if not TENANT.fullmatch(realm):
            raise UsageError("this is not the name of a tenant", "use a to z, digits and hyphens, and not master")
        # a brace would begin a placeholder
        entry: EntryDict = {"sender": {"name": tenant.sender_name.replace("{", "{{").replace("}", "}}")}}
        if tenant.reply_to:
            entry["reply_to"] = {"address": tenant.reply_to}
        done = await aio.ensure(
            environ["ZTRUST_MAIL_URL"],
            {realm: entry},
            defaults=defaults,
            environ=environ,
            test="always",  # an earlier request may have written the settings and failed in the test
            wait_for_realm=10.0,
        )
        return Onboarded(realm=realm, written=realm in done.written, tested=realm in done.tested)

    @app.exception_handler(ZtrustMailError)
    async def report(request: Request, error: Exception) -> JSONResponse:
        status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)
        hint = error.hint if isinstance(error, ZtrustMailError) else ""
        return JSONResponse({"error": str(error), "hint": hint}, status)

    return app
