"""``python -m ztrust_mail`` is the command line."""

from __future__ import annotations

from ztrust_mail.cli.main import main

main()
