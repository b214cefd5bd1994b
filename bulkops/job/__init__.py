"""What is asked for: the bytes of job files become checked rows.

source (bytes, decompressed) → lines (text) → rows, from csv_rows or jsonl_rows → rules (what is valid). `calm` and the quick
readers only save time. Imports nothing of the remote service but its catalog.
"""

from bulkops.job.reader import JobReader
from bulkops.job.source import sha256_of
from bulkops.job.warnings import Risk

__all__ = ["JobReader", "Risk", "sha256_of"]
