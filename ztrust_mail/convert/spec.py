"""The spec as a format, with comments at the places that a person must complete."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from ztrust_mail.convert.format import CANNOT_HOLD, Format, ReadResult, UnnamedRealm, WriteResult, name_secrets
from ztrust_mail.core.errors import ExitStatus
from ztrust_mail.core.findings import Finding, Severity, warning
from ztrust_mail.core.text import CI_COMMAND, first_and_more, pluralise, printable, quoted
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.linting.lint import load_spec
from ztrust_mail.model.fields import (
    ABSENT,
    EXTRA,
    FIELDS,
    LOGIN,
    REPLY_TO_NAME,
    FieldMap,
    Raw,
    extra_field,
    field_of,
    message_of,
)
from ztrust_mail.specfile.entries import Spec
from ztrust_mail.specfile.export import (
    Leaves,
    is_valid_entry_name,
    missing_fields,
    to_entry,
    to_yaml,
    unrepresentable,
    unused_login_fields,
)
from ztrust_mail.specfile.load import validate_text
from ztrust_mail.specfile.placeholders import NAME_SERVER
from ztrust_mail.specfile.readers.document import Place, SourceText
from ztrust_mail.specfile.resolve import resolve_entry

Gaps = dict[str, dict[str, str]]
"""By realm and field, the reason why a value is not there."""

_MARK = "# complete: "
_ORDER = {name: number for number, name in enumerate(FIELDS)}
INCOMPLETE = "incomplete-spec"
_SHOWN = 3  # problems of an incomplete spec, or lines to complete
_BY_HAND = "left out; write it by hand"
_BECAUSE = "the value is not converted"
_LEAVES_OUT = ("placeholder", "masked-value", "bad-value", "plain-secret")
"""The rules of warnings on a value that is left out."""


class SpecFormat(Format):
    """A ztrust-mail spec, resolved: each realm with all it inherits."""

    name = "spec"
    title = "a spec"

    def read(self, path: str) -> ReadResult:
        """Return the settings of each realm that the spec names, see :meth:`read_spec`."""
        return self.read_spec(load_spec(path, KEYCLOAK.attribute_names))

    def read_spec(self, spec: Spec) -> ReadResult:
        """Return the settings of each realm that a spec names; globs cannot be expanded offline.

        Entries for certain servers are left out unless the spec is fitted to a server.
        """
        findings = list(spec.warnings)
        realms: dict[str, FieldMap] = {}
        for entry in spec.entries:
            if entry.is_glob:
                message = f"skipped the glob {quoted(entry.name)}: it cannot be expanded offline"
                hint = "give each realm an entry of its own"
                findings.append(warning("glob", message, hint, location=entry.location))
                continue
            wanted = resolve_entry(spec, entry, entry.name)
            findings.extend(wanted.findings)
            realms[entry.name] = wanted.fields
        for entry in spec.written if spec.target is None else ():
            if entry.limit:
                message = f"left out {entry.phrase}: it is for certain servers"
                findings.append(warning("of-servers", message, NAME_SERVER, location=entry.location))
        servers = (spec.target.name,) if spec.target and spec.target.name else spec.servers
        return ReadResult(realms, tuple(findings), spec.digests, servers)

    def write(self, realms: Mapping[str, FieldMap]) -> WriteResult:
        """Return a YAML spec with an entry for each realm."""
        return self.write_all(realms, (), (), "FILE")

    def write_all(
        self,
        realms: Mapping[str, FieldMap],
        unnamed: Sequence[UnnamedRealm],
        found: Iterable[Finding],
        path: str,
    ) -> WriteResult:
        """Return a YAML spec with a comment at each place to complete.

        The entries of realms without a name are comments. ``found`` are the warnings on values that were left out;
        ``path`` is the spec's file in messages.
        """
        entries: dict[str, Leaves | None] = {}
        findings: list[Finding] = []
        gaps = gaps_of(found, {**realms, **{one.stand_in: one.fields for one in unnamed}})
        for realm, fields in name_secrets(realms).items():
            if not is_valid_entry_name(realm):
                message = f"a spec cannot have an entry named {quoted(realm)}"
                findings.append(warning(CANNOT_HOLD, message, "left out; write the realm's real name", realm=realm))
                continue
            missing = gaps.setdefault(realm, {})
            entries[realm] = _leaves(realm, dict(fields), findings, missing) if fields or missing else None
        text, lines = mark_gaps(to_yaml(entries, {}, because=_BECAUSE), gaps)
        if unnamed:
            text, lines = _with_unnamed(text, lines, unnamed, gaps)
        incomplete = _incomplete(text, lines, path)
        return WriteResult(text, (*findings, *incomplete), ExitStatus.DIFFERS if incomplete else ExitStatus.OK)


def gaps_of(found: Iterable[Finding], realms: Mapping[str, FieldMap]) -> Gaps:
    """Return the reason for each field that was left out when its realm was read."""
    gaps: Gaps = {}
    for finding in found:
        name = finding.field or ""
        is_known = name in FIELDS or name == LOGIN
        name = name if is_known else extra_field(name)
        if not (finding.realm and finding.field and finding.rule in _LEAVES_OUT) or field_of(name).secret:
            continue
        if (is_known or finding.rule == "placeholder") and name not in realms.get(finding.realm, {}):
            gaps.setdefault(finding.realm, {})[name] = finding.message
    return gaps


def _leaves(realm: str, fields: FieldMap, findings: list[Finding], gaps: dict[str, str]) -> Leaves:
    """Return the fields that a spec can hold, and add the others, and the missing ones, to ``gaps``."""
    fields = {name: value for name, value in fields.items() if value is not ABSENT}
    for name in unrepresentable(fields):
        value = fields.pop(name)
        is_secret = field_of(name).secret and isinstance(value, Raw)
        message = f"{quoted(name)} is {'a value' if is_secret else quoted(value)}, which a spec cannot hold"
        findings.append(warning(CANNOT_HOLD, message, _BY_HAND, realm=realm, field=name))
        gaps[name] = message
    for name in _fields_without_effect(fields, gaps):
        del fields[name]
        message = f"`{name}` has no effect: the setting it belongs to is missing"
        hint = "left out; if it is wanted, add it together with the missing setting"
        findings.append(warning(CANNOT_HOLD, message, hint, realm=realm, field=name))
    for name in missing_fields(fields):
        if name not in gaps:
            gaps[name] = message = f"`{name}` is missing, and an entry needs it"
            hint = "add it: the spec is invalid without it"
            findings.append(warning("missing-field", message, hint, realm=realm, field=name))
    return to_entry(fields, gaps)


def _fields_without_effect(fields: FieldMap, gaps: Collection[str]) -> list[str]:
    """Return the fields without effect; the name of an address that is to be completed has one."""
    return [name for name in unused_login_fields(fields) if name != REPLY_TO_NAME or "reply_to.address" not in gaps]


def _with_unnamed(text: str, lines: list[int], unnamed: Sequence[UnnamedRealm], gaps: Gaps) -> tuple[str, list[int]]:
    """Add the entries of the realms without a name as comments, and return the text and its lines to complete."""
    text = text.replace("\nrealms: {}\n", "\nrealms:\n")
    lines = list(lines)
    for realm in unnamed:
        missing = gaps.setdefault(realm.stand_in, {})
        is_off = not realm.fields and not missing
        entry = {realm.stand_in: None if is_off else _leaves(realm.stand_in, dict(realm.fields), [], missing)}
        written, inner = mark_gaps(to_yaml(entry, {}, because=_BECAUSE), {realm.stand_in: missing})
        head, _, body = written.partition("\nrealms:\n")
        start = text.count("\n") + 1
        place = f"{quoted(realm.name)} at {realm.location}"
        text += f"  # complete: write the realm's name for {realm.stand_in} ({place}), and remove the `# ` below\n"
        text += "".join(f"  # {line[2:]}\n" for line in body.splitlines())
        lines += [start, *(line - head.count("\n") - 2 + start for line in inner)]
    return text, lines


def _incomplete(text: str, lines: Sequence[int], path: str) -> list[Finding]:
    """Return an error if the spec has places to complete, or if ``validate`` would refuse it."""
    hint = f"then run: ztrust-mail validate {path}"
    if lines:
        shown = first_and_more([str(line) for line in lines], _SHOWN)
        message = (
            f"the spec is incomplete: {pluralise(len(lines), 'place')} to complete, "
            f"marked by `# complete:` in {'line' if len(lines) == 1 else 'lines'} {shown}"
        )
        return [Finding(Severity.ERROR, INCOMPLETE, message, f"write the values, {hint}")]
    problems = [f for f in validate_text(text, KEYCLOAK.attribute_names) if f.severity is Severity.ERROR]
    if not problems:
        return []
    named = [f"line {f.location.line}: {f.message}" if f.location else f.message for f in problems]
    message = f"the spec is incomplete: {first_and_more(named, _SHOWN, '; ')}"
    return [Finding(Severity.ERROR, INCOMPLETE, message, f"complete it, {hint}")]


def mark_gaps(text: str, gaps: Mapping[str, Mapping[str, str]]) -> tuple[str, list[int]]:
    """Return a spec with a comment for each gap, and the lines of these comments.

    The comment is in the deepest block that the field belongs in: before the mapping to complete, or at the start.
    """
    if not any(gaps.values()):
        return text, []
    from ztrust_mail.specfile.readers.yaml import parse  # loads PyYAML, which most commands do not need

    source = SourceText("spec.yaml", text)
    _, (_, _, top) = parse(source)
    assert isinstance(top, dict)
    realms = top["realms"][2]
    before: dict[int, list[str]] = {}
    for realm, fields in gaps.items():
        if not isinstance(realms, dict) or realm not in realms:
            continue
        for name, reason in sorted(fields.items(), key=lambda gap: (_ORDER.get(gap[0], len(_ORDER)), gap[0])):
            line, keys = _line_of(source, realm, realms[realm], _keys_of(name))
            comment = f"{_MARK}{printable('.'.join(keys))}: {printable(reason)}"
            before.setdefault(line, []).append(CI_COMMAND.sub(r"\\x23#", comment))
    return _insert_comments(text, before)


def _keys_of(name: str) -> list[str]:
    return name.split(".", 3 if message_of(name) else 1 if name.startswith(f"{EXTRA}.") else -1)


def _line_of(source: SourceText, realm: str, entry: Place, keys: list[str]) -> tuple[int, list[str]]:
    """Return the line of the comment on a field, and the keys from the block around that line to the field."""
    place, rest = entry, [realm, *keys]
    line = source.location(entry[0]).line
    for n, key in enumerate(keys):
        inside = place[2] if isinstance(place[2], dict) else {}
        first = min((source.location(one[0]).line for one in inside.values()), default=line)
        if first == source.location(place[0]).line:  # the mapping is written on one line
            break
        line, rest = first, keys[n:]
        if key not in inside:
            break
        place = inside[key]
        line = source.location(place[0]).line
    return line, rest


def _insert_comments(text: str, before: Mapping[int, list[str]]) -> tuple[str, list[int]]:
    result: list[str] = []
    marked: list[int] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        indent = line[: len(line) - len(line.lstrip())]
        for comment in before.get(number, ()):
            result.append(f"{indent}{comment}")
            marked.append(len(result))
        result.append(line)
    return "".join(f"{line}\n" for line in result), marked
