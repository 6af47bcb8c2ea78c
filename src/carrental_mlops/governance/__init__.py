"""What holds a model repo to the rules: findings, waivers, tiers, score."""
