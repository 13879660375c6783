"""An example spec for a preset: what ``init --preset`` writes, and the files of ``examples/presets/``."""

from collections.abc import Iterator
from textwrap import wrap

from ztrust_mail.core.text import first_and_more
from ztrust_mail.providers.presets import Preset, PresetLogin, SenderRule, UsernameRule, all_presets

_COLUMN = 42  # where comments start
_WIDTH = 100

_SENDERS = {
    SenderRule.LOGIN: ("you@example.com", "the address of the login, or an alias of it"),
    SenderRule.VERIFIED: ("no-reply@example.com", "an address or a domain that the provider has verified"),
    SenderRule.ANY: ("no-reply@example.com", "any address"),
}
_USERNAMES = {
    UsernameRule.ADDRESS: ("you@example.com", "the whole address of the account"),
    UsernameRule.ISSUED: ("user-name", "the user name that the provider shows"),
    UsernameRule.TOKEN: ("access-key", "the access key of an SMTP token"),
}


def example_presets() -> Iterator[Preset]:
    """Yield every preset as a spec can name it, those that need a region with their first."""
    for preset in all_presets():
        yield preset.in_region(next(iter(preset.regions))) if preset.needs_region else preset


def example_spec(preset: Preset) -> str:
    """Return a spec of one realm with a preset, with comments on what to change."""
    return "".join(f"{text}\n" for text in _lines(preset))


def _lines(preset: Preset) -> Iterator[str]:
    yield f"# {preset.title}. All facts of this preset: ztrust-mail presets {preset.name}"
    yield from (f"# {part}" for remark in preset.remarks for part in wrap(remark, _WIDTH, break_on_hyphens=False))
    yield "version: 1"
    yield ""
    yield "defaults:"
    yield "  relay:"
    yield _add_comment(f"    preset: {preset.name}", f"{preset.host}, port {preset.port}, {preset.security}")
    if preset.regions:
        yield _add_comment("", f"other regions: {first_and_more([*_other_regions(preset)])}")
    yield from _login(preset.login, preset)
    address, what = _SENDERS[preset.sender]
    yield "  sender:"
    yield _add_comment(f"    address: {address}", what)
    yield ""
    yield "realms:"
    yield _add_comment("  acme:", "the name of your realm")
    yield "    sender: {name: Acme Corp}"


def _other_regions(preset: Preset) -> Iterator[str]:
    base = preset.name.removesuffix(f"-{preset.region}")
    yield from (f"{base}-{region}" for region in preset.regions if region != preset.region)


def _login(login: PresetLogin, preset: Preset) -> Iterator[str]:
    if login.username_rule is UsernameRule.NONE:
        return
    permitted = "leave it out where the server's address is permitted"
    yield _add_comment("    auth:", permitted) if login.optional else "    auth:"
    if login.username:
        yield _add_comment(f"      username: {login.username}", "exactly this text")
    else:
        username, what = _USERNAMES[login.username_rule]
        yield _add_comment(f"      username: {username}", what)
    reference = f"{{env: {login.variable}}}"
    if not preset.oauth:
        secret = "secret key of that token" if login.username_rule is UsernameRule.TOKEN else login.secret
        yield _add_comment(f"      password: {reference}", f"where the {secret} is; never the secret itself")
        return
    yield "      token:"
    yield _add_comment(f"        url: {preset.oauth.token_url.replace('{tenant}', 'TENANT')}", "your tenant's id")
    yield _add_comment("        client_id: 00000000-0000-0000-0000-000000000000", "of your application")
    yield _add_comment(f"        client_secret: {reference}", "never the secret itself")
    yield f"        scope: {preset.oauth.scope}"


def _add_comment(text: str, comment: str) -> str:
    return f"{text + '  ':<{_COLUMN}}# {comment}"
