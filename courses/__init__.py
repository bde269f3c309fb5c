"""What a course sets: today the limits of its jobs; assignments, data sets and quotas to come."""
