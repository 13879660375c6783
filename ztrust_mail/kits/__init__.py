"""Checks before a switch: kits that select realms, look at what they use, and judge each of them."""
