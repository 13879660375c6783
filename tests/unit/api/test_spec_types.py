"""The typed dicts of specs agree with the schema, and a type checker finds mistakes by them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ztrust_mail.api import spec_types

ROOT = Path(__file__).parents[3]


def test_the_typed_dicts_are_what_the_generator_makes_of_the_schema():
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "tools" / "make_spec_types.py"], capture_output=True, text=True, check=True
    )
    path = Path(spec_types.__file__)
    assert path.read_text(encoding="utf-8") == done.stdout, "write it anew, see tests/tools/make_spec_types.py"
