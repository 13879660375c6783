"""One dialogue with a relay, stage by stage, until the first stage that fails."""

import smtplib
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.core.secret import Secret
from ztrust_mail.core.text import first_and_more, quoted
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing import login
from ztrust_mail.probing.connection import MAX_LISTED, Connector, Deadline, resolve
from ztrust_mail.probing.envelope import ask_recipient, ask_senders, judge_senders, send_message
from ztrust_mail.probing.line import Disconnected, Record, SmtpLine, break_problem
from ztrust_mail.probing.options import ProbeOptions, reaches, stages_of
from ztrust_mail.probing.outcome import (
    NotTested,
    ProbeStatus,
    RelayOutcome,
    RelayProblem,
    Reply,
    SenderOutcome,
    Stage,
    StageFailed,
    StageOutcome,
)
from ztrust_mail.probing.relay import Relay
from ztrust_mail.probing.tls import Handshake, summary_of

_REFUSALS = (Stage.TOKEN, Stage.LOGIN, Stage.SENDER, Stage.RECIPIENT, Stage.MESSAGE)
"""The stages whose failure leaves the connection usable."""

_READY, _DONE = 220, 250


class SmtpDialogue:
    """The state of one dialogue. ``senders`` are the envelope senders of the realms.

    ``secret`` is that of the login, or the reason why the login is not tested.
    """

    def __init__(
        self, relay: Relay, senders: Sequence[str], options: ProbeOptions, redactor: Redactor, deadline: Deadline
    ) -> None:
        self.relay, self.senders, self.options = relay, senders, options
        self.secret: Secret | RelayProblem = login.not_tested(relay.no_secret)
        self._redactor, self._deadline = redactor, deadline
        self._record = Record(relay.address, redactor.redact)
        self._outcome = RelayOutcome(relay, ())
        self._connector: Connector | None = None
        self._line: SmtpLine | None = None
        self._token: Secret | None = None
        self._is_logged_in = False
        self._reply: Reply | None = None
        self._senders: Sequence[SenderOutcome] = ()
        self._steps: Mapping[Stage, Callable[[], str]] = {
            Stage.NAME: self._name,
            Stage.CONNECT: self._connect,
            Stage.TLS: self._tls,
            Stage.BANNER: self._banner,
            Stage.EHLO: self._ehlo,
            Stage.STARTTLS: self._starttls,
            Stage.EHLO_TLS: self._ehlo,
            Stage.TOKEN: self._fetch_token,
            Stage.LOGIN: self._log_in,
            Stage.SENDER: self._sender,
            Stage.RECIPIENT: self._recipient,
            Stage.MESSAGE: self._message,
            Stage.QUIT: self._quit,
        }
        self._warning: RelayProblem | None = None

    def run(self) -> RelayOutcome:
        """Go through the stages, and return the outcomes. Never raises because of a relay's behaviour."""
        began = time.monotonic()
        stages: list[StageOutcome] = []
        with self._deadline:
            for stage in stages_of(self.relay):
                stages.append(self._stage(stage, stages))
            self._say_goodbye(stages)
        return replace(
            self._outcome,
            stages=tuple(stages),
            addresses=tuple(self._connector.outcomes) if self._connector else (),
            senders=tuple(self._senders),
            transcript=tuple(self._record.lines),
            seconds=time.monotonic() - began,
        )

    def _say_goodbye(self, stages: Sequence[StageOutcome]) -> None:
        """Close the connection; after a refusal, send a QUIT without waiting for its reply."""
        if self._line is None:
            return
        if any(one.stage in _REFUSALS and one.status is ProbeStatus.FAILED for one in stages):
            with suppress(OSError, smtplib.SMTPException):
                self._line.putcmd("QUIT")
        self._line.close()

    def _stage(self, stage: Stage, before: Sequence[StageOutcome]) -> StageOutcome:
        failed = next((one for one in before if one.status is ProbeStatus.FAILED), None)
        if stage is Stage.QUIT and self._line and not failed:
            return self._attempt(stage)
        if failed:
            return StageOutcome(stage, ProbeStatus.NOT_TESTED, f"{failed.stage.label} failed")
        if not reaches(self.relay, self.options, stage):
            return StageOutcome(stage, ProbeStatus.NOT_TESTED, f"after --until {self.options.until.value}")
        return self._attempt(stage)

    def _attempt(self, stage: Stage) -> StageOutcome:
        began, self._reply, self._warning = time.monotonic(), None, None
        status, problem = ProbeStatus.OK, None
        try:
            detail = self._steps[stage]()
            problem = self._warning
            status = ProbeStatus.WARNING if problem else ProbeStatus.OK
        except NotTested as e:
            status, detail, problem = ProbeStatus.NOT_TESTED, e.reason, e.problem
        except StageFailed as e:
            status, problem, detail = ProbeStatus.FAILED, e.problem, e.problem.message
            self._reply = e.reply or self._reply
        except (OSError, smtplib.SMTPException, ValueError) as e:
            status, problem = ProbeStatus.FAILED, break_problem(stage, e, self._deadline)
            detail = problem.message
        finding = problem.finding_at(self.relay.address) if problem else None
        encrypted = bool(self._line and self._line.encrypted)
        return StageOutcome(stage, status, detail, time.monotonic() - began, self._reply, encrypted, finding)

    @property
    def _open_line(self) -> SmtpLine:
        if self._line is None:
            raise Disconnected("no connection")
        return self._line

    def _name(self) -> str:
        addresses = resolve(self.relay.host, self.relay.port, self.options, self._deadline)
        self._connector = Connector(addresses, self.options, self._deadline)
        return first_and_more([str(one) for one in addresses[:MAX_LISTED]], 3)

    def _connect(self) -> str:
        assert self._connector is not None
        connection, self._warning = self._connector.connect()
        self._line = self._new_line(connection)
        return self._warning.message if self._warning else str(connection.getpeername()[0])

    def _new_line(self, connection: socket.socket) -> SmtpLine:
        return SmtpLine(connection, self._deadline, self.options.ehlo_name, self._record)

    def _handshake(self) -> Handshake:
        assert self._connector is not None
        return Handshake(self.relay, self.options.ca_bundle, self._connector, self._new_line)

    def _tls(self) -> str:
        return self._secure(self._open_line)

    def _secure(self, line: SmtpLine) -> str:
        facts, problem = self._handshake().secure(line)
        self._outcome = replace(self._outcome, tls=facts)
        if problem and problem.is_failure:
            raise StageFailed(problem)
        self._warning = problem
        assert facts is not None  # without a problem there are some
        return problem.message if problem else summary_of(facts)

    def _banner(self) -> str:
        line = self._open_line
        if not line.encrypted and not line.wait(self.options.patience) and not self._deadline.is_over:
            self._handshake().refuse_tls_port(self.options.patience)
        reply = self._reply = line.reply_of(*line.getreply())
        if reply.code != _READY:
            later = 400 <= reply.code < 500
            hint = "try again in some minutes" if later else "check that this machine may use the relay"
            raise StageFailed(RelayProblem("relay-refuses", f"the relay refuses the connection: {reply}", hint))
        return str(reply)

    def _ehlo(self) -> str:
        line = self._open_line
        reply = self._reply = line.reply_of(*line.ehlo())
        if reply.code != _DONE and self._takes_helo(line):
            return f"takes HELO only, and so offers neither STARTTLS nor a login: {reply}"
        if reply.code != _DONE:
            hint = "give a name that the relay accepts as --ehlo-name; servers greet with the name of their machine"
            name = quoted(line.local_hostname)
            raise StageFailed(RelayProblem("relay-ehlo", f"the relay refuses EHLO {name}: {reply}", hint))
        features = tuple(
            self._record.show(f"{name.upper()} {' '.join(str(value).split())}".strip())
            for name, value in list(line.esmtp_features.items())[:50]
        )
        self._outcome = replace(self._outcome, features=features)
        if self.relay.security is Security.NONE and line.has_extn("starttls"):
            message = "the relay offers STARTTLS, and the settings do not use it"
            hint = "set relay.security: starttls, so that mails and logins are encrypted"
            self._warning = RelayProblem("relay-offers-starttls", message, hint, Severity.WARNING)
            return message
        return ", ".join(features)[:200] or "no features"

    def _takes_helo(self, line: SmtpLine) -> bool:
        """Tell whether a relay that refuses EHLO accepts HELO instead: servers then continue without STARTTLS."""
        self._outcome = replace(self._outcome, features=())
        try:
            return line.helo()[0] == _DONE
        except (OSError, smtplib.SMTPException):
            return False

    def _starttls(self) -> str:
        line = self._open_line
        if not line.has_extn("starttls"):
            message = "the relay does not offer STARTTLS: servers send mails and logins in clear text, or not at all"
            hint = "turn STARTTLS on at the relay, or set relay.security: tls if it has a port for TLS, usually 465"
            raise StageFailed(RelayProblem("relay-no-starttls", message, hint, Severity.CRITICAL))
        reply = self._reply = line.ask("STARTTLS")
        if reply.code != _READY:
            message = f"the relay offers STARTTLS and refuses it: {reply}"
            raise StageFailed(RelayProblem("relay-tls", message, "see the relay's log; its certificate may be missing"))
        if line.has_unread:
            message = "the relay sent more plain text after its reply to STARTTLS: somebody may alter the connection"
            hint = "send no mail over this line; compare from another network, and see the relay's version"
            raise StageFailed(RelayProblem("relay-injection", message, hint, Severity.CRITICAL))
        return self._secure(line)

    def _require_login(self) -> Secret:
        if not self._open_line.encrypted and not self.options.allow_clear_login:
            problem = login.not_tested(login.CLEAR_LINE)
        elif isinstance(self.secret, Secret):
            return self.secret
        else:
            problem = self.secret
        raise NotTested(problem.message, problem)

    def _fetch_token(self) -> str:
        secret = self._require_login()
        login.choose(self.relay.login, login.mechanisms_of(self._open_line))
        self._token, facts = login.fetch_token(
            self.relay, secret, self._deadline, self._redactor, self.options.ca_bundle
        )
        self._outcome = replace(self._outcome, token=facts)
        return login.describe_token(facts)

    def _log_in(self) -> str:
        line, relay, said = self._open_line, self.relay, ""
        methods = login.choose(relay.login, login.mechanisms_of(line))
        secret = self._require_login()
        if relay.login is Login.TOKEN:
            if self._token is None:
                raise NotTested("there is no token")
            used = "XOAUTH2"
            reply, said = login.log_in_with_token(line, relay.username, self._token, self._record)
        else:
            used, reply = login.log_in_with_password(line, methods, relay.username, secret)
        self._reply = reply
        self._is_logged_in = reply.code == login.ACCEPTED
        if self._is_logged_in:
            return f"{used} as {relay.username} accepted"
        more = f"; its error: {said}" if said else ""
        message = f"the relay refuses the login of {quoted(relay.username)} by {used}: {reply}{more}"
        hint = "check the user name and the secret; some providers want an app password or an API key"
        if relay.login is Login.TOKEN:
            hint = "check that the token's audience and roles are those that the relay wants"
        if 400 <= reply.code < 500:
            hint = "try again in some minutes: the relay refuses it for now"
        raise StageFailed(RelayProblem("relay-login-refused", message, hint))

    def _require_session(self) -> None:
        """Raise :class:`NotTested` if a login is missing, without which the replies prove nothing."""
        if self.relay.login is not Login.NONE and not self._is_logged_in:
            raise NotTested("the login was not tested")

    def _sender(self) -> str:
        self._require_session()
        self._senders = ask_senders(self._open_line, self.senders)
        detail = judge_senders(self._senders)
        self._reply = self._senders[0].reply
        return detail

    def _recipient(self) -> str:
        self._require_session()
        if not self.options.to:
            raise NotTested("--to ADDRESS tests it")
        self._reply = ask_recipient(self._open_line, self.options.to)
        return str(self._reply)

    def _message(self) -> str:
        self._require_session()
        if not self.options.send:
            raise NotTested("--send sends a message")
        message_id, self._reply = send_message(self._open_line, self.senders[0], self.options.to)
        self._outcome = replace(self._outcome, message_id=message_id)
        return f"accepted as {message_id}"

    def _quit(self) -> str:
        line = self._open_line
        try:
            line.putcmd("QUIT")
            if line.wait(self.options.patience):
                self._reply = line.reply_of(*line.getreply())
        except (OSError, smtplib.SMTPException):
            pass  # everything was said before
        return str(self._reply or "closed without a reply")
