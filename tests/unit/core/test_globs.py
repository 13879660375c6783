"""Selecting names by globs."""

from __future__ import annotations

import pytest

from ztrust_mail.core.globs import is_selected, matches_any


@pytest.mark.parametrize(
    ("globs", "selected"),
    [
        pytest.param([], True, id="no glob selects every name"),
        pytest.param(["acme"], True, id="the exact name"),
        pytest.param(["globex", "ac*"], True, id="one of several"),
        pytest.param(["globex"], False, id="another name"),
        pytest.param(["ACME"], False, id="case-sensitive"),
    ],
)
def test_globs_select_a_name(globs: list[str], selected: bool) -> None:
    assert is_selected("acme", globs) is selected


def test_an_empty_list_of_globs_matches_no_name() -> None:
    assert not matches_any("acme", [])
