"""The rules of sending to one host: turns, and at most one repetition after a broken connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import pytest
import requests
from support.waiting import Clock

from ztrust_mail.core.errors import ServerUnreachable, WriteDeadlineExceeded
from ztrust_mail.core.redaction import Redactor
from ztrust_mail.transport.channel import HostChannel, RequestLine
from ztrust_mail.transport.failures import ConnectionLost, ResponseTimeout

URL = "https://id.example.com/admin/realms"

LOST, DOWN, SLOW = ConnectionLost("lost"), ServerUnreachable("down"), ResponseTimeout("slow")


def answered() -> requests.Response:
    """Return a response of status 200."""
    response = requests.Response()
    response.status_code = requests.codes.ok
    return response


def line() -> RequestLine:
    """Return a request that was not sent yet."""
    return RequestLine("GET", URL)


def channel(*, first_failure_counts: bool = False) -> HostChannel:
    """Return a channel whose throttle never waits in real time."""
    timeouts, throttle = (1.0, 6.0), Clock().throttle()
    return HostChannel(URL, timeouts, throttle, Redactor(), first_failure_counts=first_failure_counts)


def requesting(outcomes: Iterable[ServerUnreachable | None], sent: list[int]) -> Callable[[], requests.Response]:
    """Return a request that fails with each outcome in turn, None being an answer; ``sent`` counts its calls."""
    rest = iter(outcomes)

    def request() -> requests.Response:
        sent.append(len(sent) + 1)
        if failure := next(rest):
            raise failure
        return answered()

    return request


@pytest.mark.parametrize("failure", [DOWN, SLOW])
def test_only_a_broken_connection_is_repeated(failure: ServerUnreachable) -> None:
    sent: list[int] = []
    with pytest.raises(type(failure)) as caught:
        channel().send(line(), requesting([failure, None], sent))
    assert (caught.value, sent) == (failure, [1])


def test_a_request_succeeds_after_one_broken_connection() -> None:
    sent: list[int] = []
    assert channel().send(line(), requesting([LOST, None], sent)).status_code == requests.codes.ok
    assert sent == [1, 2]


@pytest.mark.parametrize("second", [LOST, DOWN, SLOW])
def test_a_request_is_repeated_once_at_most(second: ServerUnreachable) -> None:
    for first_counts, failure in ((False, second), (True, LOST)):
        sent: list[int] = []
        with pytest.raises(ServerUnreachable) as caught:
            channel(first_failure_counts=first_counts).send(line(), requesting([LOST, second, None], sent))
        assert (caught.value, sent) == (failure, [1, 2])


@pytest.mark.parametrize("first_counts", [False, True])
def test_a_request_that_must_not_be_repeated_is_sent_once(first_counts: bool) -> None:
    sent: list[int] = []
    with pytest.raises(ConnectionLost):
        channel(first_failure_counts=first_counts).send(line(), requesting([LOST, None], sent), repeat=False)
    assert sent == [1]


@pytest.mark.parametrize("repeat", [False, True])
def test_a_request_whose_turn_comes_too_late_is_not_sent(repeat: bool) -> None:
    sent: list[int] = []
    with pytest.raises(WriteDeadlineExceeded):
        channel().send(line(), requesting([None], sent), before=time.monotonic() - 1, repeat=repeat)
    assert sent == []
