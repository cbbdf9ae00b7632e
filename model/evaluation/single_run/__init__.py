"""One trained pair on the later part of its log: `relist evaluate`."""
