"""Live output: what a program prints, while it runs, for those who watch (docs/adr/0023).

`pieces` keeps it, `watching` knows who reads it, `taking` is what an executor does with it.
"""
