"""What templates of the pages use."""
