"""Why a relay may refuse the server and not this machine: the table of possible causes, in the order to check them."""

from collections.abc import Callable
from dataclasses import dataclass

from ztrust_mail.core.text import quoted, shell_word
from ztrust_mail.diagnose.evidence import OWN_TIMEOUTS, Evidence
from ztrust_mail.model.fields import Login, Security
from ztrust_mail.probing.outcome import Stage

Test = Callable[[Evidence], bool]


@dataclass(frozen=True)
class PossibleCause:
    """A possible cause. ``text`` describes it, ``check`` says how to verify it. Likely causes come first."""

    id: str
    text: str
    check: str
    is_likely: bool = False


@dataclass(frozen=True)
class _Row:
    id: str
    applies: Test
    text: Callable[[Evidence], str]
    check: str | Callable[[Evidence], str]
    is_likely: Test = lambda _: False


def _has_answered(seen: Evidence) -> bool:
    return not seen.server_waited


def _is_remote(seen: Evidence) -> bool:
    return not (seen.is_loopback and seen.is_local_server)


def _ehlo(seen: Evidence) -> str:
    name = f"; this machine greeted with {quoted(seen.ehlo_name)}" if seen.ehlo_name else ""
    return f"the relay refuses the server's EHLO name, that of its machine, in a container a random one{name}"


def _source(seen: Evidence) -> str:
    does = "drops" if seen.server_waited else "refuses"
    return f"the relay {does} the server's address: it has a list of addresses, with this machine's on it"


def _egress(seen: Evidence) -> str:
    does = "swallows" if seen.server_waited else "refuses"
    return f"a firewall, NetworkPolicy or proxy on the server's side {does} connections to {seen.probe.relay.address}"


def _first_address_fails(seen: Evidence) -> bool:
    connect = seen.probe.stage(Stage.CONNECT)
    return connect is not None and connect.rule == "relay-address"


def _resolution(seen: Evidence) -> str:
    if _first_address_fails(seen):
        return "the first address of the name does not work, and Java tries the first one only"
    more = "; the name has IPv6 addresses, and Java tries the first address only" if seen.has_ipv6 else ""
    return f"the name {seen.probe.relay.host} resolves to another address on the server, or to none{more}"


def _truststore(seen: Evidence) -> str:
    given = "; it needs the authority that you gave with --ca-bundle" if seen.has_own_trust else ""
    return f"the server's truststore or host name policy refuses the relay's certificate{given}"


def _timeouts(seen: Evidence) -> str:
    slow = seen.slowest
    what = f"the relay takes {slow.seconds:.0f} s for {slow.stage.label}" if slow else "the relay answers too slowly"
    if seen.version and seen.version < OWN_TIMEOUTS:
        return (
            f"{what}; this version waits {seen.gives_up_after:.0f} s and cannot wait longer (26.5 has relay.timeouts)"
        )
    return f"{what}; the server waits {seen.gives_up_after:.0f} s for each answer (relay.timeouts)"


def _secret_check(seen: Evidence) -> str:
    relay = seen.probe.relay
    if relay.secret is None:
        return "test with the secret's reference: ztrust-mail test {realm} --spec SPEC"
    if relay.security is Security.NONE:
        return "log in from here, in clear text: ztrust-mail probe {realm} --allow-clear-login"
    return "see the relay's log for the login, and the server's for its vault"


def _is_untested_login(seen: Evidence) -> bool:
    return seen.has_login and seen.is_untested(Stage.LOGIN)


TABLE = (
    _Row("ehlo-name", _has_answered, _ehlo, "try the server's name: ztrust-mail probe {realm} --ehlo-name NAME"),
    _Row("source-address", _is_remote, _source, "see the relay's log for the server's address"),
    _Row("egress", _is_remote, _egress, "run the probe next to the server"),
    _Row(
        "loopback",
        lambda seen: seen.is_loopback,
        lambda seen: f"{seen.probe.relay.host} is this machine; for a server in a container it is the server itself",
        "set relay.host to a name that the server resolves",
        lambda seen: not seen.is_local_server,
    ),
    _Row(
        "resolution",
        lambda seen: seen.has_host_name and (_is_remote(seen) or _first_address_fails(seen)),
        _resolution,
        "resolve the name on the server's machine: getent ahosts {host}",
        _first_address_fails,
    ),
    _Row(
        "truststore",
        lambda seen: _has_answered(seen) and seen.probe.relay.security is not Security.NONE,
        _truststore,
        "see its options --truststore-paths and --tls-hostname-verifier; before 27.0 a new authority needs a restart",
        lambda seen: seen.has_own_trust and not _is_untested_login(seen),
    ),
    _Row(
        "timeout",
        lambda seen: seen.server_waited,
        _timeouts,
        "see how long each stage takes: ztrust-mail probe {realm}",
        lambda seen: seen.slowest is not None,
    ),
    _Row(
        "token",
        lambda seen: seen.probe.relay.login is Login.TOKEN,
        lambda seen: f"the server gets no token from {seen.probe.relay.token_url}: it has its own proxy and truststore",
        "see the server's log, and whether its machine reaches the URL",
    ),
    _Row(
        "secret",
        lambda seen: _has_answered(seen) and _is_untested_login(seen),
        lambda seen: "the relay refuses the login or, after it, the sender or the recipient",
        _secret_check,
        lambda seen: _has_answered(seen),
    ),
    _Row(
        "sender",
        lambda seen: _has_answered(seen) and bool(seen.untested_sender) and not _is_untested_login(seen),
        lambda seen: f"the relay refuses the sender {seen.untested_sender}, about which it was not asked",
        "ztrust-mail probe {realm}",
        lambda seen: True,
    ),
    _Row(
        "recipient",
        lambda seen: _has_answered(seen) and seen.is_untested(Stage.RECIPIENT) and not _is_untested_login(seen),
        lambda seen: "the relay refuses the recipient, whose address is not known here",
        "ztrust-mail probe {realm} --to ADDRESS",
    ),
    _Row(
        "message",
        lambda seen: _has_answered(seen) and not _is_untested_login(seen),
        lambda seen: "the relay refuses the message itself, such as its From address; the probe sent none",
        "ztrust-mail probe {realm} --to ADDRESS --send",
    ),
)  # fmt: skip
"""The causes in the order to check them: the frequent and cheap ones first."""


def _check_of(row: _Row, seen: Evidence) -> str:
    check = row.check if isinstance(row.check, str) else row.check(seen)
    return check.format(realm=shell_word(seen.realm), host=shell_word(seen.probe.relay.host))


def find_possible_causes(seen: Evidence) -> tuple[PossibleCause, ...]:
    """Return the possible causes if the probe passes but the server fails, likely ones first."""
    found = [
        PossibleCause(row.id, row.text(seen), _check_of(row, seen), row.is_likely(seen))
        for row in TABLE
        if row.applies(seen)
    ]
    return tuple(sorted(found, key=lambda one: not one.is_likely))
