"""What can go wrong with the embedded services, said so that a person can act on it."""


class EmbeddedError(Exception):
    """A service could not be started or stopped; the message names the log to read."""
