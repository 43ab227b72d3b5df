-- 0004 decision_order: whether an order went to the filler before is asked when it would be held.
-- Kind: expand (version N-1 does not know of the index).
-- Cost: one pass over the decisions, about a second per million.
-- Undo: none.
CREATE INDEX decision_order ON decision (order_key, decision_id);
