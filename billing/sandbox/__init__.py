"""A stateful server that speaks Stripe's HTTP API, for work without a network.

The real `stripe` SDK talks to it over HTTP; nothing in here imports Django. It refuses live keys, keeps its state in
one SQLite file, has its own clock (and test clocks), delivers signed webhooks, and can misbehave on purpose by seed.

Beside `/v1/…` it has doors of its own, JSON in and out:

- `GET /healthz`
- `GET /_sandbox/state[?kind=invoice]`: counts, or all objects of a kind
- `GET /_sandbox/deliveries[?pending=1]`, `POST /_sandbox/flush {"timeout": 60}`: webhooks that wait; deliver them now
- `GET|POST /_sandbox/clock {"now": epoch|null}`: the time of customers without a test clock
- `GET|POST /_sandbox/chaos {"seed", "double", "delay", "delay_seconds", "reorder", "reorder_window", "fail", "api_500",
  "api_lost"}`: rates from 0 to 1; what is not named is off
- `POST /_sandbox/checkout/{id}/pay {"payment_method", "email"?, "name"?}`: the buyer's side of Checkout for scripts
- `POST /_sandbox/refunds/{id}/fail`: the bank sends a refund back that had succeeded
- `POST /_sandbox/disputes/{id}/overturn`: a dispute that was lost is won on appeal
- `POST /_sandbox/reset`: forget everything but the endpoint named on the command line

Pages, without JavaScript: `/pay/{session}`, `/portal/{session}`, `/invoices/{invoice}`, `/authenticate/{intent}`,
`/onboarding/{account}/{secret}`, `/express/{account}`.

What differs from Stripe, on purpose: no fees and no pending funds; an invoice that is to be collected is charged inside
the call that finalises it; when all retries (after 3, 5 and 7 days) fail, the subscription is cancelled; prices are per
unit only; tax rates are exclusive; a `Stripe-Account` header matters for balances only.
"""
