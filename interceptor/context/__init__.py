"""What comes in: the fields of one order, and what other sources know of the patient. What goes out: the clinical facts.

Reading order: `vocabulary.py` has the words, `order_facts.py` and `patient.py` the values, `extract.py` the facts of one
order, read when they are asked for. Below it one module for each fact (procedure, oncology, symptom, urgency, exceptions,
override), the code tables, the site profile, and the reader of short clinical text (`text_matcher.py`).

What never happens here: no verdict on the order, no clock, no file, no changed byte, no raised error for any field content.
"""
