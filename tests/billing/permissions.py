"""What each of this room's addresses asks of its caller."""

from tests.guards.permission_table import Row

ROWS = [
    Row("POST", "/webhooks/stripe", "signed"),
]
