"""Neural networks only: no files, no data loading, no optimizer.

Shape letters, used in every docstring below this folder and in training:
    B requests in the batch   N candidates of a request   M slots of a list
    H past sessions           F fields of an item         D embedding width
    L lists of one request    K generated lists           T edits per list
    E ensemble members        R rules (or rows)           Z width of a candidate's encoding
    C columns of a row        U unique past items         j, l slots; k a candidate
    Fc, Fs, Fu: fields of a candidate, of a session's item, of the user
"""
