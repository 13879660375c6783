"""OneAccess (Huawei Cloud): a form; its labels are the names of the attributes."""

from collections.abc import Iterator

from ztrust_mail.core.findings import Severity
from ztrust_mail.dialects.codecs import (
    AddressAsAccount,
    FixedValue,
    HiddenText,
    LoginIfGiven,
    Port,
    SecurityByPort,
    Text,
)
from ztrust_mail.dialects.dialect import BodyFormat, Dialect
from ztrust_mail.dialects.row import Constraint, Row, no_clear_text
from ztrust_mail.model import fields

_ADDRESS, _PORT, _CODE = "Email Address", "SMTP Port", "Authorization Code"
_SWITCH = "enable switch"
_DEFAULT_PORT = 465


def _no_ssl(given: fields.FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
    security = given.get(fields.SECURITY)
    if isinstance(security, fields.Raw) and security.text.casefold() == "ssl":
        message = "`Security type` is SSL, which is outdated"
        yield Severity.WARNING, fields.SECURITY, message, "choose TLS"


ONEACCESS = Dialect(
    name="oneaccess",
    title="OneAccess",
    mask="**********",
    extras=False,
    body_format=BodyFormat.FORM,
    page="Settings → Enterprise Settings → Email Gateway",
    disabled_attributes={_SWITCH: "off"},
    rows=(
        Row(f"extra.{_SWITCH}", (_SWITCH,), FixedValue("on"), label=_SWITCH),
        Row(fields.HOST, ("SMTP HOST",), Text(), label="SMTP HOST", mandatory=True),
        Row(fields.PORT, (_PORT,), Port(), label=_PORT, mandatory=True, default=_DEFAULT_PORT),
        Row(fields.SENDER_ADDRESS, (_ADDRESS,), Text(), label=_ADDRESS, mandatory=True),
        Row(fields.USERNAME, (), AddressAsAccount(), reads=(_ADDRESS, _CODE), label=_ADDRESS),
        Row(fields.SENDER_NAME, ("Sender Name",), Text(), label="Sender Name", mandatory=True),
        Row(fields.LOGIN, (), LoginIfGiven(), reads=(_CODE,), label=_CODE, absent=fields.Login.NONE),
        Row(fields.PASSWORD, (_CODE,), HiddenText(), label=_CODE, mandatory=True),
        Row(
            fields.SECURITY, ("Security type",), SecurityByPort("TLS", "none", _DEFAULT_PORT),
            reads=(_PORT,), label="Security type", mandatory=True, default=fields.Security.TLS,
        ),
        Row(fields.THEME, ("Template Settings",), Text(), label="Template Settings"),
    ),
    constraints=(no_clear_text("Security type", "TLS"), Constraint("outdated-ssl", _no_ssl)),
)  # fmt: skip
