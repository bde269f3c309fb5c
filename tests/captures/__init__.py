"""Pictures of what a student sees: real terminals and pages of a running system."""
