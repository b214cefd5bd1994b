"""What is shown: results, summaries, plans, progress. Pure: values come in, text goes out."""
