"""What every room uses: errors, findings, secrets, text, files and data. Imports the standard library only."""
