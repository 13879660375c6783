"""Digitanium (KOBIL): the body of the mail configuration's API. All values are sent as text.

Names, and that host and from are mandatory, come from the vendor's API documentation (4.18.1).
"""

from ztrust_mail.dialects.codecs import HiddenText, LoginIfGiven, Port, StartTlsAndSsl, Text
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Row
from ztrust_mail.model.fields import (
    HOST,
    LOGIN,
    PASSWORD,
    PORT,
    REPLY_TO_ADDRESS,
    REPLY_TO_NAME,
    SECURITY,
    SENDER_ADDRESS,
    SENDER_NAME,
    USERNAME,
    Login,
    Security,
)

DIGITANIUM = Dialect(
    name="digitanium",
    title="Digitanium",
    mask="**********",
    extras=False,
    rows=(
        Row(REPLY_TO_NAME, ("replyToDisplayName",), Text()),
        Row(SECURITY, ("starttls", "ssl"), StartTlsAndSsl(), absent=Security.NONE),
        Row(PORT, ("port",), Port()),
        Row(HOST, ("host",), Text(), mandatory=True),
        Row(REPLY_TO_ADDRESS, ("replyTo",), Text()),
        Row(SENDER_ADDRESS, ("from",), Text(), mandatory=True),
        Row(SENDER_NAME, ("fromDisplayName",), Text()),
        Row("envelope_from", ("envelopeFrom",), Text()),
        Row(LOGIN, (), LoginIfGiven(), reads=("user",), absent=Login.NONE),
        Row(USERNAME, ("user",), Text()),
        Row(PASSWORD, ("password",), HiddenText()),
    ),
)
