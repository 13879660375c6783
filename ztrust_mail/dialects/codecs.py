"""Codecs: how the value of a field is written as the texts of attributes, and read from any text."""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ztrust_mail.core.secret import SecretKind, SecretRef
from ztrust_mail.model.fields import DEFAULT_PORTS, Duration, FieldValue, Kind, Login, Masked, Raw, Security
from ztrust_mail.model.values import MAX_DURATION_MS, BadValue, parse

Texts = tuple[str | None, ...]


class Codec(ABC):
    """Translates a field's value to the texts of its attributes, in the row's order.

    ``decode`` is the inverse of ``encode`` and accepts any text: what does not parse becomes ``Raw``.
    """

    @abstractmethod
    def encode(self, value: FieldValue) -> Texts:
        """Return the text of each attribute, None for omitted ones."""

    @abstractmethod
    def decode(self, texts: Texts) -> FieldValue | None:
        """Return the value, or None if the attributes do not determine a value. At least one text is given.

        The texts of attributes that the row only reads follow those of its own attributes.
        """

    def can_encode(self, value: FieldValue) -> bool:
        """Return whether the value can be written."""
        return True


class OneText(Codec):
    """A codec with one attribute, which holds the value as text."""

    def encode(self, value: FieldValue) -> Texts:
        return (str(value),)

    def decode(self, texts: Texts) -> FieldValue | None:
        (text,) = texts
        assert text is not None
        return self.decode_text(text)

    def decode_text(self, text: str) -> FieldValue | None:
        """Return the value of a text; :class:`Raw` if the text is invalid, None if it carries no value."""
        return text


class Text(OneText):
    """Any text, unchanged."""


class AddressList(OneText):
    """Several addresses in one text, separated by commas or semicolons."""

    def decode_text(self, text: str) -> FieldValue | None:
        try:
            return parse(Kind.ADDRESSES, text.replace(";", ","), utf8=True)
        except BadValue:
            return Raw(text)


def _whole_number(text: str) -> int:
    return int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0


class Port(OneText):
    """A whole number from 1 to 65535, as Java parses it."""

    def decode_text(self, text: str) -> FieldValue | None:
        number = _whole_number(text)
        return number if 1 <= number <= 65535 else Raw(text)


class Milliseconds(OneText):
    """A duration as a whole number of milliseconds."""

    def encode(self, value: FieldValue) -> Texts:
        return (str(value.milliseconds if isinstance(value, Duration) else value),)

    def decode_text(self, text: str) -> FieldValue | None:
        number = _whole_number(text)
        return Duration(number) if 0 < number <= MAX_DURATION_MS else Raw(text)


class Switch(OneText):
    """``true`` or ``false``; to Keycloak only exactly ``true`` is on."""

    def encode(self, value: FieldValue) -> Texts:
        return (value.text if isinstance(value, Raw) else "true" if value is True else "false",)

    def decode_text(self, text: str) -> FieldValue | None:
        return _truth(text) if text in ("true", "false") else Raw(text)


def _truth(text: str | None) -> bool:
    return text == "true"


class AnySwitch(Switch):
    """``true`` or ``false`` in upper or lower case, as .NET writes and parses them."""

    def decode_text(self, text: str) -> FieldValue | None:
        lower = text.casefold()
        return _truth(lower) if lower in ("true", "false") else Raw(text)


class StartTlsAndSsl(Codec):
    """The relay's security as Keycloak's two switches, ``starttls`` and ``ssl``; both on is not a valid value."""

    def encode(self, value: FieldValue) -> Texts:
        if isinstance(value, Raw):
            return _split_pair(value, "starttls", "ssl")
        return ("true" if value is Security.STARTTLS else "false", "true" if value is Security.TLS else "false")

    def decode(self, texts: Texts) -> FieldValue | None:
        starttls, ssl = texts
        if any(text not in ("true", "false", None) for text in texts) or (_truth(starttls) and _truth(ssl)):
            return Raw(f"starttls={starttls or ''} ssl={ssl or ''}")
        return Security.STARTTLS if _truth(starttls) else Security.TLS if _truth(ssl) else Security.NONE


def _split_pair(raw: Raw, first: str, second: str) -> Texts:
    """Return the two texts from which an invalid pair was made."""
    one, _, two = raw.text.removeprefix(f"{first}=").rpartition(f" {second}=")
    return one or None, two or None


