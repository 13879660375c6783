"""The specs that are measured."""

from __future__ import annotations


def for_all(name: str) -> str:
    """Return a spec that covers every realm of the benchmark."""
    return (
        "version: 1\ndefaults:\n  relay: {host: smtp.example.com}\n"
        f"  sender: {{address: 'no-reply@{{realm.slug}}.example.com', name: {name}}}\n"
        "realms:\n  'bench-*': {expect: {min: 1}}\n"
    )


def for_some(name: str, realms: list[str]) -> str:
    """Return a spec that names each of these realms."""
    head = for_all(name).partition("  'bench-*'")[0]
    return head + "".join(f"  {realm}: {{}}\n" for realm in realms)


def large(entries: int) -> str:
    """Return a spec with that many entries of some ten lines."""
    entry = (
        "  realm-{n}:\n    sender:\n      address: no-reply@realm-{n}.example.com\n      name: Realm {n}\n"
        "    reply_to:\n      address: help@realm-{n}.example.com\n    relay:\n      port: 587\n"
        "      auth:\n        username: user-{n}\n        password: {{env: SMTP_PASSWORD}}\n"
    )
    head = "version: 1\ndefaults:\n  relay: {host: smtp.example.com}\nrealms:\n"
    return head + "".join(entry.format(n=n) for n in range(entries))
