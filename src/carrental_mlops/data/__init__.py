"""Models, features, history aggregates, the row contract and the payment simulator."""
