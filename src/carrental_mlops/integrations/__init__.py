"""One outside tool a file."""
