"""Write a report as a comment on the pull request, in place of the earlier comment of the same job.

A step of action.yml: ``comment.py FILE``. Needs nothing but the standard library, and never prints the token.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

LONGEST = 65_536
"""Characters that a comment may have."""
PAGES = 30
"""Pages of 100 comments that are searched for the earlier one."""
SECONDS = 30
UNREACHABLE = 3


class Author(TypedDict):
    """The account that wrote a comment."""

    login: str


class Comment(TypedDict):
    """What is read of a comment."""

    id: int
    user: Author | None
    body: str | None


class CommentError(Exception):
    """The comment could not be written; the text says why and what to do."""


class NoRedirect(HTTPRedirectHandler):
    """Follows no redirect: the token must not reach another host."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Return no request."""


class PullRequest:
    """The comments of one pull request."""

    def __init__(self, environ: Mapping[str, str], number: int) -> None:
        self.environ = environ
        repository = f"{environ['GITHUB_API_URL']}/repos/{environ['GITHUB_REPOSITORY']}"
        self.comments = f"{repository}/issues/{number}/comments"
        self.comment = f"{repository}/issues/comments"

    def find(self, marker: str, author: str) -> int | None:
        """Return the id of the author's first comment that begins with the marker."""
        for page in range(1, PAGES + 1):
            found = self.send("GET", f"{self.comments}?per_page=100&page={page}")
            for comment in found:
                is_ours = comment["user"] is not None and comment["user"]["login"] == author
                if is_ours and (comment["body"] or "").startswith(marker):
                    return comment["id"]
            if len(found) < 100:
                break
        return None

    def write(self, marker: str, body: str, author: str) -> str:
        """Update the earlier comment, or post a new one. Return what was done."""
        number = self.find(marker, author)
        if number is None:
            self.send("POST", self.comments, {"body": body})
            return "posted"
        self.send("PATCH", f"{self.comment}/{number}", {"body": body})
        return "updated"

    def send(self, method: str, url: str, content: Mapping[str, str] | None = None) -> list[Comment]:
        """Send a request and return the list that answers it."""
        data = None if content is None else json.dumps(content).encode()
        request = Request(url, data, method=method)  # noqa: S310  the runner names the URL
        request.add_header("Authorization", f"Bearer {self.environ['GITHUB_TOKEN']}")
        request.add_header("Accept", "application/vnd.github+json")
        request.add_header("Content-Type", "application/json")
        try:
            with build_opener(NoRedirect).open(request, timeout=SECONDS) as answer:
                found = json.load(answer)
        except HTTPError as error:
            raise CommentError(refusal(error.code)) from None
        except (URLError, OSError, ValueError):
            raise CommentError("GitHub did not answer; run the job again") from None
        return found if isinstance(found, list) else []


def refusal(code: int) -> str:
    """Return what the status of a refused request means."""
    if code in (401, 403, 404):
        return (
            f"GitHub refused the comment ({code}); give the job `permissions: {{pull-requests: write}}`, and leave "
            "`comment` off for pull requests from forks, whose token may only read"
        )
    return f"GitHub refused the comment ({code}); run the job again"


def pull_request_number(environ: Mapping[str, str]) -> int | None:
    """Return the number of the pull request that the job runs for."""
    event = json.loads(Path(environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    number = (event.get("pull_request") or {}).get("number")
    return number if isinstance(number, int) else None


def fit(marker: str, report: str) -> str:
    """Return the comment: the marker, then the report, which is cut at the end of a line if it is too long."""
    body = f"{marker}\n{report}"
    if len(body) <= LONGEST:
        return body
    end = "\n\n(shortened; the whole report is in the summary of the job)\n"
    kept = body[: LONGEST - len(end)]
    return kept[: kept.rindex("\n")] + end


def make_marker(environ: Mapping[str, str]) -> str:
    """Return the hidden line that tells this job's comment from others."""
    default = f"{environ['INPUT_COMMAND']} {environ['INPUT_SERVER']}".strip()
    key = environ["INPUT_COMMENT_KEY"] or default
    plain = "".join(letter if letter.isalnum() or letter in " -._:/" else "_" for letter in key)
    return f"<!-- ztrust-mail comment: {plain[:200]} -->"


def main(report: str, environ: Mapping[str, str]) -> int:
    """Write the comment, say what was done, and return the exit status."""
    number = pull_request_number(environ)
    if number is None:
        print("This job does not run for a pull request, so there is no comment.")
        return 0
    marker = make_marker(environ)
    body = fit(marker, Path(report).read_text(encoding="utf-8"))
    try:
        done = PullRequest(environ, number).write(marker, body, environ["INPUT_COMMENT_AUTHOR"])
    except CommentError as error:
        print(f"::error title=ztrust-mail::{error}")
        return UNREACHABLE
    print(f"Comment on pull request {number} {done}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], os.environ))
