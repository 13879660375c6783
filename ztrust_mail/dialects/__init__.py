"""One table per product: which native attribute holds which field, and how."""

from __future__ import annotations

from collections.abc import Mapping

from ztrust_mail.dialects.base import Dialect
from ztrust_mail.dialects.digitanium import DIGITANIUM
from ztrust_mail.dialects.keycloak import KEYCLOAK
from ztrust_mail.dialects.omnibyte import OMNIBYTE
from ztrust_mail.dialects.oneaccess import ONEACCESS
from ztrust_mail.dialects.uipath import UIPATH
from ztrust_mail.dialects.ztrust import ZTRUST

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (KEYCLOAK, ZTRUST, ONEACCESS, OMNIBYTE, DIGITANIUM, UIPATH)
}
"""Every dialect by its name."""
