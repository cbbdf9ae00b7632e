"""Reading logs: from a canonical log on disk to arrays of rows. Trains nothing, scores nothing."""
