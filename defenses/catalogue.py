"""The defences there are: one line each; outsiders add theirs by the entry-point group `recaudit.defenses`."""

from __future__ import annotations

from typing import Any

from ..datasets.plugins import Catalogue
from .base import Defense

DEFENSES = (
    "pca-varselect: detectors.structure:PCAVarSelect",
    "fap: detectors.structure:FAP",
    "rdma: detectors.ratings:RDMA",
    "wdma: detectors.ratings:WDMA",
    "wda: detectors.ratings:WDA",
    "length-var: detectors.ratings:LengthVar",
    "unrap: detectors.ratings:UnRAP",
    "deg-sim: detectors.neighbours:DegSim",
    "near-copies: detectors.neighbours:NearCopies",
    "reconstruction: detectors.reconstruction:Reconstruction",
    "dense-block: detectors.reconstruction:DenseBlock",
    "surprise: detectors.sequence:Surprise",
    "together: detectors.sequence:Together",
    "incoherence: detectors.coherence:Incoherence",
    "degree-sad: supervised.degree_sad:DegreeSAD",
    "co-detector: supervised.co_detector:CoDetector",
    "graph-rfi: supervised.graph_rfi:GraphRfi",
    "llm4dec: supervised.llm4dec:LLM4Dec",
    "llm-prompt: detectors.chat:LLMPrompt",
    "t-ce: robust.reweighed:TCE",
    "r-ce: robust.reweighed:RCE",
    "pld: robust.by_user:PLD",
    "trimmed-users: robust.by_user:TrimmedUsers",
    "apr: robust.adversarial:APR",
    "vat: robust.adversarial:VAT",
    "pama-cf: robust.adversarial:PamaCF",
    "adv-train: robust.sequences:ADVTrain",
    "st-denoise: robust.sequences:StDenoise",
    "cl4srec: robust.contrastive:CL4SRec",
    "cons-rec: robust.consistent:ConsRec",
    "robust-propagation: robust.propagation:RobustPropagation",
    "rgcf: robust.rgcf:RGCF",
    "lorec: lorec.defense:LoRec",
)
"""Name, module below this folder, class. Nothing is imported until a defence is asked for."""


def _fault(found: Any) -> str | None:
    own = isinstance(found, type) and issubclass(found, Defense)
    return None if own else "must be a subclass of recaudit.defenses.base.Defense"


CATALOGUE: Catalogue[Defense] = Catalogue("defence", "recaudit.defenses", DEFENSES, __package__, _fault)

names, defense_class, build = CATALOGUE.names, CATALOGUE.find, CATALOGUE.build
