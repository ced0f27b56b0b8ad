"""The checks there are: one line each, outsiders by the entry-point group `recaudit.checks`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..audit.probe import Probe


def check_classes() -> dict[str, type[Probe]]:
    """Check classes by key."""
    from importlib.metadata import entry_points

    from ..attacks.experiment import DemotionProbe, PromotionProbe
    from ..attacks.rewriting.check import RewritingProbe
    from ..attacks.takeover import TakeoverProbe
    from ..defenses.certificate.check import CertificateProbe
    from ..defenses.check import DefenseProbe
    from ..fairness.check import ExposureProbe
    from ..fairness.group_check import GroupsProbe
    from ..privacy.attributes.check import AttributesProbe
    from ..privacy.extraction.check import ExtractionProbe
    from ..privacy.membership.check import PrivacyProbe
    from ..quality.check import QualityProbe
    from ..simulation.check import SimulationProbe
    from ..unlearn.check import UnlearningProbe

    own: tuple[type[Probe], ...] = (
        QualityProbe, ExposureProbe, GroupsProbe, PromotionProbe, DemotionProbe, TakeoverProbe,
        RewritingProbe, DefenseProbe, CertificateProbe, UnlearningProbe, PrivacyProbe,
        AttributesProbe, ExtractionProbe, SimulationProbe,
    )  # fmt: skip
    others: list[type[Probe]] = [entry.load() for entry in entry_points(group="recaudit.checks")]
    return {probe.key: probe for probe in (*own, *others)}
