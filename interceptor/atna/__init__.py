"""The audit trail for an audit record repository: IHE ATNA.

In: links of the journal's audit chain. Out: DICOM audit messages over syslog on TLS. Never here: a message of a placer
waits for the repository. What was not taken stays in the chain, which is the spool: nothing is queued twice.

Failures: a repository that is away is tried again with growing pauses, told once, and shown as a number that waits.
"""
