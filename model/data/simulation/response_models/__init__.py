"""How simulated users answer a list: one file for each response model, one registry.

Shape letters, used in every docstring of this folder:
    L lists   M slots of a list   U users   I items   G genres
"""
