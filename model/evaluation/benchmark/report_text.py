"""Sentences of the benchmark page. Each table states measure, unit and interval."""

from __future__ import annotations

INTERVAL_TEXT = (
    "Brackets are 95 % bootstrap intervals of the mean over seeds; the bootstrap resamples users. "
    "± is the standard deviation over seeds."
)

INTRODUCTION_TEXT = (
    "Every method trains on the same log with the same encoder, embedding width and number of "
    "epochs. Baselines use the settings of their papers where these apply, and stop early on the "
    "validation part. Relist uses one configuration for each log, chosen on the validation part of "
    "one seed, and was therefore tuned more than the baselines. `nlgr` is the published method: "
    "both networks follow the paper, and its own evaluator selects its lists and defines its value "
    "ratio. `single` is the method's own list. `served` is the list with the highest evaluator "
    f"reward among 8 lists of the method and the input list. {INTERVAL_TEXT} Results of a click "
    "world are **simulated**: users and items are real, clicks are drawn from a model, and "
    "therefore the true value of every list is known."
)

LOGGED_LISTS_TEXT = (
    "Prediction of clicks on logged lists of the test part, mean over seeds, without intervals. "
    "`auc`, `gauc` and `ndcg` have no unit; `logloss` is in nats a slot; `ece` is the expected "
    "calibration error of the click probability. `ece_by_chance` is the value that a perfectly "
    "calibrated evaluator would have on a sample of this size."
)

COMPARISON_TEXT = (
    "`true share` and `value ratio` are the gain over the input list as a share of the best list's "
    "gain: in true expected clicks (simulated), and in reward of the evaluator. `truly worse` is "
    "the share of requests, in percent, whose list has fewer expected clicks than the input list; "
    "`HR@x%` is the share of requests, in percent, whose list is among the best x % of all lists "
    "by the evaluator. Precision, NDCG, MAP and F1 use the real labels of all candidates and have "
    "no unit."
)

HOLDOUT_TITLE = "Agreement with a holdout evaluator and the ground truth"

HOLDOUT_TEXT = (
    "First seed, shares of the best list's gain. One evaluator is trained on half of the users and "
    "selects the lists. The holdout evaluator is trained on the other half with another seed. A "
    "gain that only the first one predicts is over-optimization: the search exploits errors of the "
    "selecting evaluator."
)

RISK_TITLE = "Effect of the risk aversion"

RISK_TEXT = (
    "The served list maximizes the mean gain minus the risk aversion times the standard deviation "
    "over ensemble members. A larger risk aversion leaves more lists unchanged. `true share` is a "
    "share of the best list's gain; `truly worse` and `unchanged` are percent of requests; `true "
    "gain` is in expected clicks a request; `gain by the evaluator` is in reward a request. The "
    "difference between these two gains is the overestimation."
)

OVERESTIMATION_TEXT = (
    "Risk aversion that the log supports, without ground truth. On validation requests one "
    "evaluator, trained on every other list of each user, selects; the holdout evaluator, trained "
    "on the remaining lists, predicts the gain of the selected lists. Both train on half of the "
    "lists and are less certain than the served evaluator. Smallest risk aversion at which the "
    "predicted gain minus risk aversion times standard deviation is at most the gain by the "
    "holdout evaluator: **{covering}**; configured: {configured:g}. Gains are rewards a request, "
    "means over requests without intervals."
)

INPUT_ORDER_TITLE = "Unchanged lists and dependence on the input order"

INPUT_ORDER_TEXT = (
    "The input order is shuffled at test time: candidates move, fields that encode an upstream "
    "rank stay. Shares refer to the gain over the unshuffled input list. `unchanged` and `truly "
    "worse` are percent of requests; `true gain` is in expected clicks a request."
)

ABLATIONS_TITLE = "Ablations of the published method"

ABLATIONS_TEXT = (
    "Published networks, first seed, generators of {epochs} epochs, all scored by the same "
    "evaluator. k1 and k2 are the steepness of the shaped reward above and below the mean (METHOD "
    "section 5)."
)

GRADIENTS_TITLE = "Gradient flow"

GRADIENTS_TEXT = (
    "Published networks, first seed. The figure shows gradient norms at the weights of each unit "
    "with a fixed temperature tau. L1 trains the CRU, alpha L2 trains the PDU."
)

CRU_LOSSES_TITLE = "CRU losses and policy collapse"

CRU_LOSSES_TEXT = (
    "Relist networks, first seed, generators of {epochs} epochs. The last row is the published "
    "generator with the Relist evaluator (method page). `sampled` shows the collapse: each "
    "slot is rewarded by the gain of one sampled replacement, and almost all replacements lower "
    'the reward. Only "no change" is therefore rewarded, and the entropy of the CRU falls to 0. '
    "`straight_through` (published) uses the evaluator's gradient at all candidates, `expected` "
    "(Relist) uses the evaluator's reward of every neighbor. Both prevent the collapse."
)

NEIGHBORHOOD_TITLE = "Neighbors at one edit"

NEIGHBORHOOD_TEXT = (
    "The lists of {requests} requests have {total:,} neighbors: {replaced:,} differ in exactly one "
    "slot, {swapped:,} by one swap, {other:,} in any other way. The evaluator scores "
    "{better_input:.1%} of the neighbors of the input list above it, and {better_single:.1%} of "
    "the neighbors of the generator's list above that list. Gains are in reward, without intervals."
)

STABILITY_TITLE = "Training curves by seed"
