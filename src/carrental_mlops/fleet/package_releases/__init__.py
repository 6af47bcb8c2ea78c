"""What a version of the package opens to teams, who uses it, and whom a release touches; sources are read, not run."""
