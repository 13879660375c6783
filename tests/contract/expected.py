"""What the two real versions answer, where they differ; measured, and asserted on servers and sandboxes alike."""

from __future__ import annotations

from dataclasses import dataclass

Given = tuple[int, object]  # status and JSON body

_BAD_CLIENT = "Invalid client or Invalid client credentials"
_DATABASE = "javax.persistence.PersistenceException: org.hibernate.exception.DataException: could not execute statement"


def _error(text: str, description: str | None = None) -> dict[str, str]:
    return {"error": text} | ({"error_description": description} if description else {})


@dataclass(frozen=True)
class Expected:
    """One version's answers and habits."""

    wrong_password: Given
    unknown_client: Given
    disabled_client: Given
    wrong_secret: Given
    missing_secret: Given
    forbidden: Given
    realm_exists: Given
    no_realm_name: Given
    nested: Given
    broken_json: Given
    empty_body: Given
    wrong_content_type: Given
    too_long: Given
    no_address: Given
    truncated: dict[str, object]
    admin_token_has_subject: bool
    userinfo_of_admin: Given | None
    account_status: int
    whoami_status: int
    checks_addresses: bool
    normalises: bool
    masks_token_secret: bool
    master_sees_names: bool
    full_token_ages: bool
    test_needs_role: bool
    test_mask_needs_same_relay: bool
    serverinfo_version_for_viewer: bool
    supports_token_auth: bool


MODERN = Expected(
    wrong_password=(400, _error("invalid_grant", "Invalid user credentials")),
    unknown_client=(401, _error("invalid_client", _BAD_CLIENT)),
    disabled_client=(401, _error("invalid_client", _BAD_CLIENT)),
    wrong_secret=(401, _error("unauthorized_client", _BAD_CLIENT)),
    missing_secret=(401, _error("unauthorized_client", _BAD_CLIENT)),
    forbidden=(403, _error("HTTP 403 Forbidden")),
    realm_exists=(409, {"errorMessage": "Realm {} already exists"}),
    no_realm_name=(400, {"errorMessage": "Realm name cannot be empty"}),
    nested=(400, _error("unknown_error", "Cannot parse the JSON")),
    broken_json=(400, _error("invalid_request", "Cannot parse the JSON")),
    empty_body=(500, _error("unknown_error", "For more on this error consult the server log.")),
    wrong_content_type=(415, _error("The content-type header value did not match the value in @Consumes")),
    too_long=(400, {"errorMessage": "Database operation failed"}),
    no_address=(500, {"errorMessage": "Failed to send email"}),
    truncated={"bruteForceProtected": False, "supportedLocales": [], "organizationsEnabled": False},
    admin_token_has_subject=False,
    userinfo_of_admin=None,
    account_status=200,
    whoami_status=403,
    checks_addresses=True,
    normalises=True,
    masks_token_secret=True,
    master_sees_names=True,
    full_token_ages=False,
    test_needs_role=True,
    test_mask_needs_same_relay=True,
    serverinfo_version_for_viewer=False,
    supports_token_auth=True,
)
LEGACY = Expected(
    wrong_password=(401, _error("invalid_grant", "Invalid user credentials")),
    unknown_client=(400, _error("invalid_client", "Invalid client credentials")),
    disabled_client=(400, _error("unauthorized_client", "Invalid client credentials")),
    wrong_secret=(401, _error("unauthorized_client", "Invalid client secret")),
    missing_secret=(401, _error("unauthorized_client", "Client secret not provided in request")),
    forbidden=(403, _error("unknown_error")),
    realm_exists=(409, {"errorMessage": "Conflict detected. See logs for details"}),
    no_realm_name=(500, _error("unknown_error")),
    nested=(500, _error("unknown_error")),
    broken_json=(400, _error("unknown_error")),
    empty_body=(500, _error("unknown_error")),
    wrong_content_type=(415, _error("RESTEASY003065: Cannot consume content type")),
    too_long=(400, {"errorMessage": _DATABASE}),
    no_address=(500, {"errorMessage": "Logged in user does not have an e-mail."}),
    truncated={},
    admin_token_has_subject=True,
    userinfo_of_admin=(200, "admin@sandbox.example"),
    account_status=401,
    whoami_status=200,
    checks_addresses=False,
    normalises=False,
    masks_token_secret=False,
    master_sees_names=False,
    full_token_ages=True,
    test_needs_role=False,
    test_mask_needs_same_relay=False,
    serverinfo_version_for_viewer=True,
    supports_token_auth=False,
)
EXPECTED = {"26.7.4": MODERN, "16.1.1": LEGACY}
