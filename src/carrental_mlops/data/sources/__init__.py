"""Many files of a source read as one table, with a record of what was read."""
