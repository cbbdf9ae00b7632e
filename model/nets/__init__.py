"""Neural networks only: no files, no data loading, no optimizer.

Shape letters, used in every docstring below this folder and in training:
    B requests in the batch   N candidates on offer   M slots of a list
    H past sessions           F fields of an item     D embedding width
    L lists of one request    K generated lists       T edits per list
    E members of an ensemble  R rules                 Z numbers that stand for one candidate
"""
