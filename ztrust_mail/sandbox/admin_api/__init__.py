"""The sandbox's admin REST API."""
