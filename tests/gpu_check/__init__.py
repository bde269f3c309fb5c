"""What only a GPU host can show, in one table: `make gpu-check`. docs/gpu-hosts.md says more."""
