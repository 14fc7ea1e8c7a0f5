"""A stateful server that speaks Stripe's HTTP API, for work without a network.

The real `stripe` SDK talks to it over HTTP; nothing in here imports Django. It refuses live keys, keeps its state in
one SQLite file, has its own clock (and test clocks), delivers signed webhooks, and can misbehave on purpose by seed.
"""
