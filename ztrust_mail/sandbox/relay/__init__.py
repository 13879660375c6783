"""The sandbox's mail relay, and the page that shows what it received."""
