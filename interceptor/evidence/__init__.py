"""What other sources know of a patient: diagnoses, allergies, laboratory values, earlier studies.

In: an order's patient; messages of feeds, files to import, answers of FHIR servers. Out: `PatientEvidence` (context),
from all sources inside one budget; and which orders would have been held, had a source answered in time.
Never done here: what any of it means for an order; and nothing of a patient in an error, a log or a URL that is logged.
"""
