"""A sheet as one self-contained HTML page: checkboxes, copy buttons, and in print a page per realm.

ElementTree builds it, so that every text and attribute is escaped; the policy permits the page's own style and script.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from importlib import resources
from xml.etree.ElementTree import Element, tostring

from ztrust_mail.convert.sheets.sheet import ADVICE, FormField, RealmSheet, Sheet, finding_text, marked_parts
from ztrust_mail.core.findings import Finding
from ztrust_mail.core.text import pluralise, printable

_ESCAPES = "The value has invisible characters, written here as escapes such as \\u200b."
_FOLDED = 12  # realms from which on their list is folded


def write(sheet: Sheet) -> str:
    """Return the sheet as HTML."""
    style, script = _data("sheet.css"), _data("sheet.js")
    parts = [
        '<!doctype html>\n<html lang="en">',
        _as_text(_head(sheet, style, script)),
        "<body>",
        _as_text(_header(sheet)),
        *([_as_text(_contents(sheet))] if len(sheet.realms) > 1 else []),
        "<main>",
        *(_as_text(_section(sheet, number)) for number in range(len(sheet.realms))),
        "</main>",
        '<footer><p id="said" role="status"></p></footer>',
        _as_text(_element("script", {}, script)),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _data(name: str) -> str:
    return (resources.files("ztrust_mail") / "data" / name).read_text("utf-8")


def _element(tag: str, attributes: dict[str, str], *children: Element | str) -> Element:
    """Return an element whose texts are escaped, and show invisible characters."""
    made = Element(tag, {name: printable(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, Element):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + printable(child)
        else:
            made.text = (made.text or "") + (child if tag in ("script", "style") else printable(child))
    return made


def _as_text(element: Element) -> str:
    for row in element.iter("tr"):
        row.tail = "\n"
    return tostring(element, "unicode", method="html")


def _head(sheet: Sheet, style: str, script: str) -> Element:
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _element(
        "head",
        {},
        _element("meta", {"charset": "utf-8"}),
        _element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        _element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        _element("meta", {"name": "color-scheme", "content": "light dark"}),
        _element("link", {"rel": "icon", "href": "data:,"}),
        _element("title", {}, sheet.title),
        _element("style", {}, style),
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _header(sheet: Sheet) -> Element:
    facts = [part for label, text in sheet.facts for part in (_element("dt", {}, label), _element("dd", {}, text))]
    return _element(
        "header",
        {},
        _element("h1", {}, sheet.product),
        *([_element("p", {"class": "page"}, sheet.page)] if sheet.page else []),
        *(_element("p", {}, line) for line in sheet.instructions),
        *([_element("dl", {}, *facts)] if facts else []),
        *_findings(sheet.findings),
    )


def _contents(sheet: Sheet) -> Element:
    links = [_element("a", {"href": f"#realm-{n}"}, one.realm) for n, one in enumerate(sheet.realms, 1)]
    summary = _element("summary", {}, pluralise(len(links), "realm"))
    opened = {"open": ""} if len(links) < _FOLDED else {}
    return _element("nav", {"aria-label": "Realms"}, _element("details", opened, summary, _element("p", {}, *links)))


def _section(sheet: Sheet, number: int) -> Element:
    realm, anchor = sheet.realms[number], f"realm-{number + 1}"
    heads = (_element("th", {"scope": "col"}, head) for head in ("Done", "Field", "Value"))
    how = " ".join([f"{sheet.title}.", *sheet.instructions])
    origin = "; ".join(f"{label.lower()}: {text}" for label, text in sheet.facts)
    return _element(
        "section",
        {"aria-labelledby": anchor},
        *([_element("p", {"class": "print"}, how)] if number else []),
        _element("h2", {"id": anchor}, "Realm ", _element("code", {}, realm.realm)),
        *_findings(realm.findings),
        _element(
            "table",
            {},
            _element("thead", {}, _element("tr", {}, *heads)),
            _element("tbody", {}, *(_form_field(realm, field) for field in realm.form_fields)),
        ),
        *(_advice(sheet.advice) if sheet.advice else ()),
        *([_element("p", {"class": "print"}, f"{sheet.product}, {origin}")] if number and origin else []),
    )


def _form_field(realm: RealmSheet, field: FormField) -> Element:
    box = _element("input", {"type": "checkbox", "aria-label": f"Done: {field.label} of {realm.realm}"})
    empty = _element("i", {}, "missing" if field.is_missing else "leave empty")
    value = [_element("code", {}, field.value) if field.value else empty]
    if field.is_secret:
        value.append(_element("p", {"class": "hint"}, "Secret: type its value, not this name."))
    elif field.has_escapes:
        value.append(_element("p", {"class": "hint"}, _ESCAPES))
    elif field.value:
        attributes = {"type": "button", "aria-label": f"Copy {field.label} of {realm.realm}"}
        value.append(_element("button", attributes, "Copy"))
    return _element(
        "tr",
        {},
        _element("td", {}, box),
        _element("th", {"scope": "row"}, field.label),
        _element("td", {}, _element("div", {}, *value), *_findings(field.findings)),
    )


def _advice(advice: Iterable[str]) -> tuple[Element, ...]:
    steps = (_element("label", {}, _element("input", {"type": "checkbox"}), f" {one}") for one in advice)
    return _element("h3", {}, ADVICE), _element("div", {"class": "steps"}, *steps)


def _findings(findings: Iterable[Finding]) -> Iterable[Element]:
    for finding in findings:
        kind, _, text = finding_text(finding).partition(": ")
        parts = (_element("code", {}, part) if is_code else part for part, is_code in marked_parts(f" {text}"))
        yield _element("p", {"class": "finding"}, _element("strong", {}, f"{kind}:"), *parts)
