"""What rules ask of a repo in a process of its own: `process.py` starts it, the others run there, one a rule."""
