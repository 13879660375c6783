"""Where secrets come from: one module per kind of reference, resolved once per distinct reference."""
