"""Fits a spec to one server: its entries and overlays, and its variables."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, combinations

from ztrust_mail.core.errors import UsageError
from ztrust_mail.core.findings import FileFindings, Finding, Location, error, note
from ztrust_mail.model.fields import HOST, LOGIN, PORT, SECURITY, is_within
from ztrust_mail.specfile.entries import NO_DEFAULTS, Entry, Setting, Spec, Target, defined_twice
from ztrust_mail.specfile.placeholders import SERVER, placeholders_of
from ztrust_mail.specfile.resolve import merge

_REFINE = "keep one of them; to change single values on some servers, use an overlay: see `ztrust-mail docs stages`"


def fit_to_server(spec: Spec, target: Target) -> tuple[Spec, FileFindings]:
    """Return the spec as resolved for one server, and the problems of its entries there.

    Raises :class:`UsageError` for a server without a name if the spec has entries for certain servers.
    """
    if spec.is_limited and not target.name:
        message = "the spec has entries for certain servers, and this server was given by its URL, without a name"
        raise UsageError(message, "give it a name in the settings, and choose it by --server NAME")
    found = FileFindings()
    fitting = _Fitting(target)
    chosen = list(fitting.choose(spec.written))
    found.extend(fitting.findings)
    defaults = next((entry for entry in chosen if not entry.name), NO_DEFAULTS)
    entries = tuple(entry for entry in chosen if entry.name)
    fitted = replace(spec, entries=entries, defaults=defaults, target=target)
    return replace(fitted, filled=_texts_filled_in(fitted)), found


def check_stages(spec: Spec) -> Iterator[Finding]:
    """Yield the problems of entries and overlays that are independent of the servers' labels."""
    bases: dict[str, list[Entry]] = {}
    for entry in spec.written:
        if entry.is_overlay:
            continue
        earlier = bases.setdefault(entry.name, [])
        if clash := next((one for one in earlier if _always_clash(one, entry)), None):
            limited = entry.limit or clash.limit
            yield defined_twice(entry.phrase, entry.location, clash.location, *([_REFINE] if limited else []))
        earlier.append(entry)
    for entry in spec.written:
        if not entry.is_overlay:
            continue
        if not entry.limit:
            message = f"{entry.phrase} is an overlay without servers"
            hint = "name them: `servers: prod`, here or at the top of the file; or leave overlay out"
            yield error("overlay-without-servers", message, hint, entry.location)
        if entry.name not in bases:
            yield _nothing_to_refine(entry, "no file defines it")
    names = dict.fromkeys(name for entry in spec.written if entry.limit for name in entry.limit.exact_names)
    for name in names:
        target = Target(name)
        by_name = [entry for entry in spec.written if entry.is_overlay and entry.limit and entry.limit.names]
        yield from _conflicts([entry for entry in by_name if entry.limit and entry.limit.fits(target)], target)


def _always_clash(one: Entry, other: Entry) -> bool:
    """Tell whether a server with both entries certainly exists, judging by the names alone."""
    if not (one.limit and other.limit):
        return True
    if not (one.limit.names and other.limit.names):
        return False
    names = map(Target, (*one.limit.exact_names, *other.limit.exact_names))
    return any(one.limit.fits(target) and other.limit.fits(target) for target in names)


def _nothing_to_refine(entry: Entry, why: str) -> Finding:
    hint = "correct the name, or leave out `overlay: true` to define it here"
    return error("overlay-without-entry", f"{entry.phrase} is an overlay of nothing: {why}", hint, entry.location)


@dataclass
class _Fitting:
    """Chooses the entries of one server, with the overlays applied."""

    target: Target
    findings: list[Finding] = field(default_factory=list)

    def choose(self, written: Iterable[Entry]) -> Iterator[Entry]:
        """Yield them in the order written."""
        bases: dict[str, Entry] = {}
        overlays: dict[str, list[Entry]] = {}
        for entry in written:
            if entry.limit and not entry.limit.fits(self.target):
                continue
            if entry.is_overlay:
                overlays.setdefault(entry.name, []).append(entry)
            elif earlier := bases.get(entry.name):
                what = f"{entry.phrase} for {self.target.phrase}"
                self.findings.append(defined_twice(what, entry.location, earlier.location, _REFINE))
            else:
                bases[entry.name] = entry
        for name, several in overlays.items():
            if name not in bases:
                why = f"no file defines it for {self.target.phrase}"
                self.findings += [_nothing_to_refine(entry, why) for entry in several]
            self.findings += _conflicts(several, self.target)
        for name, base in bases.items():
            yield self._refine(base, overlays[name]) if name in overlays else base

    def _refine(self, base: Entry, overlays: list[Entry]) -> Entry:
        """Return an entry with its overlays applied, each as a level above it."""
        refined = base
        for overlay in overlays:
            self.findings += _dropped_by(refined, overlay)
            if refined.disabled and "disabled" not in overlay.switches:
                message = f"{overlay.phrase} is an overlay of an entry that is disabled at {base.location}"
                hint = "add `disabled: false` to enable it on these servers, or remove the overlay"
                self.findings.append(error("overlay-of-disabled", message, hint, overlay.location))
            refined = replace(
                refined,
                settings=merge(refined.settings, {n: replace(s, overlay=True) for n, s in overlay.settings.items()}),
                variables={**refined.variables, **overlay.variables},
                disabled=overlay.disabled if "disabled" in overlay.switches else refined.disabled,
                expect_min=overlay.expect_min if "expect" in overlay.switches else refined.expect_min,
                overlays=(*refined.overlays, overlay),
            )
        return refined


