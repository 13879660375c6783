"""UiPath Orchestrator: Settings → Mail, with the keys of the Identity Server's settings API. All values are text.

The keys are from the vendor's documentation of that API. The domain and the time-out are not on the page, and the
switch for e-mail alerts has no documented key.
"""

from collections.abc import Iterator

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import quoted
from ztrust_mail.dialects.codecs import AnySwitch, DefaultCredentials, HiddenText, Port, SecurityByPort, Text
from ztrust_mail.dialects.dialect import BodyFormat, Dialect
from ztrust_mail.dialects.row import Constraint, Row
from ztrust_mail.model.fields import (
    ALERTS,
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    SECURITY,
    SENDER_ADDRESS,
    SENDER_NAME,
    USERNAME,
    FieldMap,
    Login,
)

_KEY = "Email.Smtp."
_USER, _PORT = f"{_KEY}UserName", f"{_KEY}Port"
_GOOGLE = "smtp.gmail.com"


def _from_is_user(fields: FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
    address, user = fields.get(SENDER_ADDRESS), fields.get(USERNAME)
    if address is not None and user is not None and address != user:
        message = f"`Default From Address` {quoted(address)} is not the SMTP username {quoted(user)}"
        yield Severity.ERROR, SENDER_ADDRESS, message, f"make `sender.address` and `{USERNAME}` the same"


def _google(fields: FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
    if fields.get(HOST) != _GOOGLE:
        return
    if fields.get(PORT) not in (None, 587):
        message = f"Google's relay expects port 587, not {quoted(fields[PORT])}"
        yield Severity.WARNING, PORT, message, f"set `{PORT}: 587`"
    if PASSWORD in fields:
        message = "Google requires an app password here, not the account's own password"
        yield Severity.NOTE, PASSWORD, message, "create one in the account's security settings"


UIPATH = Dialect(
    name="uipath",
    title="UiPath Orchestrator",
    mask="**********",
    extras=False,
    body_format=BodyFormat.PAIRS,
    page="Settings → Mail",
    rows=(
        Row(ALERTS, ("Enable email alerts",), AnySwitch(), label="Enable email alerts", on_page_only=True),
        Row(
            LOGIN, (f"{_KEY}UseDefaultCredentials",), DefaultCredentials(), reads=(_USER,),
            label="Use default credentials", absent=Login.NONE,
        ),
        Row(
            SECURITY, (f"{_KEY}EnableSsl",), SecurityByPort("true", "false"), reads=(_PORT,),
            label="Enable SSL",
        ),
        Row(HOST, (f"{_KEY}Host",), Text(), label="SMTP Host", mandatory=True),
        Row(PORT, (_PORT,), Port(), label="SMTP Port"),
        Row(USERNAME, (_USER,), Text(), label="SMTP Username"),
        Row(PASSWORD, (f"{_KEY}Password",), HiddenText(), label="SMTP Password"),
        Row(SENDER_ADDRESS, (f"{_KEY}FromEmail",), Text(), label="Default From Address", mandatory=True),
        Row(SENDER_NAME, (f"{_KEY}FromDisplayName",), Text(), label="Default From Display Name"),
        Row(f"extra.{_KEY}Domain", (f"{_KEY}Domain",), Text()),
        Row(f"extra.{_KEY}ConnectionTimeout", (f"{_KEY}ConnectionTimeout",), Text()),
    ),
    constraints=(Constraint("from-is-not-user", _from_is_user), Constraint("google", _google)),
)  # fmt: skip
