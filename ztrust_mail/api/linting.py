"""The verbs ``validate`` and ``lint``, and the lint rules about a server in plans and drift reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ztrust_mail import settings as config
from ztrust_mail.api.session import Session
from ztrust_mail.api.specs import find_unknown_servers, target_of, texts_of
from ztrust_mail.core.errors import RealmError, ServerError
from ztrust_mail.core.findings import Finding, Severity, has_errors
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.gateways.gateway import Gateway, LiveRealm, ServerInfo
from ztrust_mail.linting.baseline import Baseline, Identifier, compare_with_baseline, read_baseline, report_gone
from ztrust_mail.linting.lint import SERVER_RULES, drop_ignored, find_in_spec, find_on_server, find_unused
from ztrust_mail.linting.result import LintResult
from ztrust_mail.linting.rule import LiveRealmFacts, ServerView
from ztrust_mail.linting.rules import RULES
from ztrust_mail.linting.rules.server import needs_mail
from ztrust_mail.linting.selection import LintOptions, RuleSelection, choose_rules
from ztrust_mail.model.fields import HOST, SECURITY, Raw
from ztrust_mail.planning.plan import Plan, finding_of
from ztrust_mail.settings import LintSettings
from ztrust_mail.specfile import load
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.load import Given, Validation

if TYPE_CHECKING:
    from ztrust_mail.planning.planners.from_spec import Selection


@dataclass(frozen=True)
class LintCall:
    """How to lint: the caller's options, the settings, the baseline, and the lowest severity that fails.

    ``is_new`` tells that the baseline is about to be written, so that it need not exist.
    """

    options: LintOptions
    settings: LintSettings = field(default_factory=LintSettings)
    baseline: Path | None = None
    is_new: bool = False
    fail_on: Severity = Severity.WARNING

    def read_baseline(self) -> Baseline | None:
        """Return the baseline, if one is named. Raises :class:`UsageError`."""
        if self.baseline is None or (self.is_new and not self.baseline.exists()):
            return Baseline(self.baseline) if self.baseline else None
        return read_baseline(self.baseline)


def validate(
    given: Given,
    *,
    server: str | None = None,
    variables: Mapping[str, str] | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> tuple[Spec, list[Finding]]:
    """Return the valid part of a spec, and all findings; offline. The lint rules are those that are on by default.

    With the name of a server, they are those of the spec as this server has it. Else what only a server knows is left
    open. The other arguments are those of :func:`load_spec`. Raises :class:`ConfigError`, :class:`UsageError`.
    """
    environ = config.Environment(environ)  # else an exception would hold the variables as locals of this function
    checked = check_spec(given, server=server, variables=variables, config_path=config_path, environ=environ)
    result = lint_spec(checked, LintCall(LintOptions()))
    return result.spec, list(result.findings)


def lint(
    given: Given,
    session: Session | None = None,
    *,
    realms: Sequence[str] = (),
    options: LintOptions | None = None,
    baseline: Path | str | None = None,
    fail_on: Severity = Severity.WARNING,
    variables: Mapping[str, str] | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> LintResult:
    """Return the findings of the lint rules for a spec and, with a session, for its realms on the server.

    With a session, the spec is resolved for its server. ``variables``, ``config_path`` and ``environ`` are those of
    :func:`load_spec`.
    ``realms`` are globs that limit the realms read from the server. ``options`` select and ignore rules, and set the
    date for date-based rules. Findings in the ``baseline`` file are counted, not returned. ``fail_on`` is the lowest
    severity that counts for the exit status. Raises :class:`UsageError` for an unknown rule or a bad baseline, and
    :class:`ServerError`.
    """
    settings = session.lint if session else LintSettings()
    call = LintCall(options or LintOptions(), settings, Path(baseline) if baseline else None, fail_on=fail_on)
    environ = config.Environment(environ)
    checked = check_spec(given, variables=variables, config_path=config_path, environ=environ)
    return lint_spec(checked, call, session, realms)


def check_spec(
    given: Given,
    *,
    server: str | None = None,
    variables: Mapping[str, str] | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Validation:
    """Return the valid part of a spec and all its problems of correctness, as :func:`validate` does."""
    environ = config.Environment(environ)
    read = read_spec(given, variables=variables, config_path=config_path, environ=environ)
    return check_for_server(read, server, config_path=config_path, environ=environ)


def read_spec(
    given: Given,
    *,
    variables: Mapping[str, str] | None = None,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Validation:
    """Return the valid part of a spec and its problems on any server, to be checked for one server or several."""
    environ = config.Environment(environ)
    return load.validate(given, KEYCLOAK.attribute_names, texts_of(variables, config_path, environ))


def check_for_server(
    read: Validation,
    server: str | None,
    *,
    config_path: str | None = None,
    environ: config.Variables = config.PROCESS,
) -> Validation:
    """Return the valid part and the problems of a spec on a server in the settings.

    Without a server, do not check what depends on one, but report limits to unknown servers.
    """
    environ = config.Environment(environ)
    if server is None:
        unknown = find_unknown_servers(read.spec, config_path, environ) if read.spec.is_limited else ()
        return read.with_problems(unknown)
    chosen = config.choose_server(config.load(config_path, environ), server, read.spec.servers, environ)
    return read.with_problems(chosen.findings).fit_to(target_of(chosen))


def lint_spec(
    checked: Validation, call: LintCall, session: Session | None = None, realms: Sequence[str] = ()
) -> LintResult:
    """Return the findings of the lint rules, like :func:`lint`. An invalid spec is not compared with the server."""
    if session:
        checked = checked.fit_to(target_of(session.server))
    selection, baseline = choose_rules(call.options, call.settings), call.read_baseline()
    if not checked.has_valid_form:
        return LintResult(checked.spec, tuple(checked.findings()), is_valid=False, fail_on=call.fail_on)
    is_valid = not has_errors(checked.problems)
    asked = session if is_valid else None
    found, failed = find_in_spec(checked.spec, checked.wanted, selection), list[Finding]()
    found += (one for one in checked.problems if one.rule in RULES and selection.keeps(one))
    if asked:
        on_server, failed = _lint_server(checked.spec, asked, selection, realms)
        found += on_server
    kept, used = drop_ignored(found, checked.spec.ignores)
    ignored = len(found) - len(kept)
    if is_valid and not checked.spec.is_limited:  # else a rule may have had nothing to run on
        kept += find_unused(checked.spec.ignores, used, selection, with_server=bool(asked))
    result = LintResult(
        checked.spec,
        (),
        asked.server.url if asked else "",
        ignored,
        is_valid=is_valid,
        unread=bool(failed),
        fail_on=call.fail_on,
    )
    if baseline:
        judged = _judged_rules(checked.spec, selection, with_server=bool(asked))
        compared = compare_with_baseline(kept, baseline, Identifier(checked.spec, baseline.path), judged)
        kept = [*compared.new, *(() if call.is_new else report_gone(compared.gone, baseline.path))]
        result = replace(result, known=compared.known, rows=compared.rows)
    placed = [one for one in (*failed, *kept) if one.location]
    unplaced = [one for one in (*failed, *kept) if not one.location]
    return replace(result, findings=(*checked.findings(placed, without=RULES), *unplaced))


def _judged_rules(spec: Spec, selection: RuleSelection, *, with_server: bool) -> frozenset[str]:
    """Return the rules whose findings in a baseline are fixed if this run does not find them.

    There are none if entries are for certain servers: another server may have the finding.
    """
    if spec.is_limited:
        return frozenset()
    return selection.rules - (frozenset() if with_server else {rule.rule for rule in SERVER_RULES})


def _lint_server(
    spec: Spec, session: Session, selection: RuleSelection, realms: Sequence[str]
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings for the server, and an error for each realm that cannot be read."""
    from ztrust_mail.planning.planners.from_spec import select_realms

    gateway = session.gateway
    selected = select_realms(spec, gateway, realms, everything=True)
    view = make_server_view(gateway, selected, selection)
    if needs_mail.rule in selection.rules:
        view = _add_workflows(view, gateway)
    journal = session.journal_for_reading
    if journal:
        view = replace(view, secrets=journal.secret_times(gateway.url))
    failed = [finding_of(e, realm) for realm, e in _readings_of(selected).items() if isinstance(e, RealmError)]
    glob_problems = [one for one in selected.findings if one not in spec.warnings and one.severity is Severity.ERROR]
    return find_on_server(view, selection), [*glob_problems, *failed]


