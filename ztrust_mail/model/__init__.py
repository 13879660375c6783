"""The canonical form of a realm's e-mail settings, in which specs and servers are compared."""
