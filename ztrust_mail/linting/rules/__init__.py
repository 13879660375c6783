"""The lint rules by what they are about; a module per group."""
