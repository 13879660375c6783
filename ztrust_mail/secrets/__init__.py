"""Resolves references to secrets, each distinct reference once."""
