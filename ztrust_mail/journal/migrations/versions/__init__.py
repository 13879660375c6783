"""One module per version of the schema. A version that was published never changes."""
