"""A password hash for laptops: the demo's thousand people sign up on two cores within minutes."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class LightArgon2PasswordHasher(Argon2PasswordHasher):
    """Argon2 with the least work that it allows. Never in production, whose settings do not name it."""

    algorithm = "argon2light"
    time_cost = 1
    memory_cost = 64
    parallelism = 1
