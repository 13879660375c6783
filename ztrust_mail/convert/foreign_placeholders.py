"""Placeholders of other tools, which are recognised and never converted as values."""

import re
from dataclasses import dataclass

_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,199})"
_DEFAULT = r"(?::[-=?]?(?P<default>[^{}()\[\]]*))?"
_LOOKUPS = (
    "base64Decoder|base64Encoder|const|date|dns|file|java|localhost|properties|resourceBundle|script|sys"
    "|url|urlDecoder|urlEncoder|xml"  # those of Apache's StringSubstitutor, besides env
)
_ENV = rf"(?:env[:.]|var\.|(?!(?:{_LOOKUPS}):))"
_FILE = r"file:(?:UTF-?8:)?(?P<path>[^$(){}\s]{1,1000})"
_LOOKUP = r"lookup\(\s*['\"](?:ansible\.builtin\.)?env['\"]\s*,\s*['\"]%s['\"]\s*\)"
# Only forms in brackets: a password may well start with a dollar sign.
_SPELLINGS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\$\{{{_ENV}{_NAME}{_DEFAULT}\}}",
        rf"\$\({_ENV}{_NAME}{_DEFAULT}\)",
        rf"\$\{{{_FILE}\}}",
        rf"\$\({_FILE}\)",
        rf"\[\[\s*{_ENV}{_NAME}\s*\]\]",
        rf"\{{\{{\s*{_ENV}{_NAME}\s*\}}\}}",
        rf"\{{\{{\s*{_LOOKUP % _NAME}\s*\}}\}}",
        rf"\{{\{{\s*(?:getenv|env)\s+\"{_NAME}\"\s*\}}\}}",
        rf"#\{{{_NAME}\}}#?",
        rf"<<\s*{_NAME}\s*>>",
        rf"%%{_NAME}%%",
        rf"@@{_NAME}@@",
    )
)
# A whole value that is a placeholder, or a reference to a secret store, in a form that names no variable.
_NAMELESS = re.compile(
    r"\$\{(?!vault\.).+\}|\$\(.+\)|%\{.+\}|\[\[.+\]\]|\{\{.+\}\}|\{%.+%\}|<%.+%>"
    r"|<[A-Z][A-Z0-9_ -]*>|__[A-Z][A-Z0-9_]*__|ENC\[.+\]|ref\+\w+://.+|vault:\S+#\S+|op://.+"
    r"|<path:[^<>]+>|\(\(.+\)\)|arn:aws[\w-]*:(?:secretsmanager|ssm):.+",
    re.DOTALL,
)
# A part of a value. Of a sign that opens or closes a template, one is enough: the rest may be on another line.
_PARTS = re.compile(
    r"\$\{(?!vault\.[^{}]*\})|\$\(|%\{|\{\{|\}\}|\{%|%\}|<%|%>|#\{[^{}]+\}|\[\[[^\[\]]+\]\]|<<[^<>]+>>|%%\w+%%"
    r"|@@\w+@@|@[A-Za-z][\w.-]*@|__[A-Z][A-Z0-9_]*?__|%\(\w+\)s|(?<!\w)\.(?:Values|Release|Chart)\.\w"
    r"|\$[A-Z][A-Z0-9]*_[A-Z0-9_]+|[@.]\$\w|\(\([^()\s]+\)\)|%[A-Z][A-Z_]{2}[A-Z0-9_]*%"
)
_NAME_OF = r"[A-Za-z_][\w-]*"
_WORDS = re.compile(
    rf"\$[A-Za-z_]\w*|%[A-Za-z_]\w*%|<[A-Za-z][^<>]*>|var(?:\.{_NAME_OF})+|local\.{_NAME_OF}"
    rf"|each\.(?:key|value)\b.*|module(?:\.{_NAME_OF}){{2,}}|(?:Values|Release|Chart)(?:\.\w+)+"
    r"|(?:env|getenv|lookup|secret)\(.*\)|(?:ref\+\w+|op)://.+|arn:aws[\w-]*:(?:secretsmanager|ssm):.+|ENC\[.+\]"
    r"|(?i:change[-_ ]?me|replace[-_ ]?me|fill[-_ ]?me[-_ ]?in)|TODO|FIXME|TBD|XXX+|\(known after apply\)",
    re.DOTALL,
)
UNKNOWN = "(known after apply)"
"""What Terraform shows in place of a value that it will only know later."""


@dataclass(frozen=True)
class ForeignPlaceholder:
    """A placeholder that is a whole value: the variable or the file that it names, and whether it has a default."""

    name: str = ""
    has_default: bool = False
    path: str = ""


def parse_placeholder(text: str) -> ForeignPlaceholder | None:
    """Return the placeholder if the whole text is one, or None."""
    text = text.strip()
    for spelling in _SPELLINGS:
        if found := spelling.fullmatch(text):
            parts = found.groupdict()
            return ForeignPlaceholder(parts.get("name", ""), bool(parts.get("default")), parts.get("path", ""))
    return ForeignPlaceholder() if _NAMELESS.fullmatch(text) else None


def has_placeholder(text: str) -> bool:
    """Tell whether a text is or contains a placeholder, or a piece of a template; a vault's reference is neither."""
    return _PARTS.search(text) is not None or _WORDS.fullmatch(text.strip()) is not None
