"""What every app uses, and what knows none of them: no import from here points upward."""
