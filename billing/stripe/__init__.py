"""The rail: the only place that imports Stripe's SDK."""
