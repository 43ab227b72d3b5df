"""The audit trail for an audit record repository: IHE ATNA.

Links of the journal's audit chain come in, DICOM audit messages over syslog on TLS go out. What was not taken stays in
the chain, which is the spool: nothing is queued twice, nothing is lost while the repository is away. What never happens
here: a message of a placer waits for the repository.
"""
