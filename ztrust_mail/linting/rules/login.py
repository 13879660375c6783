"""Rules about the login at the relay."""

from collections.abc import Iterator
from datetime import date

from ztrust_mail.core.findings import Severity
from ztrust_mail.core.text import pluralise
from ztrust_mail.linting.rule import Problem, RealmView, realm_rule
from ztrust_mail.linting.rules.sender import FREE_MAIL, domain_of
from ztrust_mail.model.fields import EXPIRES, LOGIN, TOKEN_SCOPE, TOKEN_URL, USERNAME, Login


@realm_rule("oauth-no-scope", Severity.WARNING)
def oauth_no_scope(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if a token login has no scope."""
    if realm.login is Login.TOKEN and not realm.text(TOKEN_SCOPE):
        message = "without `relay.auth.token.scope`, Keycloak requests a new token for every mail"
        yield Problem(message, "set the scope that the provider documents", (TOKEN_URL, LOGIN))


@realm_rule("personal-account", Severity.NOTE)
def personal_account(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the login is an address of a free mail service."""
    domain = domain_of(realm.username)
    if realm.login is not Login.NONE and domain in FREE_MAIL:
        message = f"the login is a personal account of {domain}: it has low limits and belongs to one person"
        yield Problem(message, "use an account of a mail service of your organisation", (USERNAME,))


@realm_rule("auth-expires", Severity.WARNING)
def auth_expires(realm: RealmView) -> Iterator[Problem]:
    """Yield a problem if the login's secret has expired, or will soon."""
    if realm.login is Login.NONE or not realm.wanted.expires:
        return
    left = (date.fromisoformat(realm.wanted.expires) - realm.today).days
    if left <= realm.limits.expiry:
        when = "expired" if left < 0 else "expires today" if not left else f"expires in {pluralise(left, 'day')}"
        message = f"the secret of the login {when}, on {realm.wanted.expires}"
        hint = "renew it at the relay, write it with ztrust-mail rotate, and set the new date"
        yield Problem(message, hint, (EXPIRES,))
