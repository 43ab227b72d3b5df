"""The pages that people see: each module builds the routes of one subject from `ReviewParts` and the `Guard`.

In: the database and the node's answers. Out: HTML. Never here: who may see what (`rights`), writing anything.
"""