def _add_workflows(view: ServerView, gateway: Gateway) -> ServerView:
    """Return the view with the workflows that send mail, of those realms for which they matter."""
    found = gateway.mail_workflows([realm for realm in view.realms if view.stays_without_mail(realm)])
    workflows = {realm: replace(view.realms[realm], workflows=names) for realm, names in found.items() if names}
    return replace(view, realms={**view.realms, **workflows})


def _readings_of(selected: Selection) -> Mapping[str, LiveRealm | RealmError]:
    """Return the selected realms as read, and those without an entry if requested.

    Other realms may have been read too, if one list costs less than single reads.
    """
    names = (*(one.realm for one in selected.wanted), *selected.uncovered)
    return {name: selected.reading.realms[name] for name in names if name in selected.reading.realms}


def make_server_view(gateway: Gateway, selected: Selection, selection: RuleSelection) -> ServerView:
    """Return the facts for the rules about a server; asks the server for its version, themes and senders."""
    try:
        info = gateway.server_info()
    except (RealmError, ServerError):  # the realms were read: a server that does not describe itself is no failure
        info = ServerInfo()
    facts = {}
    for realm, live in _readings_of(selected).items():
        if isinstance(live, LiveRealm):
            fields = gateway.dialect.decode(live.attributes)
            both = isinstance(fields.get(SECURITY), Raw)
            facts[realm] = LiveRealmFacts(bool(fields.get(HOST)), live.needs_mail, live.theme, both)
    by_realm = {one.realm: one for one in selected.wanted if not one.findings}
    return ServerView(
        gateway.dialect, by_realm, facts, selection.today, info.version, info.themes, info.senders,
        limits=selection.limits,
    )  # fmt: skip


def lint_plan(plan: Plan, spec: Spec, session: Session, selected: Selection, options: LintOptions | None) -> Plan:
    """Return a plan without the findings that are not selected, or that comments in the spec ignore.

    With ``options`` the rules about the server are run, too.
    """
    selection = choose_rules(options or LintOptions(), session.lint)
    more: Sequence[Finding] = ()
    if options and any(rule.rule in selection.rules for rule in SERVER_RULES):
        view = make_server_view(session.gateway, selected, selection)
        more = find_on_server(view, selection)

    def keep(found: Iterable[Finding]) -> tuple[Finding, ...]:
        return tuple(drop_ignored(filter(selection.keeps, found), spec.ignores)[0])

    realms = (replace(one, findings=keep(one.findings)) if one.findings else one for one in plan.realms)
    return replace(plan, realms=tuple(realms), own_findings=keep((*plan.own_findings, *more)))
