"""How a journal's schema came to be: Alembic's environment and one module per version."""
