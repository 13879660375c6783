"""Digitanium (KOBIL): the body of the mail configuration's API. All values are sent as text.

Names, and that host and from are mandatory, come from the vendor's API documentation (4.18.1).
"""

from ztrust_mail.dialects.codecs import HiddenText, LoginIfGiven, Port, StartTlsAndSsl, Text
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Row
from ztrust_mail.model import fields

DIGITANIUM = Dialect(
    name="digitanium",
    title="Digitanium",
    mask="**********",
    extras=False,
    rows=(
        Row(fields.REPLY_TO_NAME, ("replyToDisplayName",), Text()),
        Row(fields.SECURITY, ("starttls", "ssl"), StartTlsAndSsl(), absent=fields.Security.NONE),
        Row(fields.PORT, ("port",), Port()),
        Row(fields.HOST, ("host",), Text(), mandatory=True),
        Row(fields.REPLY_TO_ADDRESS, ("replyTo",), Text()),
        Row(fields.SENDER_ADDRESS, ("from",), Text(), mandatory=True),
        Row(fields.SENDER_NAME, ("fromDisplayName",), Text()),
        Row(fields.ENVELOPE_FROM, ("envelopeFrom",), Text()),
        Row(fields.LOGIN, (), LoginIfGiven(), reads=("user",), absent=fields.Login.NONE),
        Row(fields.USERNAME, ("user",), Text()),
        Row(fields.PASSWORD, ("password",), HiddenText()),
    ),
)
