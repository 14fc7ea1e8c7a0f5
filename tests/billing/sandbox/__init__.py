"""Tests of the payment sandbox, through the real SDK."""
