"""Scores each card payment of a rental in real time and says accept or block."""
