"""A canary's traffic, its analysis, the promotion, the kill switch."""
