"""One table per product. They do not import each other, except that ZTrust's is based on Keycloak's."""
