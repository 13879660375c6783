"""Spec files: read with positions, checked against the schema, typed, and resolved per realm."""
