"""The `crm` command: one file a noun; a file is imported when its noun is invoked."""
