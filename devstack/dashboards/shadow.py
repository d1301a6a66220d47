"""The candidate beside the champion: does it agree, does it fail, who is right when labels come."""

from __future__ import annotations

from typing import Final

from devstack.dashboards.panel import AMBER, GREEN, RED, Dashboard, Panel, Query

OF: Final = '{model=~"$model"}'
BY: Final = "max by (model, candidate)"
BY_ROLE: Final = "max by (model, candidate, role)"
NAME: Final = "{{model}} {{candidate}}"
ROLE: Final = "{{model}} {{candidate}} {{role}}"

STATE: Final = (
    Panel(
        title="Trouble",
        description="1: the candidate cannot be asked (DriftlineShadowTrouble). Production is not touched.",
        kind="stat",
        queries=[Query(f"{BY} (driftline_shadow_trouble{OF})", NAME)],
        steps=((None, GREEN), (1, RED)),
        width=4,
        height=5,
    ),
    Panel(
        title="Pairs",
        description="Events that both answered, in the two newest windows.",
        kind="stat",
        queries=[Query(f"{BY} (driftline_shadow_pairs{OF})", NAME)],
        width=4,
        height=5,
    ),
    Panel(
        title="Same decision",
        description="Share of the pairs. A low share is not bad in itself: the labels say who is right.",
        kind="stat",
        queries=[Query(f"{BY} (driftline_shadow_agreement_ratio{OF})", NAME)],
        unit="percentunit",
        width=4,
        height=5,
    ),
    Panel(
        title="Fails where the champion answers",
        description="Above 1 %: DriftlineShadowFails. Do not promote it.",
        kind="stat",
        queries=[Query(f"{BY} (driftline_shadow_failure_ratio{OF})", NAME)],
        unit="percentunit",
        steps=((None, GREEN), (0.001, AMBER), (0.01, RED)),
        width=4,
        height=5,
    ),
    Panel(
        title="Closer to the truth",
        description="Share of the labelled pairs, ties left out, that the candidate wins. 50 % is even.",
        kind="stat",
        queries=[Query(f"{BY} (driftline_shadow_win_ratio{OF})", NAME)],
        unit="percentunit",
        steps=((None, RED), (0.45, AMBER), (0.5, GREEN)),
        width=4,
        height=5,
    ),
    Panel(
        title="Labelled pairs",
        description="What the share beside it rests on. Below a thousand it says little.",
        kind="stat",
        queries=[Query(f"{BY} (driftline_shadow_judged_pairs{OF})", NAME)],
        width=4,
        height=5,
    ),
)

TRUTH: Final = (
    Panel(
        title="Right decisions",
        description="Share of the labelled pairs, of each.",
        kind="timeseries",
        queries=[Query(f"{BY_ROLE} (driftline_shadow_accuracy_ratio{OF})", ROLE)],
        unit="percentunit",
    ),
    Panel(
        title="Log loss",
        description="Mean over the labelled pairs; lower is better.",
        kind="timeseries",
        queries=[Query(f"{BY_ROLE} (driftline_shadow_log_loss{OF})", ROLE)],
        low=0,
    ),
    Panel(
        title="Brier score",
        description="Mean over the labelled pairs; lower is better.",
        kind="timeseries",
        queries=[Query(f"{BY_ROLE} (driftline_shadow_brier{OF})", ROLE)],
        low=0,
    ),
    Panel(
        title="Candidate closer to the truth",
        description="Share of the labelled pairs that are no tie, as it went.",
        kind="timeseries",
        queries=[Query(f"{BY} (driftline_shadow_win_ratio{OF})", NAME)],
        unit="percentunit",
        low=0,
        high=1,
    ),
    Panel(
        title="Absolute error",
        description="Mean over the labelled pairs of a regression, 0 for a classifier.",
        kind="timeseries",
        queries=[Query(f"{BY_ROLE} (driftline_shadow_absolute_error{OF})", ROLE)],
        low=0,
    ),
    Panel(
        title="Labelled pairs",
        description="As they come in.",
        kind="timeseries",
        queries=[Query(f"{BY} (driftline_shadow_judged_pairs{OF})", NAME)],
        low=0,
    ),
)

ANSWERS: Final = (
    Panel(
        title="Same decision",
        description="Share of the pairs.",
        kind="timeseries",
        queries=[Query(f"{BY} (driftline_shadow_agreement_ratio{OF})", NAME)],
        unit="percentunit",
        high=1,
    ),
    Panel(
        title="Candidate's score minus the champion's",
        description="Mean over the pairs: a lasting offset is another calibration.",
        kind="timeseries",
        queries=[Query(f"{BY} (driftline_shadow_score_difference_mean{OF})", NAME)],
    ),
    Panel(
        title="Median score",
        description="Of each, over the pairs.",
        kind="timeseries",
        queries=[Query(f"{BY_ROLE} (driftline_shadow_score_median{OF})", ROLE)],
    ),
    Panel(
        title="Time per event of the model itself",
        description="Measured in the shadow, the two on the same events: what promotion would cost.",
        kind="timeseries",
        queries=[Query(f"{BY_ROLE} (driftline_shadow_model_seconds{OF})", ROLE)],
        unit="s",
        low=0,
    ),
    Panel(
        title="Events without an answer of the candidate",
        description="By error class, in the two newest windows.",
        kind="timeseries",
        queries=[
            Query(
                f"max by (model, candidate, reason) (driftline_shadow_errors{OF})", f"{NAME} {{{{reason}}}}"
            )
        ],
        low=0,
    ),
    Panel(
        title="Pairs",
        description="Events that both answered, in the two newest windows.",
        kind="timeseries",
        queries=[Query(f"{BY} (driftline_shadow_pairs{OF})", NAME)],
        low=0,
    ),
)

SHADOW: Final = Dashboard(
    uid="driftline-shadow",
    title="Driftline: shadow",
    description="The candidate beside the champion, on the same events.",
    variables={"model": "label_values(driftline_shadow_pairs, model)"},
    rows=[("Now", STATE), ("Beside the truth", TRUTH), ("Beside each other", ANSWERS)],
)
