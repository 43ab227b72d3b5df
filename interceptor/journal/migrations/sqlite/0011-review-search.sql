-- 0011 review_search: the review page finds an order by any of its numbers in one step, and one patient's orders.
-- Kind: expand (version N-1 does not know of the indexes).
-- Cost: one pass over the orders and one over the decisions, some seconds per million.
-- Undo: none.
CREATE INDEX entry_patient ON entry (json_extract(summary, '$.patient_id'), json_extract(summary, '$.patient_id_authority'));
CREATE INDEX entry_accession ON entry (json_extract(summary, '$.accession'));
CREATE INDEX entry_placer_number ON entry (placer_order_number);
CREATE INDEX entry_control_id ON entry (control_id);
CREATE INDEX decision_control_id ON decision (control_id);
CREATE INDEX decision_placer_number ON decision (placer_order_number);
