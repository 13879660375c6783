"""Omnibyte: a form; its labels are the names of the attributes."""

from ztrust_mail.dialects.codecs import AddressList, FixedValue, HiddenText, LoginIfGiven, Port, SecurityByPort, Text
from ztrust_mail.dialects.dialect import BodyFormat, Dialect
from ztrust_mail.dialects.row import Row, no_clear_text
from ztrust_mail.model.fields import HOST, LOGIN, PASSWORD, PORT, RECIPIENTS, SECURITY, SENDER_ADDRESS, USERNAME, Login

_USER, _PORT = "Username", "Port Number"

OMNIBYTE = Dialect(
    name="omnibyte",
    title="Omnibyte",
    mask="**********",
    extras=False,
    body_format=BodyFormat.FORM,
    page="Configuration → Email",
    rows=(
        Row("extra.Connection Type", ("Connection Type",), FixedValue("SMTP"), label="Connection Type"),
        Row(LOGIN, (), LoginIfGiven(), reads=(_USER,), label=_USER, absent=Login.NONE),
        Row(USERNAME, (_USER,), Text(), label=_USER),
        Row(HOST, ("SMTP Server",), Text(), label="SMTP Server", mandatory=True),
        Row(PASSWORD, ("Password",), HiddenText(), label="Password"),
        Row(PORT, (_PORT,), Port(), label=_PORT),
        Row(SENDER_ADDRESS, ("From Email",), Text(), label="From Email", mandatory=True),
        Row(SECURITY, ("Enable SSL",), SecurityByPort("on", "off"), reads=(_PORT,), label="Enable SSL"),
        Row("extra.Test Email Address", ("Test Email Address",), Text(), label="Test Email Address"),
        Row(RECIPIENTS, ("Sending Error Logs",), AddressList(), label="Sending Error Logs"),
    ),
    constraints=(no_clear_text("Enable SSL", "Enable SSL"),),
    advice=(
        "Keep TLS or SSL on.",
        "Use an application password or a token, never a person's own password.",
        "Let only authorised people change this page.",
        "Change the credentials regularly.",
        "Always test before saving.",
    ),
)
