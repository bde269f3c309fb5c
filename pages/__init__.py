"""What a student sees of the queue in a browser."""
