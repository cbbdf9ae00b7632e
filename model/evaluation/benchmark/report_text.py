"""The sentences of the page, apart from what puts them together."""

from __future__ import annotations

INTRODUCTION_TEXT = (
    "Every method learned from the same log with the same encoder, embedding width and budget"
    " of epochs. Baselines have the settings of their papers where these fit and stop early on "
    "validation; ours has one configuration a log, chosen on the validation part of one seed, and "
    "so had more tuning than they: docs/experiments lists what was tried. `nlgr` is the published "
    "method: both nets as in the paper, choosing by its own evaluator, so its value ratio is under that "
    "one. `single` is a method's own list; `served`"
    " is what the service would do with it: of 8 of its lists and the input list the one that"
    " the evaluator likes best. Brackets are 95 % bootstrap intervals over users, of the mean"
    " over seeds; ± is the standard deviation over seeds. Whatever comes from a click world "
    "is **simulated**: real users and items, drawn feedback, so that the true value of any "
    "list is known."
)

HOLDOUT_TITLE = "Who else believes it: an evaluator of the other half of the users, and the truth"

HOLDOUT_TEXT = (
    "First seed. One evaluator learned from half of the users and chose these lists; a second "
    "learned from the other half with another seed. What the first likes and the second does not "
    "is over-optimisation: the search found the first one's mistakes."
)

RISK_TEXT = (
    "What is served is the list with the largest mean gain less lambda times the members' spread "
    "of it. A larger lambda leaves more lists as they came in. The gain by the evaluator beside "
    "the true one says how much it promises."
)

OVERESTIMATION_TEXT = (
    "Which lambda the log asks for, without any truth: on validation requests, an evaluator of "
    "every other list of each user chooses and one of the rest is asked, too (both learned from "
    "half of the lists, so both are less sure than what is served). The smallest lambda at which "
    "promise less lambda spreads is no more than the other one expects: **{found}**; configured is "
    "{configured:g}."
)

INPUT_ORDER_TEXT = (
    "The order is shuffled at test time: candidates move, the fields that name a place stay. "
    "Shares are still of the gain over the unshuffled input list."
)

ABLATIONS_TEXT = (
    "The published nets, first seed, generators of {epochs} epochs, all by the same evaluator. k1 "
    "and k2 are the steepness of the shaped reward above and below the mean (METHOD section 5)."
)

GRADIENTS_TEXT = (
    "The published nets, first seed. Norms at the units' own weights while tau stays at one value; "
    "L1 teaches the CRU, alpha L2 the PDU."
)

CRU_LOSSES_TEXT = (
    "Our nets, first seed, generators of {epochs} epochs; the last line is the paper's generator "
    "beside our evaluator (METHOD section 5). `sampled` is what collapse looks like: every slot is "
    "rewarded by what its one sampled replacement gained, almost all replacements are worse than "
    'what is there, so only "no change" is rewarded; the CRU\'s entropy falls to 0 and nothing '
    "else is tried any more. `straight_through` (published) looks through the evaluator's gradient "
    "at all candidates, `expected` (ours) at what the evaluator says of every neighbor: both "
    "prevent it."
)

NEIGHBORHOOD_TEXT = (
    "Of {total:,} neighbors of {requests} requests' lists, {replaced:,} differ from their "
    "list in exactly one slot, {swapped:,} by one swap, {other:,} in any other way. By the "
    "evaluator {better_input:.1%} of the input list's neighbors are better than it, and "
    "{better_single:.1%} of those of the generator's list."
)
