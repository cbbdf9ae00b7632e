"""Size limits of a request's values, shared by both decoders of a body."""

MAX_ID_LENGTH = 256  # characters
MAX_SEED = 2**63 - 1
DEFAULT_NUM_LISTS = 8
MAX_FEATURE_NAMES = 256  # names, of all candidates together and of the context
MAX_FEATURE_CELLS = 512 * MAX_FEATURE_NAMES  # names x rows: gaps cost as much as values
