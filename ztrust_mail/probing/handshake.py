"""The TLS handshake with a relay; one that fails is made once more without verification, to say why."""

import smtplib
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

from ztrust_mail.model.fields import Security
from ztrust_mail.probing import tls
from ztrust_mail.probing.connection import Connector
from ztrust_mail.probing.line import SmtpLine
from ztrust_mail.probing.outcome import RelayProblem, StageFailed, TlsFacts
from ztrust_mail.probing.relay import Relay

_READY = 220

_BROKEN = (OSError, smtplib.SMTPException, ValueError)
"""What a second look may raise; then it finds nothing."""


class Handshake:
    """Encrypts the line to a relay. ``connector`` and ``new_line`` make the connections for a second look."""

    def __init__(
        self, relay: Relay, ca_bundle: str, connector: Connector, new_line: Callable[[socket.socket], SmtpLine]
    ) -> None:
        self._relay, self._ca_bundle = relay, ca_bundle
        self._connector, self._new_line = connector, new_line
        self._starttls = relay.security is Security.STARTTLS

    def secure(self, line: SmtpLine) -> tuple[TlsFacts | None, RelayProblem | None]:
        """Encrypt a line; return the facts and a problem, where there are any. Raises OSError if the line breaks."""
        host = self._relay.host
        try:
            facts = tls.describe(line.secure(tls.verifying_context(self._ca_bundle), host))
        except ssl.SSLCertVerificationError as e:
            return self._refused_certificate(e.verify_code)
        except ssl.SSLError as e:
            if line.is_late:
                raise TimeoutError from None
            error = e
        else:
            return facts, tls.expiry_problem(facts, host)
        if tls.is_plain_text(error) and not self._starttls and (greeting := self._plain_greeting()):
            message = f"the port speaks plain SMTP before TLS: it greets with {greeting}"
            return None, RelayProblem("relay-speaks-plain", message, "set relay.security: starttls for this port")
        return self._explain_failure(error)

    def _refused_certificate(self, code: int) -> tuple[TlsFacts | None, RelayProblem]:
        facts = self._look_again() or TlsFacts("", "", ())
        facts = replace(facts, problems=tuple(tls.failed_checks(code, facts.chain, self._relay.host)))
        problem = tls.certificate_problem(facts, self._relay.host, self._relay.address, starttls=self._starttls)
        return facts, problem

    def _explain_failure(self, error: ssl.SSLError) -> tuple[TlsFacts | None, RelayProblem]:
        if tls.is_old_version(error):
            facts = self._look_again()
            version = f": it speaks {facts.version}" if facts else ""
            message = f"the relay offers no TLS version from 1.2 on{version}"
            return facts, RelayProblem("relay-tls-version", message, "update the relay: servers refuse older versions")
        if tls.is_plain_text(error):
            hint = "check host and port: another service, or a proxy, may answer there"
            return None, RelayProblem("relay-tls", "the relay answers the TLS handshake with something else", hint)
        reason = f" ({error.reason.lower().replace('_', ' ')})" if error.reason else ""
        message = f"the TLS handshake failed{reason}"
        return None, RelayProblem("relay-tls", message, "see the relay's log for the handshake's error")

    def _look_again(self) -> TlsFacts | None:
        """Return the facts of a line without verification, over which nothing is sent."""
        try:
            line = self._new_line(self._connector.again())
            if self._starttls:
                line.getreply()
                line.ehlo()
                if line.docmd("STARTTLS")[0] != _READY:
                    return None
            facts = tls.describe(line.secure(tls.lenient_context(), self._relay.host))
            line.close()
        except _BROKEN:
            return None
        return facts

    def _plain_greeting(self) -> str:
        try:
            line = self._new_line(self._connector.again())
            reply = line.reply_of(*line.getreply())
            line.close()
        except _BROKEN:
            return ""
        return str(reply)

    def refuse_tls_port(self, patience: float) -> None:
        """Raise :class:`StageFailed` if the port of a silent relay makes a TLS handshake within these seconds."""
        try:
            line = self._new_line(self._connector.again())
            version = line.secure(tls.lenient_context(), self._relay.host, patience).version()
            line.close()
        except _BROKEN:
            return
        message = f"the port expects TLS from the first byte ({version}), so it sends no banner"
        raise StageFailed(RelayProblem("relay-speaks-tls", message, "set relay.security: tls for this port"))
