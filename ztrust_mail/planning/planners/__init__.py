"""Planners: from a spec, back to before a run, and for a rotated secret."""
