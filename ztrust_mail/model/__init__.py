"""The canonical form of a realm's e-mail settings, to which specs and servers are brought."""
