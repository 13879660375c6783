"""Finds out why mail does not work: checks a server, and has it send test mails."""
