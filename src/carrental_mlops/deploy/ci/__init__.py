"""Pipelines of continuous integration as data: one typed definition, rendered for GitLab CI and for GitHub Actions."""