def _dropped_by(base: Entry, overlay: Entry) -> Iterator[Finding]:
    """Yield a note if an overlay sets another host, and so does not inherit the login of the entry it changes."""
    own = [name for name, one in overlay.settings.items() if is_within(name, LOGIN) and not one.preset]
    if HOST not in overlay.settings or own or overlay.disabled:
        return
    kept = merge(base.settings, overlay.settings)
    lost = [name for name, one in base.settings.items() if name not in kept and not one.removed]
    groups = [group for group in (LOGIN, PORT, SECURITY) if any(is_within(name, group) for name in lost)]
    if groups:
        what = " and ".join(f"`{group}`" for group in groups)
        place = next(one.location for name, one in base.settings.items() if is_within(name, groups[0]))
        message = f"the overlay of {overlay.phrase} sets `{HOST}`, so it does not inherit {what} of the entry ({place})"
        hint = f"repeat {what} with the host; `auth: false` says that there is no login, and ends this note"
        yield note("login-not-inherited", message, hint, overlay.settings[HOST].location, field=HOST)


def _conflicts(overlays: list[Entry], target: Target) -> Iterator[Finding]:
    """Yield an error for each pair of overlays of one entry whose result depends on their order."""
    by_name: dict[str, list[Entry]] = {}
    for entry in overlays:
        by_name.setdefault(entry.name, []).append(entry)
    for one, other in chain.from_iterable(combinations(several, 2) for several in by_name.values()):
        if not (found := _conflict(one, other)):
            continue
        what, first, second = found
        message = f"two overlays of {one.phrase} for {target.phrase} set {what}: here and at {first}"
        hint = "keep one of them, or limit them to different servers"
        yield error("overlay-conflict", message, hint, second)


def _conflict(one: Entry, other: Entry) -> tuple[str, Location, Location] | None:
    """Return the fields that two overlays both set, or that one sets and the other removes, with both places."""
    for name, setting in one.settings.items():
        for also, second in other.settings.items():
            if is_within(name, also) or is_within(also, name):
                return f"`{max(name, also, key=len)}`", setting.location, second.location
    for name in one.variables.keys() & other.variables.keys():
        return f"the variable `{name}`", one.variables[name].location, other.variables[name].location
    if shared := sorted(one.switches & other.switches):
        return f"`{shared[0]}`", one.location, other.location
    if one.disabled or other.disabled:
        return "`disabled` and other values", one.location, other.location
    dropped = _first_dropped(one.settings, other.settings) or _first_dropped(other.settings, one.settings)
    if dropped:
        return f"`{dropped}` and a host or kind of login that drops it", one.location, other.location
    return None


def _first_dropped(below: Mapping[str, Setting], above: Mapping[str, Setting]) -> str:
    merged = merge(below, above)
    return next((name for name in below if name not in merged), "")


def _texts_filled_in(spec: Spec) -> Mapping[str, str]:
    """Return the texts of placeholders that are not from the spec's files, as far as the spec uses them."""
    assert spec.target is not None
    texts = {SERVER: spec.target.name, **spec.target.variables, **{n: one.text for n, one in spec.given.items()}}
    used = placeholders_used([spec.defaults, *spec.entries])
    found = {name: texts[name] for name in sorted(used) if texts.get(name)}
    return {SERVER: spec.target.name, **found} if spec.is_limited else found


def placeholders_used(entries: Iterable[Entry]) -> set[str]:
    """Return the placeholders that the values of entries use."""
    return {name for entry in entries for setting in entry.settings.values() for name in placeholders_of(setting.value)}
