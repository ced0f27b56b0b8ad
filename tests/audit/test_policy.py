"""Policies: presets that say what they do, a battery of bad files refused in one line, a digest of the meaning."""

from __future__ import annotations

import os
import re
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from recaudit.attacks.config import InjectionConfig
from recaudit.audit.policy import PRESETS, Policy, load_policy, preset_text
from recaudit.audit.policy_file import LIMIT
from recaudit.audit.verdict import rule_for
from recaudit.datasets.errors import InputError, PolicyError

RULE = "{select: 'a.*', bound: 1, reason: because}"
WAIVER = "{check: a, owner: me, reason: later, expires: 2030-01-02}"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "p.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(PolicyError) as caught:
        load_policy(written(folder, text))
    message = str(caught.value)
    assert "\n" not in message and "p.yaml" in message and len(message) < 700
    return message


BAD: list[tuple[str, str, list[str]]] = [
    ("empty", "", ["empty", "recaudit init"]),
    ("only comments", "# nothing\n", ["empty"]),
    ("a list", "- 1\n", ["version: 1", "list"]),
    ("a word", "standard\n", ["version: 1", "str"]),
    ("broken yaml", "version: 1\nrules: [\n", ["line 3", "YAML"]),
    ("tab", "version: 1\nchecks:\n\tquality: {}\n", ["line 3", "YAML"]),
    ("two documents", "version: 1\n---\nversion: 1\n", ["line 2", "YAML"]),
    ("python tag", "version: !!python/object/apply:os.system ['true']\n", ["line 1", "YAML"]),
    ("anchor", "checks: &a {}\nrules: []\n", ["line 1", "anchors"]),
    ("alias", "version: 1\nrules:\n  - {select: *.hr@20, bound: 1, reason: x}\n", ["line 3", "quotes"]),
    ("deep", "checks: " + "{a: " * 50 + "1" + "}" * 50, ["nested more than 12"]),
    ("very deep", "checks: " + "[" * 100_000, ["line 1", "nested"]),
    ("number as name", "1: 2\n", ["line 1", "quotes"]),
    ("null as name", "checks: {~: {}}\n", ["line 1", "quotes"]),
    ("list as name", "? [a, b]\n: 1\n", ["line 1"]),
    ("twice", "version: 1\nseed: 1\nseed: 2\n", ["line 3", "'seed'", "line 2"]),
    ("twice below", "version: 1\nchecks:\n  quality: {}\n  quality: {}\n", ["line 4", "line 3"]),
    ("unknown field", "version: 1\nsede: 3\n", ["line 2", "'sede'", "Did you mean 'seed'"]),
    ("unknown rule field", f"rules: [{RULE[:-1]}, boud: 3}}]\n", ["rules[0].boud", "Did you mean 'bound'"]),
    ("unknown waiver field", f"waivers: [{WAIVER[:-1]}, expire: x}}]\n", ["waivers[0]", "Did you mean 'expires'"]),
    ("version", "version: 2\n", ["line 1", "version", "1"]),
    ("preset", "preset: standart\n", ["line 1", "Did you mean 'standard'"]),
    ("preset number", "preset: 3\n", ["line 1", "preset"]),
    ("preset list", "preset: [quick]\n", ["line 1", "preset"]),
    ("seed text", "seed: soon\n", ["line 1, seed", "integer"]),
    ("seed flag", "seed: true\n", ["seed", "number"]),
    ("seed negative", "seed: -1\n", ["seed", "greater"]),
    ("seed huge", "seed: 99999999999999999999\n", ["seed"]),
    ("confidence", "confidence: 95\n", ["confidence", "less than 1", "95"]),
    ("confidence low", "confidence: 0.5\n", ["confidence"]),
    ("strict", "strict: maybe\n", ["strict"]),
    ("strict number", "strict: 1\n", ["strict"]),
    ("no cutoffs", "cutoffs: []\n", ["cutoffs"]),
    ("cutoff zero", "version: 1\ncutoffs: [10, 0]\n", ["line 2", "cutoffs[1]"]),
    ("checks list", "checks: [quality]\n", ["checks"]),
    ("check word", "checks: {quality: false}\n", ["checks.quality"]),
    ("enabled word", "checks: {quality: {enabled: sometimes}}\n", ["quality.enabled", "true or false"]),
    ("date as setting", "checks: {quality: {since: 2026-01-01}}\n", ["checks.quality.since", "quotes"]),
    ("bytes as setting", "checks: {quality: {x: !!binary aGk=}}\n", ["checks.quality.x"]),
    ("infinite setting", "version: 1\nchecks: {quality: {x: .inf}}\n", ["line 2, checks.quality.x", "finite"]),
    ("no bound", "rules: [{select: a, reason: b}]\n", ["rules[0].bound", "missing"]),
    ("no reason", "rules: [{select: a, bound: 1}]\n", ["rules[0].reason", "missing", "sentence"]),
    ("blank reason", "rules: [{select: a, bound: 1, reason: '  '}]\n", ["rules[0].reason"]),
    ("bound text", "rules: [{select: a, bound: low, reason: b}]\n", ["rules[0].bound", "'low'"]),
    ("bound flag", "rules: [{select: a, bound: yes, reason: b}]\n", ["rules[0].bound", "number"]),
    ("bound nan", "rules: [{select: a, bound: .nan, reason: b}]\n", ["rules[0].bound", "finite"]),
    ("severity", "rules: [{select: a, bound: 1, reason: b, severity: fatal}]\n", ["severity", "'warning'", "fatal"]),
    ("rule word", "rules: [quality]\n", ["rules[0]"]),
    ("no owner", "waivers: [{check: a, reason: b, expires: 2030-01-01}]\n", ["waivers[0].owner", "missing"]),
    ("no expiry", "waivers: [{check: a, reason: b, owner: c}]\n", ["waivers[0].expires", "YYYY-MM-DD"]),
    ("expiry", "waivers: [{check: a, reason: b, owner: c, expires: soon}]\n", ["waivers[0].expires", "soon"]),
    ("no such day", "waivers: [{check: a, reason: b, owner: c, expires: 2030-02-30}]\n", ["day"]),
    ("null byte", "version: 1\x00\n", ["YAML"]),
]


