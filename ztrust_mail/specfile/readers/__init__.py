"""Readers of spec files that keep the position of every value."""
