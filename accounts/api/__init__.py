"""The API's part of accounts, and the base views of those who bear a token."""
