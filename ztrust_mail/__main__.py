"""``python -m ztrust_mail`` is the command line."""

from ztrust_mail.cli.entry import main

main()
