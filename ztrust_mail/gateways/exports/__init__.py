"""Realm export files as a target, in place of a server."""
