"""Applies a plan: fresh reads, writes, the journal's marks, the read-back, and what an earlier run left."""
