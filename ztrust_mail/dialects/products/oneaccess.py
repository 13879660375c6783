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
from ztrust_mail.model.fields import (
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    SECURITY,
    SENDER_ADDRESS,
    SENDER_NAME,
    THEME,
    USERNAME,
    FieldMap,
    Login,
    Raw,
    Security,
)

_ADDRESS, _PORT, _CODE = "Email Address", "SMTP Port", "Authorization Code"
_SWITCH = "enable switch"
_DEFAULT_PORT = 465


def _no_ssl(fields: FieldMap) -> Iterator[tuple[Severity, str, str, str]]:
    security = fields.get(SECURITY)
    if isinstance(security, Raw) and security.text.casefold() == "ssl":
        message = "`Security type` is SSL, which is outdated"
        yield Severity.WARNING, SECURITY, message, "choose TLS"


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
        Row(HOST, ("SMTP HOST",), Text(), label="SMTP HOST", mandatory=True),
        Row(PORT, (_PORT,), Port(), label=_PORT, mandatory=True, default=_DEFAULT_PORT),
        Row(SENDER_ADDRESS, (_ADDRESS,), Text(), label=_ADDRESS, mandatory=True),
        Row(USERNAME, (), AddressAsAccount(), reads=(_ADDRESS, _CODE), label=_ADDRESS),
        Row(SENDER_NAME, ("Sender Name",), Text(), label="Sender Name", mandatory=True),
        Row(LOGIN, (), LoginIfGiven(), reads=(_CODE,), label=_CODE, absent=Login.NONE),
        Row(PASSWORD, (_CODE,), HiddenText(), label=_CODE, mandatory=True),
        Row(
            SECURITY, ("Security type",), SecurityByPort("TLS", "none", _DEFAULT_PORT),
            reads=(_PORT,), label="Security type", mandatory=True, default=Security.TLS,
        ),
        Row(THEME, ("Template Settings",), Text(), label="Template Settings"),
    ),
    constraints=(no_clear_text("Security type", "TLS"), Constraint("outdated-ssl", _no_ssl)),
)  # fmt: skip
