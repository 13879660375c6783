"""The table of fields."""

from ztrust_mail.model import fields
from ztrust_mail.model.fields import FIELDS


def test_every_field_has_a_constant() -> None:
    named = {value for name, value in vars(fields).items() if name.isupper() and isinstance(value, str)}
    assert sorted(FIELDS.keys() - named) == [], "ztrust_mail/model/fields.py"
