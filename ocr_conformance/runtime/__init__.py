"""Running the source model and its artifacts, and measuring what that costs. Jobs: they run in child processes only."""
