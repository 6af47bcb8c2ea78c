"""Many model repos under one roof."""
