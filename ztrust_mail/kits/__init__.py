"""Checks before a switch: kits that select realms, probe what they use, and judge each realm."""