@pytest.mark.parametrize(("text", "needed"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_policy_is_one_line_with_field_and_remedy(tmp_path: Path, text: str, needed: list[str]) -> None:
    message = refused(tmp_path, text)
    for word in needed:
        assert word in message, message


def test_bad_files(tmp_path: Path) -> None:
    assert "UTF-8" in refused(tmp_path, b"version: \xff\xfe\n")
    assert "right file" in refused(tmp_path, b"#" * (LIMIT + 1))
    for path, word in ((tmp_path / "none.yaml", "recaudit init"), (tmp_path, "not a file")):
        with pytest.raises(PolicyError, match=word):
            load_policy(path)
    with pytest.raises(InputError, match="Did you mean 'quick'"):
        load_policy(None, "quik")
    with pytest.raises(InputError, match="Did you mean 'thorough'"):
        preset_text("thorow")


def test_a_policy_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "p.yaml"
    os.mkfifo(pipe)
    for text, large in ((f"rules: [{RULE}]\n", False), ("#" * (LIMIT + 1), True)):
        writer = Thread(target=pipe.write_text, args=(text,), daemon=True)
        writer.start()
        if large:
            with pytest.raises(PolicyError, match="right file"):
                load_policy(pipe)
        else:
            assert load_policy(pipe).rules[0].select == "a.*"
        writer.join(timeout=10)


def test_a_good_policy_says_what_it_means(tmp_path: Path) -> None:
    text = f"""\ufeff
version: 1
seed: 7
cutoffs: [20, 10, 20]
checks:
  exposure:
  quality: {{references: [ease], enabled: false}}
rules:
  - {{select: quality.*, bound: 1e-6, reason: r, author: the owner, severity: info, clauses: [DSA 37], remedy: look}}
  - {RULE}
waivers: [{WAIVER}]
"""
    policy = load_policy(written(tmp_path, text))
    assert policy.seed == 7 and policy.cutoffs == (10, 20) and policy.preset == "standard"
    assert policy.checks == {"exposure": {}, "quality": {"references": ["ease"], "enabled": False}}
    first, second = policy.rules
    assert (first.bound, first.author, first.severity, first.clauses) == (1e-6, "the owner", "info", ("DSA 37",))
    assert (second.severity, second.clauses, second.remedy) == ("error", (), "")
    assert policy.waivers[0].expires == date(2030, 1, 2) and policy.waivers[0].scope is None


def test_omitted_sections_come_from_the_preset(tmp_path: Path) -> None:
    short = load_policy(written(tmp_path, "seed: 5\n"), "quick")
    whole = load_policy(None, "quick")
    assert short == whole.model_copy(update={"seed": 5})
    named = load_policy(written(tmp_path, "preset: thorough\nrules: []\n"), "quick")
    assert named.checks == load_policy(None, "thorough").checks and named.rules == ()


def test_digest_follows_meaning_not_layout(tmp_path: Path) -> None:
    one = load_policy(written(tmp_path, f"version: 1\nseed: 3\nchecks: {{a: {{x: 1, y: 2}}}}\nrules: [{RULE}]\n"))
    two = load_policy(written(tmp_path, f"# words\nrules:\n - {RULE}\nchecks: {{a: {{y: 2, x: 1}}}}\nseed: 3\n"))
    assert one.digest == two.digest and re.fullmatch("[0-9a-f]{64}", one.digest)
    others = [
        one.model_copy(update={"seed": 4}),
        load_policy(written(tmp_path, f"seed: 3\nchecks: {{a: {{x: 1, y: 3}}}}\nrules: [{RULE}]\n")),
        load_policy(
            written(tmp_path, f"seed: 3\nchecks: {{a: {{x: 1, y: 2}}}}\nrules: [{RULE}]\nwaivers: [{WAIVER}]\n")
        ),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 4


def test_policy_survives_the_record(tmp_path: Path) -> None:
    policy = load_policy(written(tmp_path, f"waivers: [{WAIVER}]\n"))
    again = Policy.model_validate(policy.model_dump(mode="json"))
    assert again == policy and again.digest == policy.digest


# the presets


def uncommented(text: str) -> str:
    """A preset with its optional settings switched on: lines '#name: value'."""
    return re.sub(r"^(\s*)#([a-z_]+: )", r"\1\2", text, flags=re.MULTILINE)


def configs() -> dict[str, Any]:
    from recaudit.cli.checks import check_classes

    return {key: probe.config_type for key, probe in check_classes().items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_loads_and_its_text_is_the_policy(tmp_path: Path, preset: str) -> None:
    assert load_policy(None, preset) == load_policy(written(tmp_path, preset_text(preset)), "standard")
    assert load_policy(None, preset).preset == preset
    assert "TODO" not in preset_text(preset)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_setting_of_a_preset_exists_and_every_check_setting_is_shown(tmp_path: Path, preset: str) -> None:
    text = uncommented(preset_text(preset))
    assert text != preset_text(preset)
    policy = load_policy(written(tmp_path, text))
    assert set(yaml.safe_load(text)) >= set(Policy.model_fields) - {"waivers"}
    for key, settings in policy.checks.items():
        given = {name: value for name, value in settings.items() if name != "enabled"}
        config = configs()[key].model_validate(given)
        shown = set(given) | ({"settings"} if key in ("promotion", "demotion", "defense") else set())
        assert shown >= set(type(config).model_fields), key
        assert given.get("cutoff", 20) in policy.cutoffs


@pytest.mark.parametrize("preset", PRESETS)
def test_commented_defaults_are_the_defaults(tmp_path: Path, preset: str) -> None:
    plain, full = load_policy(None, preset), load_policy(written(tmp_path, uncommented(preset_text(preset))))
    assert plain.waiver_days == full.waiver_days
    for key in plain.checks:
        default = configs()[key].model_validate({k: v for k, v in plain.checks[key].items() if k != "enabled"})
        switched = configs()[key].model_validate({k: v for k, v in full.checks[key].items() if k != "enabled"})
        known = {"profile"}  # its default depends on the data
        assert default.model_dump(exclude=known) == switched.model_dump(exclude=known), key


@pytest.mark.parametrize("preset", PRESETS)
def test_the_example_waiver_of_a_preset_is_valid(tmp_path: Path, preset: str) -> None:
    text = preset_text(preset)
    example = text[text.index("# waivers:") :]
    policy = load_policy(written(tmp_path, text + "\n" + re.sub("^# ", "", example, flags=re.MULTILINE)))
    assert policy.waivers[0].check == "promotion"


def refits(settings: dict[str, Any], attacks: int) -> int:
    """Attacked refits, controls and clone controls of an injection check."""
    targets = len(settings.get("strata", ["head", "middle", "cold"])) * settings["per_stratum"]
    sizes, controls = len(settings["sizes"]), settings["control_seeds"]
    return attacks * sizes * targets * settings["seeds_per_target"] + controls * (1 + sizes)


def asked(settings: dict[str, Any]) -> int:
    """References of a request."""
    return int(settings["retrains"] + settings["refits"])


def test_costs_that_the_presets_state() -> None:
    quick, standard, thorough = (load_policy(None, preset).checks for preset in PRESETS)
    assert refits(quick["promotion"], 1) == 19 and "19 refits" in preset_text("quick")
    assert [refits(standard["promotion"], 2), refits(standard["demotion"], 1)] == [36, 11]
    assert "36 refits" in preset_text("standard") and "11 refits" in preset_text("standard")
    counts = [refits(thorough["promotion"], 8), refits(thorough["promotion"], 6), refits(thorough["demotion"], 3)]
    own = thorough["defense"]  # two of its three attacks fit a model that reads no order
    trials = 2 * len(own["strata"]) * own["per_stratum"] * own["seeds_per_target"]
    counts.append(len(own["defenses"]) * (own["control_seeds"] + trials))
    counts.append(len(thorough["unlearning"]["requests"]) * asked(thorough["unlearning"]))
    undone = InjectionConfig(**thorough["unlearning"]["injected"]).model_dump()  # one of its two attacks fits a model
    counts.append(refits(undone, 1) - undone["control_seeds"])  # no clones
    private = thorough["privacy"]
    trained = sum("epochs" in own for own in private["mitigations"].values())
    counts.append(len(private["units"]) * (1 + trained) * private["models"])
    assert f"costs {quick['privacy']['models']} more" in preset_text("quick")
    assert f"privacy {standard['privacy']['models']}," in preset_text("standard")
    assert asked(standard["unlearning"]) == 12 and "12 refits" in preset_text("standard")
    assert [f"{count:,}" for count in counts] == re.findall(r"([\d,]+)(?= refits|\);)", preset_text("thorough"))


@pytest.mark.parametrize("preset", PRESETS)
def test_rules_of_a_preset_meet_the_evidence_of_its_checks(preset: str) -> None:
    policy = load_policy(None, preset)
    ids = ["quality.reproduction", *(f"quality.ndcg@20.minus.{r}" for r in policy.checks["quality"]["references"])]
    ids += [f"exposure.{measure}@20" for measure in policy.checks["exposure"]["measures"]]
    for check in policy.checks.keys() & {"promotion", "demotion"}:
        settings = policy.checks[check]
        for attack in settings["attacks"]:
            for size in settings["sizes"]:
                strata = settings.get("strata", ["head", "middle", "cold"])
                ids += [f"{check}.{attack}.{size}.{s}.{m}" for s in strata for m in ("hr@20", "log2_rank_shift")]
                ids.append(f"{check}.{attack}.{size}.utility.ndcg@20")
    for name in policy.checks.get("rewriting", {}).get("rewritings", ()):
        ids += [f"rewriting.{name}.{s}.hr@20" for s in ("head", "middle", "cold")]
    for name in policy.checks.get("defense", {}).get("defenses", ()):
        ids += [f"defense.{name}.utility.ndcg@20", f"defense.{name}.popular.1%.hr@20", "defense.best.log2_rank_shift"]
    for kind in policy.checks.get("unlearning", {}).get("requests", ()):
        ids += [f"unlearning.best.{kind}.residual", f"unlearning.downdate.{kind}.utility.ndcg@20"]
    own = policy.checks.get("privacy", {})
    for access in own.get("access", ()):
        ids += [f"privacy.interactions.{access}.lira.{measure}" for measure in ("auc", "tpr@1%")]
    ids += [f"privacy.mitigation.{name}.utility.ndcg@20" for name in own.get("mitigations", ())]
    if policy.checks.get("attributes"):
        ids += ["attributes.gender.added", "attributes.gender.lists.excess"]
    for budget in policy.checks.get("extraction", {}).get("budgets", ()):
        ids += [f"extraction.{budget}.{measure}" for measure in ("agreement@10", "utility")]
    for events in policy.checks.get("takeover", {}).get("events", ()):
        ids += [f"takeover.{events}-events.{s}.hr@20" for s in ("head", "middle", "cold")]
    used = {rule.select for name in ids if (rule := rule_for(name, policy)) is not None}
    assert used == {rule.select for rule in policy.rules}, "no rule is idle or hidden by an earlier one"
    for name in ids:
        rule = rule_for(name, policy)
        lower = any(fnmatchcase(name, glob) for glob in ("demotion.*shift", "*.utility.*", "*.minus.ease"))
        assert rule is None or (rule.bound < 0) == lower, name


def test_half_a_percent_is_not_taken_for_five() -> None:
    policy = load_policy(None, "thorough")
    bounds = {}
    for size in policy.checks["promotion"]["sizes"]:
        rule = rule_for(f"promotion.clone-and-push.{size}.cold.hr@20", policy)
        assert rule is not None
        bounds[size] = rule.bound
    assert bounds == {"0.5%": 0.05, "1%": 0.05, "2%": 0.05, "5%": 0.1}
