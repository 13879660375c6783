"""Compares live with desired settings, and plans the changes."""
