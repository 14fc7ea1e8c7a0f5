"""Small database expressions that Django does not bring."""

from django.db.models import DateTimeField, Func


class DbNow(Func):
    """The database's clock at this very statement: the only clock that leases may be compared on."""

    template = "clock_timestamp()"
    arity = 0

    def __init__(self) -> None:
        super().__init__(output_field=DateTimeField())
