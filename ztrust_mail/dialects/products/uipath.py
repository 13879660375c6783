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
from ztrust_mail.model import fields

_KEY = "Email.Smtp."
_USER, _PORT = f"{_KEY}UserName", f"{_KEY}Port"
_GOOGLE = "smtp.gmail.com"


def _from_is_user(given: fields.FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
    address, user = given.get(fields.SENDER_ADDRESS), given.get(fields.USERNAME)
    if address is not None and user is not None and address != user:
        message = f"`Default From Address` {quoted(address)} is not the SMTP username {quoted(user)}"
        yield Severity.ERROR, fields.SENDER_ADDRESS, message, f"make `sender.address` and `{fields.USERNAME}` the same"


def _google(given: fields.FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
    if given.get(fields.HOST) != _GOOGLE:
        return
    if given.get(fields.PORT) not in (None, 587):
        message = f"Google's relay expects port 587, not {quoted(given[fields.PORT])}"
        yield Severity.WARNING, fields.PORT, message, f"set `{fields.PORT}: 587`"
    if fields.PASSWORD in given:
        message = "Google requires an app password here, not the account's own password"
        yield Severity.NOTE, fields.PASSWORD, message, "create one in the account's security settings"


UIPATH = Dialect(
    name="uipath",
    title="UiPath Orchestrator",
    mask="**********",
    extras=False,
    body_format=BodyFormat.PAIRS,
    page="Settings → Mail",
    rows=(
        Row(fields.ALERTS, ("Enable email alerts",), AnySwitch(), label="Enable email alerts", on_page_only=True),
        Row(
            fields.LOGIN, (f"{_KEY}UseDefaultCredentials",), DefaultCredentials(), reads=(_USER,),
            label="Use default credentials", absent=fields.Login.NONE,
        ),
        Row(
            fields.SECURITY, (f"{_KEY}EnableSsl",), SecurityByPort("true", "false"), reads=(_PORT,),
            label="Enable SSL",
        ),
        Row(fields.HOST, (f"{_KEY}Host",), Text(), label="SMTP Host", mandatory=True),
        Row(fields.PORT, (_PORT,), Port(), label="SMTP Port"),
        Row(fields.USERNAME, (_USER,), Text(), label="SMTP Username"),
        Row(fields.PASSWORD, (f"{_KEY}Password",), HiddenText(), label="SMTP Password"),
        Row(fields.SENDER_ADDRESS, (f"{_KEY}FromEmail",), Text(), label="Default From Address", mandatory=True),
        Row(fields.SENDER_NAME, (f"{_KEY}FromDisplayName",), Text(), label="Default From Display Name"),
        Row(f"extra.{_KEY}Domain", (f"{_KEY}Domain",), Text()),
        Row(f"extra.{_KEY}ConnectionTimeout", (f"{_KEY}ConnectionTimeout",), Text()),
    ),
    constraints=(Constraint("from-is-not-user", _from_is_user), Constraint("google", _google)),
)  # fmt: skip
