"""Digitanium (KOBIL): the body of the mail configuration's API. All values are sent as text.

Names, and that host and from are mandatory, come from the vendor's API documentation (4.18.1).
"""

from __future__ import annotations

from ztrust_mail.dialects.codecs import HiddenText, LoginIfGiven, Port, StartTlsAndSsl, Text
from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.row import Row
from ztrust_mail.model.fields import Login, Security

DIGITANIUM = Dialect(
    name="digitanium",
    title="Digitanium",
    mask="**********",
    extras=False,
    rows=(
        Row("reply_to.name", ("replyToDisplayName",), Text()),
        Row("relay.security", ("starttls", "ssl"), StartTlsAndSsl(), absent=Security.NONE),
        Row("relay.port", ("port",), Port()),
        Row("relay.host", ("host",), Text(), mandatory=True),
        Row("reply_to.address", ("replyTo",), Text()),
        Row("sender.address", ("from",), Text(), mandatory=True),
        Row("sender.name", ("fromDisplayName",), Text()),
        Row("envelope_from", ("envelopeFrom",), Text()),
        Row("relay.auth", (), LoginIfGiven(), reads=("user",), absent=Login.NONE),
        Row("relay.auth.username", ("user",), Text()),
        Row("relay.auth.password", ("password",), HiddenText()),
    ),
)
