"""Facts to verdict: the closed set of facts, the policy table, its evaluation, findings and decisions.

In: the lazily read facts of one order (context) and a compiled policy. Out: a `Decision`. Never here: a
clock, a lookup, a text, a code table. The clinical content is data in mappings/policies/; this code is
the mechanism only.
"""
