"""Runs of one command on several servers: which ones, each with its own output, and the order of applies."""
