"""The same endpoint under servers of others."""
