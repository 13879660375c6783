"""Keycloak and ZTrust through the admin REST API."""
