"""What a service needs on AWS: Terraform's values, plans, rules, cost."""
