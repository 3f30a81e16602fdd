"""One GRPO update on session trees and in rows; bench_tree_update.py runs them and prints the table.

cases    the session that is trained on, and the models
ways     the update on the tree, in rows of equal length and in one padded batch
trl      the update by TRL's trainer
timing   seconds, memory and gradient of one update, and the multiplications that it takes
memory   peak memory of updates on trees of several sizes
"""
