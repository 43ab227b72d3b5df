-- 0011 review_search: the review page finds an order by any of its numbers in one step, and one patient's orders.
-- Kind: expand (version N-1 does not know of the indexes).
-- Cost: one pass over the orders and one over the decisions, some seconds per million, with a lock against writing.
-- Undo: none.
-- Numbers come from outside and may be of any length; an index row may not: the first 120 characters find it.
CREATE INDEX entry_patient ON entry (left(substring(summary FROM '"patient_id":"([^"]*)"'), 120));
CREATE INDEX entry_accession ON entry (left(substring(summary FROM '"accession":"([^"]*)"'), 120));
CREATE INDEX entry_placer_number ON entry (left(placer_order_number, 120));
CREATE INDEX entry_control_id ON entry (substring(control_id FROM 1 FOR 120));
CREATE INDEX decision_control_id ON decision (left(control_id, 120));
CREATE INDEX decision_placer_number ON decision (left(placer_order_number, 120));
