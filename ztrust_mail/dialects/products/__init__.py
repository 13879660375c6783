"""One table per product. No product knows another, but for ZTrust, which builds on Keycloak's table."""
