"""Rules about known mail providers: settings that they do not accept, and features that they turn off."""

from collections.abc import Iterator

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import first_and_more, quoted
from ztrust_mail.linting.rule import Problem, RealmView, realm_rule
from ztrust_mail.linting.rules.relay import port_security
from ztrust_mail.linting.rules.sender import domain_of
from ztrust_mail.model.fields import HOST, LOGIN, PASSWORD, PORT, SENDER_ADDRESS, TOKEN_URL, USERNAME, Login
from ztrust_mail.providers.presets import Preset, SenderRule, UsernameRule

M365_BASIC = "m365-basic-2026-12"


@realm_rule("provider-port", Severity.WARNING)
def provider_port(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the provider does not serve the port, or not with this security."""
    if not realm.provider or realm.is_served() or any(port_security.check(realm)):  # one of them is enough
        return
    provider, served = realm.provider, [f"{one.port} with {one.security}" for one in realm.provider.ports]
    known = [one.security for one in provider.ports if one.port == realm.port]
    if known:
        what = f"{provider.title} serves port {realm.port} with {known[0]}, not with {realm.security}"
    else:
        what = f"{provider.title} does not serve port {realm.port}"
    yield Problem(what, f"it serves {first_and_more(served)}", (PORT, HOST))


@realm_rule("provider-username", Severity.WARNING)
def provider_username(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the provider takes another user name."""
    if not realm.provider or realm.login is Login.NONE:
        return
    login, given = realm.provider.login, realm.username
    if login.username_rule is UsernameRule.FIXED and given != login.username:
        message = f"{realm.provider.title} takes only the user name {quoted(login.username)}"
        yield Problem(message, f"set `relay.auth.username: {login.username}`", (USERNAME,))
    elif login.username_rule is UsernameRule.ADDRESS and "@" not in given:
        message = f"{realm.provider.title} takes an e-mail address as the user name"
        yield Problem(message, "write the full address of the account", (USERNAME,))


@realm_rule("provider-login", Severity.WARNING)
def provider_login(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the provider does not accept the mode of login."""
    if not (provider := realm.provider):
        return
    if realm.login is Login.NONE and _needs_login(provider):
        message = f"{provider.title} takes no mail without a login"
        yield Problem(message, f"set `relay.auth`; see: ztrust-mail presets {provider.name}", (HOST,))
    elif realm.login is Login.TOKEN and not provider.oauth:
        message = f"{provider.title} has no token login that Keycloak could use"
        yield Problem(message, f"log in with its {provider.login.secret or 'password'}", (TOKEN_URL,))
    elif realm.login is Login.BASIC and provider.oauth and not provider.login.password:
        message = f"{provider.title} does not accept passwords: it takes tokens (XOAUTH2) only"
        yield Problem(message, f"set `relay.auth.token`; see: ztrust-mail presets {provider.name}", (PASSWORD,))


@realm_rule("provider-sender", Severity.WARNING)
def provider_sender(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if From is of another domain than the login, at a provider that sends only for its login."""
    if not realm.provider or realm.provider.sender is not SenderRule.LOGIN or realm.login is Login.NONE:
        return
    own, sender = domain_of(realm.username), domain_of(realm.sender)
    if own and sender and own != sender:
        message = f"{realm.provider.title} sends for the login's own addresses, and From is not of {quoted(own)}"
        hint = "use an address of the login, or register this one there as an alias"
        yield Problem(message, hint, (SENDER_ADDRESS, USERNAME))


@realm_rule(M365_BASIC, Severity.WARNING)
def m365_basic(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if a login by password is about to end, or has ended."""
    for one in realm.provider.deprecations if realm.provider else ():
        if one.id == M365_BASIC and realm.login is Login.BASIC:
            left = (one.date - realm.today).days
            if left <= realm.limits.deprecation:
                tense = "turns off" if left >= 0 else "turned off"
                what = f"Microsoft 365 {tense} logins by password by default at the end of {one.date:%B %Y}"
                hint = "change to `relay.auth.token`, or have the administrator turn them on again"
                yield Problem(what, f"{hint}; see: ztrust-mail presets m365", (PASSWORD, LOGIN))


def _needs_login(provider: Preset) -> bool:
    return provider.login.username_rule is not UsernameRule.NONE and not provider.login.optional
