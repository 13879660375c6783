"""Saved plans: written to a file for review, and later applied exactly as reviewed, or refused."""
