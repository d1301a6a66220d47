from __future__ import annotations

from shared.topics import STATEFUL_SERVICES, TopicNames, topic_specs


def test_names_take_the_prefix_as_it_stands() -> None:
    names = TopicNames("prod-")
    assert (names.events, names.shadow_predictions, names.retraining_runs, names.state("drift")) == (
        "prod-events",
        "prod-shadow-predictions",
        "prod-retraining-runs",
        "prod-drift-state",
    )


def test_what_keeps_its_events_partition_has_as_many() -> None:
    specs = {spec.name: spec for spec in topic_specs(TopicNames(), partitions=24)}
    together = {name for name, spec in specs.items() if spec.copartitioned}
    states = {f"{service}-state" for service in STATEFUL_SERVICES}
    assert together == {"events", "predictions", "shadow-predictions", "performance-log", *states}
    assert {specs[name].partitions for name in together} == {24}
    assert specs["reports"].partitions == 3
    assert {spec.partitions for spec in topic_specs(TopicNames(), partitions=1)} == {1}


def test_a_dead_letter_has_room_for_the_largest_event_and_its_reason() -> None:
    specs = {spec.name: spec for spec in topic_specs(TopicNames())}
    assert specs["dead-letters"].max_message_bytes > specs["events"].max_message_bytes


def test_state_is_compacted_and_kept_for_ever() -> None:
    specs = {spec.name: spec for spec in topic_specs(TopicNames())}
    assert specs["inference-state"].configs(1) == {
        "cleanup.policy": "compact",
        "retention.ms": "-1",
        "max.message.bytes": str(8 << 20),
    }


def test_three_copies_of_which_two_must_be_there() -> None:
    spec = topic_specs(TopicNames())[0]
    assert spec.configs(3)["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in spec.configs(2)
