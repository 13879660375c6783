"""The answers of the API, and the differences between versions of Keycloak in one table.

16.1.1 and 26.7.4 are measured by ``tests/contract``; the versions between them and 26.8 are taken from release notes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from werkzeug.wrappers import Response

JSON_TYPE = "application/json"
Json = dict[str, object]


@dataclass(frozen=True)
class Answer:
    """A status with its body. A text is sent as it is, None as an empty body, anything else as JSON."""

    status: int
    body: object = None
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """Return the response that werkzeug sends."""
        if self.body is None:
            empty = Response(status=self.status, headers=self.headers)
            del empty.headers["Content-Type"]
            return empty
        text = self.body if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False)
        return Response(text, status=self.status, headers=self.headers, content_type=self.content_type)


class Refused(Exception):
    """Raised to stop handling the request and to give this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def error(status: int, text: str, description: str | None = None) -> Answer:
    """Return Keycloak's ``{"error": …, "error_description": …}``."""
    body: Json = {"error": text}
    if description is not None:
        body["error_description"] = description
    return Answer(status, body)


def error_message(status: int, text: str) -> Answer:
    """Return Keycloak's other form of an error, ``{"errorMessage": …}``."""
    return Answer(status, {"errorMessage": text})


REALM_CONNECTION = ("host", "port", "ssl", "starttls", "from", "user")


@dataclass(frozen=True)
class Errors:
    """The answers whose wording or status depends on the version."""

    forbidden: Answer
    wrong_password: Answer
    unknown_client: Answer
    disabled_client: Answer
    wrong_secret: Answer
    missing_secret: Answer
    wrong_json_type: Answer
    broken_json: Answer
    empty_body: Answer
    wrong_content_type: Answer
    too_long: Answer
    no_realm_name: Answer
    no_address: Answer
    bad_date: Answer

    def realm_exists(self, realm: str) -> Answer:
        """Return the answer to creating a realm whose name is taken."""
        return error_message(409, f"Realm {realm} already exists")

    def no_resource(self, url: str) -> Answer:
        """Return the answer to an unknown path."""
        return error(404, "Unable to find matching target resource method")

    def unknown_field(self, name: str) -> Answer:
        """Return the answer to a realm representation with an unknown key."""
        return error(400, f'Invalid json representation for RealmRepresentation. Unrecognized field "{name}".')


class LegacyErrors(Errors):
    """The wording of the WildFly distribution."""

    def realm_exists(self, realm: str) -> Answer:
        return error_message(409, "Conflict detected. See logs for details")

    def no_resource(self, url: str) -> Answer:
        return error(404, f"RESTEASY003210: Could not find resource for full path: {url}")

    def unknown_field(self, name: str) -> Answer:
        text = f'Unrecognized field "{name}" (class org.keycloak.representations.idm.RealmRepresentation)'
        return Answer(400, f"{text}, not marked as ignorable", "text/html;charset=UTF-8")


_SEE_LOG = "For more on this error consult the server log."
_BAD_CLIENT = "Invalid client or Invalid client credentials"
_DATABASE = "javax.persistence.PersistenceException: org.hibernate.exception.DataException: could not execute statement"

_MODERN_ERRORS = Errors(
    forbidden=error(403, "HTTP 403 Forbidden"),
    wrong_password=error(400, "invalid_grant", "Invalid user credentials"),
    unknown_client=error(401, "invalid_client", _BAD_CLIENT),
    disabled_client=error(401, "invalid_client", _BAD_CLIENT),
    wrong_secret=error(401, "unauthorized_client", _BAD_CLIENT),
    missing_secret=error(401, "unauthorized_client", _BAD_CLIENT),
    wrong_json_type=error(400, "unknown_error", "Cannot parse the JSON"),
    broken_json=error(400, "invalid_request", "Cannot parse the JSON"),
    empty_body=error(500, "unknown_error", _SEE_LOG),
    wrong_content_type=error(415, "The content-type header value did not match the value in @Consumes"),
    too_long=error_message(400, "Database operation failed"),
    no_realm_name=error_message(400, "Realm name cannot be empty"),
    no_address=error_message(500, "Failed to send email"),
    bad_date=error(400, "Invalid value for 'dateFrom', expected format is yyyy-MM-dd or an Epoch timestamp"),
)
_LEGACY_ERRORS = LegacyErrors(
    forbidden=error(403, "unknown_error"),
    wrong_password=error(401, "invalid_grant", "Invalid user credentials"),
    unknown_client=error(400, "invalid_client", "Invalid client credentials"),
    disabled_client=error(400, "unauthorized_client", "Invalid client credentials"),
    wrong_secret=error(401, "unauthorized_client", "Invalid client secret"),
    missing_secret=error(401, "unauthorized_client", "Client secret not provided in request"),
    wrong_json_type=error(500, "unknown_error"),
    broken_json=error(400, "unknown_error"),
    empty_body=error(500, "unknown_error"),
    wrong_content_type=error(415, "RESTEASY003065: Cannot consume content type"),
    too_long=error_message(400, _DATABASE),
    no_realm_name=error(500, "unknown_error"),
    no_address=error_message(500, "Logged in user does not have an e-mail."),
    bad_date=error(400, "Invalid value for 'Date(From)', expected format is yyyy-MM-dd"),
)


