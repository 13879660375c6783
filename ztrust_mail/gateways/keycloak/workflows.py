"""Reads the workflows of a realm, which are new in Keycloak 26.4 and may be turned off.

Measured on 26.7.4: the list is YAML unless the request asks for JSON, and has ten workflows unless it asks for more; it
is for the role realm-admin of the realm and for administrators of the server.
"""

from __future__ import annotations

from collections.abc import Mapping

from ztrust_mail.core.data import Json

QUERY = "workflows?max=1000"

_MAIL_STEPS = ("notify-user", "invite-user")
"""The steps that send mail: the second one is new in 26.8."""


def mail_workflows_in(listed: Json) -> tuple[str, ...]:
    """Return the names of the workflows in a list that are on and have a step that sends mail."""
    found = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return tuple(str(one.get("name", "")) for one in found if one.get("enabled") is not False and _sends_mail(one))


def _sends_mail(workflow: Mapping[str, Json]) -> bool:
    steps = workflow.get("steps")
    return isinstance(steps, list) and any(isinstance(one, dict) and one.get("uses") in _MAIL_STEPS for one in steps)
