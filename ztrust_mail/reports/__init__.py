"""Renders results for people and machines; a report never works anything out anew."""
