"""From idea to production in numbers."""
