"""What the agent costs, measured against plain programs in one run: `make bench`."""
