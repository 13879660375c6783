"""Compares the server with the spec and the journal, and says who changed what."""
