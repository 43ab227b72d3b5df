"""What operations see of a running node: log events, metrics and health, each from a closed catalogue.

In: facts as numbers, names from the configuration and words of closed sets. Out: one JSON or console line
per event, a metrics page, liveness and readiness. Never here: a stage, a decision, a patient. Metrics and
health are served from a thread of their own, so that a slow scrape never delays an order.
"""
