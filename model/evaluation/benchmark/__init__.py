"""All methods on the same logs: `relist benchmark`."""
