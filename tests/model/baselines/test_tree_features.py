from model.baselines.tree_features import TreeFeatures
from model.contract.schema.declared import CLICKED
from model.contract.schema.fitted import FIRST_VALUE_OFFSET
from model.data.tables.batches import BatchLoader
from model.data.tables.log_tables import LogTables
from model.data.tables.split import TEST
from tests.model.baselines.brand_click_log import BRAND_COLUMN


def test_feature_table_counts_past_items_by_value(brand_tables: LogTables):
    request = BatchLoader(brand_tables).gather(brand_tables.part_rows(TEST)[:4]).request
    features = TreeFeatures(brand_tables.schema)

    table = features.feature_table(request)

    item_fields = len(features._shared)
    columns = 1 + request.candidates.shape[-1] + request.user.shape[-1]
    brand_seen = table[..., columns + 2 * BRAND_COLUMN]
    brand_clicked = table[..., columns + 2 * BRAND_COLUMN + 1]
    assert table.shape[-1] == columns + 2 * item_fields
    clicked_row = brand_tables.schema.block_starts[CLICKED] + FIRST_VALUE_OFFSET + 1
    for row in range(4):
        brands = [
            (int(past[BRAND_COLUMN]), int(past[-2]) == clicked_row)
            for session, valid in zip(request.sessions[row], request.sess_valid[row], strict=True)
            for past, is_valid in zip(session, valid, strict=True)
            if is_valid
        ]
        assert brands, "the test needs requests with a history"
        for candidate in range(int(request.cand_valid[row].sum())):
            candidate_brand = int(request.candidates[row, candidate, BRAND_COLUMN])
            same = [clicked for brand, clicked in brands if brand == candidate_brand]
            assert brand_seen[row, candidate] == len(same)
            assert brand_clicked[row, candidate] == sum(same)
