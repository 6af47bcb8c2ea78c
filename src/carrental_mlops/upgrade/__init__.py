"""A newer version of the package into a model repo, without losing a line."""
