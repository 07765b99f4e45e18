"""Tests; each file says what it proves."""
