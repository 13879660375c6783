"""What people look up, as lines of text: mail providers and rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from ztrust_mail.core.rules import GROUPS, Rule
from ztrust_mail.providers.presets import Preset, PresetPort, ProviderKind, SenderRule, UsernameRule
from ztrust_mail.reports.style import HANG, WHOLE, Line, Span, line
from ztrust_mail.reports.text.lines import SEVERITY_STYLES, command_line

_KINDS = {
    ProviderKind.SERVICE: "Services for mail of programs",
    ProviderKind.MAILBOX: "Mailboxes",
    ProviderKind.DEVELOPMENT: "For development",
}
_USERNAMES = {
    UsernameRule.ADDRESS: "the whole address",
    UsernameRule.ISSUED: "as the provider shows it",
    UsernameRule.TOKEN: "the secret itself",
}
_SENDERS = {
    SenderRule.LOGIN: "the address of the login, or an alias of it",
    SenderRule.VERIFIED: "an address or domain verified with the provider",
    SenderRule.ANY: "any address",
}
_LABEL, _REGIONS, _TEXT = 12, 30, 78


def preset_table(presets: Sequence[Preset]) -> Iterator[Line]:
    """Yield the presets by kind, a line for each, and how to use one."""
    width = max(len(_name(one)) for one in presets)
    hosts = max(len(one.host) for one in presets)
    for kind, heading in _KINDS.items():
        yield line(Span(heading, "bold"))
        for one in presets:
            if one.kind is kind:
                yield line(f"  {_name(one):<{width}}  {one.host:<{hosts}}  {one.port:>4} {one.security}")
    yield line()
    yield command_line("The facts of one, with their sources", "ztrust-mail presets sendgrid")
    yield command_line("A first spec with one", "ztrust-mail init --preset sendgrid --out mail.yaml")


def _name(preset: Preset) -> str:
    return f"{preset.name}-REGION" if preset.needs_region else preset.name


def preset_lines(preset: Preset) -> Iterator[Line]:
    """Yield all facts of a preset, and the pages they are from."""
    yield line(Span(preset.name, "bold"), f"  {preset.title}")
    for label, texts in preset_facts(preset):
        for number, text in enumerate(texts):
            yield line(f"  {'' if number else label:<{_LABEL}}", Span("", HANG), text)
    for old in preset.deprecations:
        yield line(f"  {'until':<{_LABEL}}", Span("", HANG), Span(f"{old.date}", "yellow"), f"  {old.text} [{old.id}]")
    for number, remark in enumerate(preset.remarks):
        yield line(f"  {'' if number else 'notes':<{_LABEL}}", Span("", HANG), remark)
    yield line()
    yield line(Span("Sources", "bold"))
    for page in preset.sources:
        yield line(f"  {page.read}  {', '.join(page.facts)}")
        yield line("    ", Span(page.url, WHOLE))


def preset_facts(preset: Preset) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield each fact of a preset as its label and its texts."""
    yield "host", [preset.host]
    if preset.regions:
        yield "regions", wrap(", ".join(preset.regions), _TEXT - _LABEL, break_on_hyphens=False)
    yield "ports", [_ports(preset.ports)]
    yield from _login(preset)
    yield "From", [_SENDERS[preset.sender]]
    if preset.spf:
        yield "SPF", [f"include:{preset.spf}"]
    if preset.limits:
        yield "limits", [str(limit) for limit in preset.limits]
    if preset.oauth:
        yield "token", [f"url {preset.oauth.token_url}", f"scope {preset.oauth.scope}", preset.oauth.permission]


def _ports(ports: Sequence[PresetPort]) -> str:
    first, *others = (f"{one.port} {one.security}" for one in ports)
    return f"{first} (also {', '.join(others)})" if others else first


def _login(preset: Preset) -> Iterator[tuple[str, Sequence[str]]]:
    login = preset.login
    if login.username_rule is UsernameRule.NONE:
        yield "login", ["none"]
        return
    yield "user name", [f"always {login.username}" if login.username else _USERNAMES[login.username_rule]]
    or_password = f", or {login.password}" if login.password else ""
    no_login = ", or no login where the server's address is permitted" if login.optional else ""
    yield "secret", [f"{login.secret}{or_password}{no_login}"]


def rule_lines(found: Rule) -> Iterator[Line]:
    """Yield a rule with its severity, title and help."""
    yield line(Span(found.id, "bold"), "  ", Span(found.severity.value, SEVERITY_STYLES[found.severity]))
    yield line(f"  {found.title}")
    yield line()
    for one in wrap(found.help, 78, break_long_words=False, break_on_hyphens=False):
        yield line(f"  {one}")


def rule_table(rules: Sequence[Rule]) -> Iterator[Line]:
    """Yield the rules by group, a line for each."""
    width = max(len(rule.id) for rule in rules)
    for group, heading in GROUPS.items():
        yield line(Span(heading, "bold"))
        for rule in rules:
            if rule.group == group:
                severity = Span(f"{rule.severity:<8}", SEVERITY_STYLES[rule.severity])
                yield line(f"  {rule.id:<{width}}  ", severity, "  ", Span("", HANG), rule.title)
