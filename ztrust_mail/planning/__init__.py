"""Comparing live with desired settings, planning, and applying what was planned."""
