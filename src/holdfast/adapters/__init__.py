"""Holdfast as other libraries ask for it: each module fulfils one contract of theirs."""
