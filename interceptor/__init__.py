"""An HL7 v2 interceptor for imaging orders: the map of the package.

An order placer sends imaging orders over MLLP to an order filler. The interceptor stands in that line
and decides, order by order: pass (bytes unchanged), annotate (forward with a note) or hold (take custody,
acknowledge, keep from the filler until a person or a timer decides).

    placer --MLLP--> wire > message > context > decision > action --> delivery --MLLP--> filler
                                        ^                    |  ^
                           evidence ----+        journal <---+  +-- review (people)

Read `pipeline.py` first: one inbound message from first byte to acknowledgment. The order of the stages
is the import order: a module imports only from floors below its own (docs/adr/0002).

    core, pure: no clock, disk, network, log    wire, message, context, decision, action
    shells, one part of the world each          telemetry, journal, evidence, control, transport
    what the shells are put together to         answering, pipeline, feed, delivery, review, replay
    the parts plugged together                  route, sources, feed_wiring, lane, listener, journal_keeper,
                                                node_parts, recovery, commands, node
    around                                      config, supervisor, simulate, cli

Three promises outrank every feature:

1. Nothing is acknowledged in our name before it is durable; no acknowledged order is ever lost.
2. A forwarded message differs from the received one only where the plan says, byte for byte.
3. No order waits because of our failure: in doubt, broken or late, forward it and say so.
"""

__version__ = "0.1.0"
