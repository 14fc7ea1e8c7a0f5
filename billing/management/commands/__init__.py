"""Commands: `python manage.py <name>`."""