class AuthAndType(Codec):
    """The login as ``auth`` and ``authType``; on without a type is ``basic``, which all versions support."""

    def encode(self, value: FieldValue) -> Texts:
        if isinstance(value, Raw):
            return _split_pair(value, "auth", "authType")
        return ("false", None) if value is Login.NONE else ("true", str(value))

    def decode(self, texts: Texts) -> FieldValue | None:
        auth, kind = texts
        if auth in ("false", None):
            return Login.NONE
        if auth != "true" or kind not in (Login.BASIC, Login.TOKEN, None):
            return Raw(f"auth={auth} authType={kind or ''}")
        return Login(kind or Login.BASIC)


class SecretText(OneText):
    """A secret, which the server masks, or a reference ``${vault.KEY}``, which it shows in full.

    Keycloak accepts any text as KEY; a spec accepts plain characters only.
    """

    _VAULT = re.compile(r"\$\{vault\.(.*)\}", re.DOTALL)
    _KEY = re.compile(r"[A-Za-z0-9_.-]{1,200}")

    def encode(self, value: FieldValue) -> Texts:
        if isinstance(value, Raw):
            return (value.text,)
        if isinstance(value, SecretRef) and value.kind is SecretKind.KEYCLOAK_VAULT:
            return (f"${{vault.{value.argument[0]}}}",)
        raise TypeError("only a vault reference is written as text; other secrets are resolved first")

    def decode_text(self, text: str) -> FieldValue | None:
        found = self._VAULT.fullmatch(text)
        if not found:
            return Masked()
        return SecretRef(SecretKind.KEYCLOAK_VAULT, (found[1],)) if self._KEY.fullmatch(found[1]) else Raw(text)


class HiddenText(OneText):
    """A secret in a product without a vault: written verbatim, and never shown."""

    def encode(self, value: FieldValue) -> Texts:
        raise TypeError("a secret is resolved before it is written, and this product has no vault to refer to")

    def decode_text(self, text: str) -> FieldValue | None:
        return Masked()

    def can_encode(self, value: FieldValue) -> bool:
        in_vault = isinstance(value, SecretRef) and value.kind is SecretKind.KEYCLOAK_VAULT
        return not in_vault and not isinstance(value, Raw)


@dataclass(frozen=True)
class SecurityByPort(Codec):
    """The relay's security as a word for encrypted and one for unencrypted; reads the port.

    Encrypted is implicit TLS on port 465 and STARTTLS on any other port. The words are not case-sensitive.
    ``port`` is the port that the product uses if none is given.
    """

    on: str
    off: str
    port: int = DEFAULT_PORTS[Security.STARTTLS]

    def encode(self, value: FieldValue) -> Texts:
        return (value.text if isinstance(value, Raw) else self.off if value is Security.NONE else self.on,)

    def decode(self, texts: Texts) -> FieldValue | None:
        word, port = texts
        if word is None:
            return None
        if word.casefold() not in (self.on.casefold(), self.off.casefold()):
            return Raw(word)
        if word.casefold() == self.off.casefold():
            return Security.NONE
        implicit = Port().decode((port or str(self.port),)) == DEFAULT_PORTS[Security.TLS]
        return Security.TLS if implicit else Security.STARTTLS


class DerivedValue(Codec):
    """A value that is derived from attributes of other rows, without its own attribute."""

    def encode(self, value: FieldValue) -> Texts:
        return ()


class LoginIfGiven(DerivedValue):
    """A login by user and password if the attribute that it reads is present."""

    def decode(self, texts: Texts) -> FieldValue | None:
        return Login.BASIC


class AddressAsAccount(DerivedValue):
    """The user of a login whose account is the sender's address; reads the address and the password."""

    def decode(self, texts: Texts) -> FieldValue | None:
        address, password = texts
        return address if password else None


class DefaultCredentials(Codec):
    """The login in a product that can also log in with the account of its own process; reads the user.

    A spec cannot express that account.
    """

    def encode(self, value: FieldValue) -> Texts:
        return (value.text if isinstance(value, Raw) else "false",)

    def decode(self, texts: Texts) -> FieldValue | None:
        switch, user = texts
        if (switch or "false").casefold() != "false":
            return Raw(str(switch))
        return Login.BASIC if user else Login.NONE


@dataclass(frozen=True)
class FixedValue(OneText):
    """A setting for which every spec implies one value; a spec cannot express any other value."""

    text: str

    def decode_text(self, text: str) -> FieldValue | None:
        return None if text.casefold() == self.text.casefold() else Raw(text)
