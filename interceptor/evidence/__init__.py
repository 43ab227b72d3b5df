"""What other sources know of a patient: diagnoses, allergies, laboratory values, earlier studies.

In: a FHIR R4 Bundle; later a registry and a FHIR server. Out: `PatientEvidence` (context). Never here: what
any of it means for an order, and nothing of a patient in an error, a log or a URL that is logged.
"""
