"""The responses of the API: what a handler returns, and what it raises to refuse a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

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
