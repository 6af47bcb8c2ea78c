"""What a change of objects means, in words."""
