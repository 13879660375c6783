"""Applies a plan: fresh reads, writes, journal marks, the read-back, and resuming an interrupted run."""
