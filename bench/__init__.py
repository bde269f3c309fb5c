"""`python -m bench`: how fast Telerun is, each figure beside a floor from the same run."""
