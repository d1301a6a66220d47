"""From records to drift reports, without Kafka: counting per partition, merging, detecting, reporting.

Two halves. A partition's half turns its records into slots of integer counts (:mod:`.reading`,
:mod:`.coding`, :mod:`.cutting`), which travel as :class:`.partials.Partial`. The merging half puts the
slots of all partitions into one order that does not depend on who counted them or when
(:mod:`.ordering`), runs the detectors over it and writes reports (:mod:`.group`, :mod:`.version`).
See docs/drift-service.md.
"""
