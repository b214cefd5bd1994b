"""Benchmarks: bulkops beside what people would use instead, measured in the same run. `python -m benchmarks --help`."""
