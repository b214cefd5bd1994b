"""Breaks the promises of the product on purpose, one by one, to see that a test fails each time. `python -m tests.mutation`."""
