"""What an on-call engineer gets: rules, alerts, runbook, dashboard, diagnosis."""
