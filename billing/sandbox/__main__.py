"""`python -m billing.sandbox`."""

from billing.sandbox.server import main

raise SystemExit(main())
