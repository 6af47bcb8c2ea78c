"""What scores and spreads amount to: metrics with intervals, curves, drift."""
