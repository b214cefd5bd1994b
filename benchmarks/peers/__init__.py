"""What people would use instead of bulkops. Each is complete, runs for real, and shares no code with it."""
