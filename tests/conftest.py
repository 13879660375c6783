"""Fixtures for all tests."""

pytest_plugins = ["support.fixtures", "ztrust_mail.sandbox.pytest_plugin"]
