"""One table per product: which of its attributes holds which field, and how."""

from collections.abc import Mapping

from ztrust_mail.dialects.dialect import Dialect
from ztrust_mail.dialects.products.digitanium import DIGITANIUM
from ztrust_mail.dialects.products.keycloak import KEYCLOAK
from ztrust_mail.dialects.products.omnibyte import OMNIBYTE
from ztrust_mail.dialects.products.oneaccess import ONEACCESS
from ztrust_mail.dialects.products.uipath import UIPATH
from ztrust_mail.dialects.products.ztrust import ZTRUST

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (KEYCLOAK, ZTRUST, ONEACCESS, OMNIBYTE, DIGITANIUM, UIPATH)
}
"""Every dialect by its name."""
