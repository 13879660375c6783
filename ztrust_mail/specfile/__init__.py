"""What the user wrote: read with positions, checked against the schema, typed, resolved per realm."""
