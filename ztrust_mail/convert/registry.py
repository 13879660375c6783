"""Every format by its name."""

from __future__ import annotations

from collections.abc import Mapping

from ztrust_mail.convert.ansible import Ansible
from ztrust_mail.convert.base import Format
from ztrust_mail.convert.product import Product
from ztrust_mail.convert.realm_export import RealmExport
from ztrust_mail.convert.spec import Spec
from ztrust_mail.convert.terraform import Terraform
from ztrust_mail.dialects import DIALECTS

_PRODUCTS = map(Product, DIALECTS.values())

FORMATS: Mapping[str, Format] = {f.name: f for f in (Spec(), *_PRODUCTS, RealmExport(), Terraform(), Ansible())}
"""The formats in the order people read them."""
