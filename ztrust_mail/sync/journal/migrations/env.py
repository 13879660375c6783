"""Alembic's environment: it works on the connection, and in the transaction, that it is given."""

from alembic import context

from ztrust_mail.sync.journal.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
