"""Renders results for people and machines. Reports show what was computed elsewhere and compute nothing anew."""