@dataclass(frozen=True)
class Quirks:
    """One version's behaviour.

    ``masked``: the secrets that are read as asterisks, and preserved when the asterisks are sent back.
    ``mask_matches``: the attributes that must equal the stored ones for a mask to stand for the stored secret in a test
    call. ``mask_needs_auth_type``: without authType the asterisks themselves are stored. ``drops_credential``: the
    attributes whose change drops the stored secret although the mask was sent back. ``new_events``: admin events have
    an id, and can be requested since a number of milliseconds.
    """

    errors: Errors
    masked: tuple[str, ...]
    mask_matches: tuple[str, ...] = ()
    mask_needs_auth_type: bool = False
    drops_credential: tuple[str, ...] = ()
    normalises: bool = False
    checks_addresses: bool = False
    token_auth: bool = False
    own_timeouts: bool = False
    test_needs_role: bool = True
    light_admin_tokens: bool = True
    userinfo_needs_openid: bool = True
    whoami_for_console_only: bool = True
    account_api: bool = True
    system_info_for_all: bool = False
    master_sees_names: bool = True
    truncated_flags: bool = True
    full_tokens_age: bool = True
    tls_by_address: bool = True
    new_events: bool = True
    mail_says_display_name: bool = True
    workflows: bool = False


_WILDFLY = Quirks(
    errors=_LEGACY_ERRORS,
    masked=("password",),
    test_needs_role=False,
    light_admin_tokens=False,
    userinfo_needs_openid=False,
    whoami_for_console_only=False,
    account_api=False,
    system_info_for_all=True,
    master_sees_names=False,
    truncated_flags=False,
    tls_by_address=False,
    new_events=False,
    mail_says_display_name=False,
)
_26_0 = Quirks(errors=_MODERN_ERRORS, masked=("password",), mask_matches=("host", "port", "user", "auth"))
_26_2_0 = replace(
    _26_0,
    masked=("password", "authTokenClientSecret"),
    mask_matches=(*_26_0.mask_matches, "authType"),
    mask_needs_auth_type=True,
    token_auth=True,
)
_26_2_5 = replace(_26_2_0, mask_needs_auth_type=False)
_26_4 = replace(_26_2_5, checks_addresses=True, normalises=True)
_26_5 = replace(_26_4, own_timeouts=True)
# A full token of an administrator that is older than a realm has no rights on it on 26.4, and all rights on 26.7.4.
_26_7_4 = replace(_26_5, full_tokens_age=False, workflows=True)
_26_8 = replace(
    _26_7_4,
    drops_credential=REALM_CONNECTION,
    mask_matches=(*REALM_CONNECTION, "auth", "authType"),
)

# Each row applies from its version on, until the version of the next row.
_BY_VERSION: tuple[tuple[tuple[int, ...], Quirks], ...] = (
    ((0,), _WILDFLY),
    ((26,), _26_0),
    ((26, 2), _26_2_0),
    ((26, 2, 5), _26_2_5),
    ((26, 4), _26_4),
    ((26, 5), _26_5),
    ((26, 7, 4), _26_7_4),
    ((26, 8), _26_8),
)


def quirks_of(version: str) -> Quirks:
    """Return the behaviour of a version such as ``26.7.4``. Raises ValueError if it is not a version."""
    numbers = tuple(int(part) for part in version.split("."))
    return next(quirks for since, quirks in reversed(_BY_VERSION) if since <= numbers)
