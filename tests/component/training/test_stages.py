"""SFT and GRPO on a tiny model: they learn, choose, count and stop with a reason."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from learntoask.core.errors import StageError, TooManyMissing
from learntoask.core.manifest import Grpo, Method, Reward, RunSpec
from learntoask.core.records import STOP, Message
from learntoask.core.stages.contract import StageContext
from learntoask.decoding.sessions import SampledAnswer, SamplingParams, decode_sessions
from learntoask.policy.model import Policy
from learntoask.policy.prompt import PromptLimits
from learntoask.training.distributed.process_group import ALONE
from learntoask.training.grpo.batch import build_batch
from learntoask.training.grpo.samples import batch_figures, grade_samples, sampled_points
from learntoask.training.grpo.trainer import GrpoTrainer
from learntoask.training.grpo.validation import Validation, gain_lower_bound, refusal, validate
from learntoask.training.optim.checkpoint import restore_weights
from learntoask.training.optim.learner import Learner
from learntoask.training.sft import stage as sft_stage
from learntoask.training.sft.batches import SftBatches
from learntoask.training.sft.hindsight import HindsightTargets
from learntoask.training.sft.targets import split_for_training, supervised_trees, trained_turns
from learntoask.training.sft.trainer import SftTrainer, mean_loss
from learntoask.training.tree.attention import enable_tree_attention
from learntoask.training.tree.rendering import render_session
from worlds import tiny_training as tiny


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return tiny.warm_weights(tmp_path_factory.mktemp("warm"))


def trainer(work: Path, weights: dict[str, torch.Tensor], *, lost: int = 0, run=None) -> GrpoTrainer:
    return GrpoTrainer(
        tiny.warmed(weights),
        tiny.warmed(weights),
        tiny.sessions(12),
        tiny.sessions(4, "validation"),
        grader=tiny.WordGrader(lost=lost),
        run=run or tiny.grpo_run(work, updates=2),
    )


def test_sft_stage_publishes_a_model_that_learned(tmp_path: Path) -> None:
    for name in ("fetch", "label", "out", "work"):
        (tmp_path / name).mkdir()
    start = tiny.policy()
    start.model.save_pretrained(tmp_path / "fetch/model")
    start.tokenizer.save_pretrained(tmp_path / "fetch/model")
    labelled = [*tiny.sessions(12), *tiny.sessions(3, "validation"), *tiny.sessions(3, "test")]
    (tmp_path / "label/labelled.jsonl").write_text(
        "".join(session.model_dump_json() + "\n" for session in labelled)
    )
    train = {
        "max_prompt_tokens": 512,
        "sft": {"epochs": 3, "batch_sessions": 4, "learning_rate": 5e-3, "kept_share": 0},
    }
    summary = sft_stage.run(
        StageContext(
            stage="sft",
            key="k",
            spec=RunSpec.model_validate(
                {"dataset": {"uri": "x"}, "pack": {"uri": "y"}, "train": {**train, "precision": "float32"}}
            ),
            pack=tiny.pack(),
            inputs={"fetch": tmp_path / "fetch", "label": tmp_path / "label"},
            files={},
            out=tmp_path / "out",
            work=tmp_path / "work",
            progress=tiny.Quiet(),
        )
    )
    assert summary["sessions"] == 12
    assert summary["updates"] == 9
    rows = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "validation"]
    assert len(losses) >= 3
    assert losses[-1] < losses[0]
    assert list((tmp_path / "out/tensorboard").iterdir())
    published = Policy.load(tmp_path / "out/model", tiny.pack(), limits=PromptLimits(max_prompt_tokens=512))
    run = tiny.sft_run(tmp_path)
    held_out = [
        tree
        for session in tiny.sessions(3, "validation")
        for tree in supervised_trees(published, session, turns="labelled").trees
    ]
    enable_tree_attention(published.model)
    alone = Learner(published.model, weight_decay=0.0, precision=torch.float32, workers=ALONE)
    assert mean_loss(alone, held_out, run.row_tokens) == pytest.approx(min(losses), abs=1e-4)


def test_the_published_weights_are_the_running_mean_of_the_updates(
    tmp_path: Path, warm: dict[str, torch.Tensor]
) -> None:
    found = {}
    for averaging in (0.0, 0.75):
        (work := tmp_path / str(averaging)).mkdir()
        run = tiny.grpo_run(work, updates=1, averaging=averaging)
        working = GrpoTrainer(
            tiny.warmed(warm), tiny.warmed(warm), tiny.sessions(12), [], grader=tiny.WordGrader(), run=run
        )
        working.train(tiny.Quiet())
        found[averaging] = dict(working.policy.model.named_parameters())
    for name, before in warm.items():
        last, mean = found[0.0][name], found[0.75][name]
        torch.testing.assert_close(mean, 0.75 * before + 0.25 * last)
    assert any(not torch.equal(found[0.0][name], before) for name, before in warm.items())


def test_targets_are_the_expert_turns_and_the_stop() -> None:
    policy = tiny.policy()
    labelled = tiny.session(3)
    (tree,) = supervised_trees(policy, labelled, turns="labelled").trees
    texts = [policy.tokenizer.decode(completion.tokens) for completion in tree.completions]
    said = [message.content for message in labelled.session.messages if message.author == "expert"]
    assert texts == [text + "<|im_end|>" for text in [*said[:-1], STOP]]
    # The experts' turns are scored where they stand in the trunk; only the stop is a branch.
    assert [tree.in_trunk(completion) for completion in tree.completions] == [True] * (len(texts) - 1) + [
        False
    ]


def test_hindsight_targets_are_weighted_branches_of_the_same_trunk() -> None:
    policy = tiny.policy()
    labelled = next(session for session in tiny.sessions(20) if len(session.session.turns) == 4)
    hindsight = HindsightTargets.of(tiny.sessions(20), weight=0.5)
    (usual,) = supervised_trees(policy, labelled, turns="labelled").trees
    found = supervised_trees(policy, labelled, turns="labelled", hindsight=hindsight)
    (tree,) = found.trees
    first, second, third, stop = (
        policy.tokenizer.decode(completion.tokens) for completion in usual.completions
    )
    texts = [(policy.tokenizer.decode(one.tokens), one.weight) for one in tree.completions]
    assert texts == [
        *((first, 1), (second, 0.25), (third, 0.25)),
        *((second, 1), (third, 0.5)),
        (third, 1),
        (stop, 1),
    ]
    assert found.later == 3
    assert tree.trunk == usual.trunk
    # Each further branch costs its own tokens, without the last, which is predicted only.
    lengths = {text: len(one.tokens) for (text, _), one in zip(texts, tree.completions, strict=True)}
    assert tree.size == usual.size + lengths[second] + 2 * lengths[third] - 3


def test_a_greeting_is_replaced_by_the_next_question_in_training_and_validation(tmp_path: Path) -> None:
    labelled = next(session for session in tiny.sessions(20) if len(session.session.turns) == 4)
    greeting = labelled.samples[0].model_copy(update={"requested": ()})
    labelled = labelled.model_copy(update={"samples": (greeting, *labelled.samples[1:])})
    run = tiny.sft_run(tmp_path, targets="question")
    batches = SftBatches(tiny.policy(), [labelled, *tiny.sessions(20)], run)
    said = [
        supervised_trees(tiny.policy(), labelled, turns="labelled").trees[0].completions[n] for n in (0, 1)
    ]
    for trees in (batches.trees(labelled).trees, batches.validation_trees(labelled)):
        learned = [completion.tokens for completion in trees[0].completions]
        assert learned[:2] == [said[1].tokens, said[1].tokens]
    assert batches.trees(labelled).later == 1
    assert batches.later == 1  # no other session has an answer that asks for nothing


def test_sft_learns_hindsight_targets_and_validates_on_the_experts_own_answers(tmp_path: Path) -> None:
    """The policy comes to ask for more than one of the fields that are missing, and its losses stay comparable."""
    held_out, labelled = tiny.sessions(3, "validation"), tiny.sessions(20)
    results, losses = {}, {}
    for targets in ("next", "hindsight"):
        (work := tmp_path / targets).mkdir()
        policy = tiny.policy()
        run = tiny.sft_run(work, targets=targets, hindsight_weight=1, epochs=4)
        result, journal = SftTrainer(policy, labelled, held_out, run=run).train(tiny.Quiet())
        results[targets] = result
        losses[targets] = [row["loss"] for row in journal.records() if row["kind"] == "validation"]
        own = [tree for one in held_out for tree in supervised_trees(policy, one, turns="labelled").trees]
        learner = Learner(policy.model, weight_decay=0.0, precision=torch.float32, workers=ALONE)
        assert result.best_loss == pytest.approx(mean_loss(learner, own, 200), abs=1e-5)
    assert results["next"].later == 0
    assert results["hindsight"].later > 10
    assert losses["hindsight"] != losses["next"]
    assert losses["hindsight"][-1] < losses["hindsight"][0]


def test_labelled_turns_only_or_all() -> None:
    labelled = tiny.session(3)
    fewer = labelled.model_copy(update={"samples": labelled.samples[1:]})
    every = list(range(len(labelled.session.turns)))
    assert trained_turns(fewer, turns="labelled", may_stop=True) == every[1:]
    assert trained_turns(fewer, turns="all", may_stop=True) == every
    assert trained_turns(fewer, turns="all", may_stop=False) == every[:-1]


def test_a_context_that_is_no_prefix_gets_its_own_trunk() -> None:
    labelled = next(session for session in tiny.sessions(20) if len(session.session.turns) == 4)
    record = labelled.session
    silent = record.turns[1].start
    messages = list(record.messages)
    messages[silent] = Message(role="assistant", content="", author="expert")
    record = record.model_copy(update={"messages": tuple(messages)})
    policy = tiny.policy()
    rendering = render_session(policy, record, turns=range(4))
    assert rendering.fallbacks == 1
    found = {end.turn: trunk.tokens[: end.attach] for trunk in rendering.trunks for end in trunk.contexts}
    for turn, tokens in found.items():
        alone = render_session(policy, record, turns=[turn])
        assert alone.trunks[0].tokens == tokens


def test_division_follows_the_session_ids_alone() -> None:
    every = [*tiny.sessions(200), *tiny.sessions(5, "validation"), *tiny.sessions(5, "test")]
    split = split_for_training(every, kept_share=0.3, seed=0)
    again = split_for_training(reversed(every), kept_share=0.3, seed=0)
    names = [
        {labelled.session.session_id for labelled in part}
        for part in (split.sft, split.kept, split.validation)
    ]
    assert names == [
        {labelled.session.session_id for labelled in part}
        for part in (again.sft, again.kept, again.validation)
    ]
    assert len(names[0]) + len(names[1]) == 200
    assert 40 < len(names[1]) < 80
    assert len(names[2]) == 5


def test_a_batch_counts_equal_answers_once_and_masks_missing_ones() -> None:
    policy = tiny.policy()
    labelled = tiny.session(0)
    settings = Grpo(group_size=5)
    asked = sampled_points(labelled, settings, "product")
    assert all(sample.decision == "continue" for sample in asked.samples)

    def answer(text: str) -> SampledAnswer:
        tokens = (*policy.tokenizer(text, add_special_tokens=False).input_ids, policy.end_of_turn)
        return SampledAnswer(tokens=tokens, logprobs=(), text=text, finished=True)

    field = asked.samples[0].remaining[0].field
    texts = [f"Which {field}?", f"Which {field}?", "Hm?", STOP, f"A {field}?"]
    groups = grade_samples(
        [asked],
        [[[answer(text) for text in texts] for _ in asked.samples]],
        grader=tiny.WordGrader(lost=len(texts)),  # the first of every group is missing
        spec=Reward(),
    )
    assert [member.reward for member in groups[0].members] == [None, 4.0, 1.0, 0.0, 4.0]
    batch = build_batch(policy, [labelled], groups, settings=settings, row_tokens=1000)
    (scored,) = batch.micro_batches
    points = len(labelled.session.turns)
    # A forced stop at every point; of each group the three graded questions (the stop is no question).
    assert len(scored.facts.lengths) == points + 3 * len(asked.samples)
    assert batch.completions == 3 * len(asked.samples)
    assert float(scored.facts.weight.sum()) == pytest.approx(1)
    assert float(scored.facts.decision_weight.sum()) == pytest.approx(1)
    assert float(scored.facts.hold_weight.sum()) == pytest.approx(1)
    assert scored.facts.truth[scored.facts.stop].tolist() == [-1] * (points - 1) + [1]
    twice = [answer(text) for text in ("Hm?", "Hm?", f"A {field}?")]
    groups = grade_samples([asked], [[twice for _ in asked.samples]], grader=tiny.WordGrader(), spec=Reward())
    batch = build_batch(policy, [labelled], groups, settings=settings, row_tokens=1000)
    weights = batch.micro_batches[0].facts.weight
    assert len(weights) == points + 2 * len(asked.samples)
    assert float(weights.max()) == pytest.approx(2 / (3 * len(asked.samples)))


def test_a_batch_is_scored_with_the_prompts_it_was_sampled_with(tmp_path: Path, warm) -> None:
    orders = []

    def sampler(policy: Policy, *arguments, **settings):
        orders.append(tuple(field.name for field in policy.pack.task("order").fields))
        return decode_sessions(policy, *arguments, **settings)

    run = tiny.grpo_run(tmp_path, updates=4)
    GrpoTrainer(
        tiny.warmed(warm),
        tiny.warmed(warm),
        tiny.sessions(12),
        [],
        grader=tiny.WordGrader(),
        run=run,
        sampler=sampler,
    ).train(tiny.Quiet())
    assert len(set(orders)) > 1
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert max(row["off_policy"] for row in rows) < 1e-4


def test_missing_grades_are_counted_and_too_many_stop_the_run(tmp_path: Path, warm) -> None:
    result, _ = trainer(tmp_path, warm, lost=20).train(tiny.Quiet())
    assert 0 < result.missing_share < 0.2
    (tmp_path / "more").mkdir()
    with pytest.raises(TooManyMissing, match="GRPO, validation sessions"):
        trainer(tmp_path / "more", warm, lost=3).train(tiny.Quiet())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"learning_rate": 1.0, "updates": 4}, None), ({"max_kl": 1e-9}, "ExplodingKL")],
)
def test_a_run_that_goes_wrong_stops_with_the_reason(
    settings: dict, reason: str | None, tmp_path: Path, warm
) -> None:
    run = tiny.grpo_run(tmp_path, **{"updates": 3, **settings})
    with pytest.raises(StageError) as raised:
        trainer(tmp_path, warm, run=run).train(tiny.Quiet())
    assert raised.value.reason in (
        {reason} if reason else {"ExplodingKL", "CollapsedOutput", "NonFiniteLoss", "NonFinitePolicy"}
    )


def test_an_sft_policy_whose_answers_never_end_is_published_unchanged_with_a_warning(tmp_path: Path) -> None:
    fresh = {name: weight.detach().clone() for name, weight in tiny.policy().model.named_parameters()}
    working = trainer(tmp_path, fresh)
    result, _ = working.train(tiny.Quiet())
    assert (result.updates, result.best_update) == (0, 0)
    assert result.warnings[0] in result.choice("GRPO", validated=True).reason
    (warning,) = result.warnings
    assert "100% of the answers never end" in warning
    assert "spec.train.sft.epochs" in warning
    for name, weight in working.policy.model.named_parameters():
        assert torch.equal(weight, fresh[name])


def test_a_broken_loss_stops_sft_before_it_reaches_the_weights(tmp_path: Path) -> None:
    policy = tiny.policy()
    run = tiny.sft_run(tmp_path)
    with torch.no_grad():
        policy.model.model.norm.weight.fill_(float("nan"))
    before = policy.model.model.embed_tokens.weight.clone()
    with pytest.raises(StageError, match="update 0: loss nan"):
        SftTrainer(policy, tiny.sessions(4), [], run=run).train(tiny.Quiet())
    assert torch.equal(policy.model.model.embed_tokens.weight, before)


def test_without_a_better_policy_the_sft_weights_are_published(tmp_path: Path, warm) -> None:
    run = tiny.grpo_run(tmp_path, updates=2, learning_rate=1e-9, validate_every=1)
    working = trainer(tmp_path, warm, run=run)
    result, _ = working.train(tiny.Quiet())
    assert result.best_update == 0
    choice = result.choice("GRPO", validated=True)
    assert choice.policy == "sft"
    assert "GRPO brought no confirmed gain" in choice.reason
    assert "update 1" in choice.reason or "update 2" in choice.reason
    for name, weight in working.policy.model.named_parameters():
        assert torch.equal(weight, warm[name])


@pytest.mark.parametrize("method", ["grpo", "rewardWeighted", "dpo"])
def test_every_method_learns_to_ask_for_more_that_is_needed(method: Method, tmp_path: Path, warm) -> None:
    """The sampled answers of the trained policy earn more than those of the policy it started from."""
    updates = {"updates": 16, "batch_sessions": 6, "group_size": 6, "averaging": 0.0, "max_kl": 50}
    rate = {"grpo": 3e-3, "rewardWeighted": 3e-3, "dpo": 1e-3}[method]
    run = tiny.grpo_run(tmp_path, method=method, learning_rate=rate, **updates)
    working = GrpoTrainer(
        tiny.warmed(warm), tiny.warmed(warm), tiny.sessions(12), [], grader=tiny.WordGrader(), run=run
    )
    working.train(tiny.Quiet())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in rows} == {method}
    assert mean_reward(working.policy) > mean_reward(tiny.warmed(warm)) + 0.1


def mean_reward(policy: Policy) -> float:
    held_out = tiny.sessions(20)[12:]
    sampled = decode_sessions(
        policy, held_out, SamplingParams(samples=8, temperature=1.0, max_new_tokens=12, seed=5)
    )
    return batch_figures(grade_samples(held_out, sampled, grader=tiny.WordGrader(), spec=Reward())).reward


@pytest.mark.parametrize("mode", ["sum", "ask_only", "stop_only"])
def test_every_reward_mode_trains(mode: str, tmp_path: Path, warm) -> None:
    policies = [tiny.policy(may_stop=mode != "ask_only") for _ in range(2)]
    for policy in policies:
        restore_weights(policy.model, warm)
    run = tiny.grpo_run(tmp_path, updates=2, reward=Reward(mode=mode))
    sessions, validation = tiny.sessions(12), tiny.sessions(4, "validation")
    working = GrpoTrainer(*policies, sessions, validation, grader=tiny.WordGrader(), run=run)
    result, _ = working.train(tiny.Quiet())
    assert result.updates == 2
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    learned = [row for row in rows if row["kind"] == "grpo"]
    assert any(row["gradient_norm"] > 0 for row in learned)


def test_pairs_of_a_batch_are_the_better_and_the_worse_answers_to_one_context() -> None:
    policy, labelled = tiny.policy(), tiny.session(0)
    field = labelled.samples[0].remaining[0].field

    def answer(text: str) -> SampledAnswer:
        tokens = (*policy.tokenizer(text, add_special_tokens=False).input_ids, policy.end_of_turn)
        return SampledAnswer(tokens=tokens, logprobs=(), text=text, finished=True)

    texts = [f"Which {field}?", "Hm?", "Hm?", STOP]
    sampled = [[answer(text) for text in texts] for _ in labelled.samples]
    groups = grade_samples([labelled], [sampled], grader=tiny.WordGrader(), spec=Reward())
    settings = Grpo(group_size=4, credit="plain")
    batch = build_batch(policy, [labelled], groups, settings=settings, row_tokens=1000, method="dpo")
    ((scored, pairs),) = ((scored, scored.facts.pairs) for scored in batch.micro_batches)
    rewards = scored.facts.advantage
    assert (rewards[pairs.better] > rewards[pairs.worse]).all()
    assert (scored.facts.stop_of[pairs.better] == scored.facts.stop_of[pairs.worse]).all()
    assert not scored.facts.stop[pairs.better].any()
    assert float(pairs.weight.sum()) == pytest.approx(1)
    # "Hm?" was sampled twice: of the first point's pairs (question, Hm), (question, stop), (Hm, stop) two count double.
    first = pairs.weight[scored.facts.stop_of[pairs.better] == 0] * len(labelled.samples)
    assert sorted(first.tolist()) == pytest.approx([1 / 5, 2 / 5, 2 / 5])


def found(total: float, ws_stop: float, *, spread: float = 0.0) -> Validation:
    """Twenty sessions of two samples, whose totals lie `spread` above and below in turns."""
    totals = tuple((total + sign * spread, total + sign * spread) for sign in (1, -1) * 10)
    return Validation(total=total, ws_continue=1, ws_stop=ws_stop, wa_gh=1, samples=40, totals=totals)


def test_validation_counts_missing_grades_apart_from_answers_that_are_no_question(warm) -> None:
    held_out = tiny.sessions(8, "validation")
    found = {}
    for name, policy in (("untrained", tiny.policy()), ("trained", tiny.warmed(warm))):
        found[name] = validate(
            policy, held_out, grader=tiny.WordGrader(lost=4), max_new_tokens=12, max_missing_share=0.5
        )
    points = sum(len(one.samples) for one in held_out)
    for validation in found.values():
        assert validation.missing == pytest.approx(math.ceil(points / 4) / points)
    assert found["untrained"].refused == pytest.approx(1 - found["untrained"].missing)
    assert found["trained"].refused < found["untrained"].refused
    assert found["trained"].metrics()["unlike_experts"] == 0


def test_a_greater_total_does_not_buy_lost_stops() -> None:
    start = found(3.0, 0.95)
    rule = {"start": start, "confidence": 0.9}
    assert refusal(found(3.1, 0.95), than=start, max_stop_loss=0, **rule) is None
    assert refusal(found(3.1, 0.94), than=start, max_stop_loss=0.02, **rule) is None
    assert refusal(found(3.5, 0.92), than=start, max_stop_loss=0.02, **rule) is not None
    # Measured against the SFT policy, not against the best so far.
    assert refusal(found(3.2, 0.94), than=found(3.1, 1.0), max_stop_loss=0.02, **rule) is None
    assert refusal(found(3.0, 1.0), than=start, max_stop_loss=0.02, **rule) is not None


def test_a_rise_that_may_be_chance_publishes_nothing() -> None:
    start = found(3.0, 1.0)
    lucky = found(3.1, 1.0, spread=1.0)  # standard error 1 / √20 = .22
    assert refusal(lucky, than=start, start=start, max_stop_loss=0, confidence=0.9) is not None
    assert refusal(lucky, than=start, start=start, max_stop_loss=0, confidence=0.5) is None
    assert (
        refusal(found(3.4, 1.0, spread=1.0), than=start, start=start, max_stop_loss=0, confidence=0.9) is None
    )
    # mean .1, standard error √(20 · (2 · 1)²) / 40 = .2236, z(.9) = 1.2816
    assert gain_lower_bound(lucky, over=start, confidence=0.9) == pytest.approx(
        0.1 - 1.2816 * 0.2236, abs=1e-3
    )


def test_samples_without_a_grade_leave_the_comparison() -> None:
    old = Validation(total=1, ws_continue=1, ws_stop=1, wa_gh=1, samples=2, totals=((1.0, None), (1.0,)))
    new = Validation(total=2, ws_continue=1, ws_stop=1, wa_gh=1, samples=2, totals=((2.0, 4.0), (None,)))
    assert gain_lower_bound(new, over=old, confidence=0.5) == pytest.approx(1.0)


def test_an_answer_longer_than_a_prompt_is_learned_from_its_beginning_and_counted() -> None:
    policy = tiny.policy()
    policy = replace(policy, limits=PromptLimits(max_prompt_tokens=200))
    labelled = tiny.sessions(1)[0]
    usual = supervised_trees(policy, labelled, turns="labelled")
    assert usual.cut_answers == 0
    record = labelled.session
    long = record.messages[1].model_copy(update={"content": "Which dish would you like? " * 2000})
    messages = (record.messages[0], long, *record.messages[2:])
    changed = labelled.model_copy(update={"session": record.model_copy(update={"messages": messages})})
    found = supervised_trees(policy, changed, turns="labelled")
    assert found.cut_answers == 1
    longest = max(len(one.tokens) for tree in found.trees for one in tree.completions)
    assert longest == 200
    assert found.size < 200 * (2 + 2 * len(labelled.samples))
