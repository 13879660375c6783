"""Runs a command on several servers: their selection, their output and the order of writes."""
