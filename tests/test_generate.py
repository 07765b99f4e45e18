"""Every arm is asked the same by fixed rules, answers greedily with and without kept keys, and is never cut."""

import json
import math
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from stages import generate as stage
from stages.baseline import baseline
from stages.generate.live import told, told_by
from stages.generate.reminders import reminders
from tests.conftest import make_rows
from twin.asking import Arm, Said, ask
from twin.asking.capability import capability_tasks
from twin.asking.questions import few_shot, messages_sha256, questions, spread, with_examples
from twin.asking.tasks import choice_tasks, real_tasks
from twin.config.adapter import AdapterConfig, Kind
from twin.config.augment import Scalar, Tags
from twin.config.generate import GenerateConfig
from twin.errors import ConfigError, DataError, ModelError, ProvenanceError
from twin.files import read_json, sha256_file, sha256_text, write_json
from twin.graph import Edge, EmbeddedGraph, Triple
from twin.likelihood import score
from twin.model import adapt, attach, load_base, split_head, trainable
from twin.prompt import PromptRecipe
from twin.protocol import protocol
from twin.reply import Speaker
from twin.sampling import Drawn
from twin.tokens import encode, prompt_tokens
from twin.training.save import write_adapter

CONFIG = GenerateConfig(max_new_tokens=12, few_shot=3, test_prompts=5, temperature=0.0, samples=1, seed=3, graph=None)
RECIPE = PromptRecipe(
    "You are Sam.", Tags.context, tuple(Scalar), 2, 3, 10, 1, 5, 8, 3, {"name": "hashing", "version": 1}
)


def splits():
    cal = [row | {"half": "fit"} for row in make_rows(4, seed=2)]
    valid = [row | {"split": "valid"} for row in make_rows(3, seed=4)]
    return {"canaries": [], "train": make_rows(40), "valid": valid, "cal": cal, "test": make_rows(12, seed=3)}


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, tiny_base):
    base = load_base(tiny_base)
    config = AdapterConfig(Kind.lora, ["q_proj", "down_proj"], None, 4, 2.0, 0.0)
    written = adapt(base.model, config, seed=3)
    weights = {
        name: mx.random.normal(array.shape, key=mx.random.key(1)) for name, array in trainable(base.model).items()
    }
    folder = tmp_path_factory.mktemp("adapter") / "adapter"
    write_adapter(folder, weights, written, {"version": 1}, lambda part: None)
    return folder


def every(base, adapter, asked, config=CONFIG, **how):
    """What base and adapters say, as `generate` files it, and what a live reply is judged by."""
    said, apart = stage.generate(lambda: load_base(base), adapter, asked, config, **how)
    return (baseline(load_base(base), asked, config) + said).ordered(asked), apart


@pytest.fixture(scope="module")
def everything(tiny_base, adapter):
    return every(tiny_base, adapter, ask(splits(), RECIPE, CONFIG))


@pytest.fixture(scope="module")
def generated(everything):
    return everything[0]


def greedy(model, tokenizer, prompt, max_tokens):
    """The definition: the most likely next token of the whole text so far, again and again."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + max_tokens:
        tokens.append(int(mx.argmax(model(mx.array([tokens]))[0, -1]).item()))
        if tokens[-1] in tokenizer.eos_token_ids:
            break
    return tokens[len(prompt) :]


def test_every_arm_answers_its_questions_in_order(generated):
    answers = generated.answers
    asked = [(row["prompt_set"], row["prompt_id"]) for row in answers]
    counts = Counter((row["prompt_set"], row["arm"]) for row in answers)
    assert counts == {
        ("protocol", "B0"): 10, ("protocol", "B1"): 10, ("protocol", "X"): 10, ("test", "B0"): 5, ("test", "B1"): 5,
        ("test", "X"): 5, ("valid", "B0"): 3, ("valid", "B1"): 3, ("valid", "X"): 3, ("cal", "B0"): 4, ("cal", "B1"): 4,
    }  # fmt: skip
    assert list(dict.fromkeys(name for name, _ in asked)) == ["protocol", "test", "valid", "cal"]
    assert [one for one in dict.fromkeys(asked) if one[0] == "protocol"] == [("protocol", one.id) for one in protocol()]
    assert [row["arm"] for row in answers[:3]] == ["B0", "B1", "X"]


def test_answers_are_the_greedy_ones_of_each_model(tiny_base, adapter, generated):
    answers = generated.answers
    asked = {question.id: question for question in questions("test", splits()["test"])}
    base = load_base(tiny_base)
    pairs = few_shot(splits()["train"], CONFIG.few_shot)

    def check(arm, shown):
        for row in answers:
            if row["prompt_set"] == "test" and row["arm"] == arm:
                messages = shown(asked[row["prompt_id"]].messages)
                tokens = greedy(
                    base.model, base.tokenizer, prompt_tokens(messages, base.tokenizer), CONFIG.max_new_tokens
                )
                stopped = tokens[-1] in base.tokenizer.eos_token_ids
                content = tokens[: len(tokens) - stopped]
                assert (row["stopped"], row["tokens"]) == (stopped, len(content))
                assert row["text"] == base.tokenizer.decode(content)
                assert row["messages_sha256"] == messages_sha256(messages)

    check("B0", list)
    check("B1", lambda messages: with_examples(messages, pairs))
    attach(base, adapter)
    check("X", list)


DRAWN = replace(CONFIG, temperature=1.5, samples=3)


@pytest.fixture(scope="module")
def drawn(tiny_base, adapter):
    parts = splits() | {"valid": [row | {"split": "valid"} for row in make_rows(25, seed=4)]}
    return every(tiny_base, adapter, ask(parts, RECIPE, DRAWN), DRAWN)[0]


def test_the_twin_draws_several_replies_and_the_base_answers_the_rest_of_valid(drawn, generated):
    counts = Counter((row["arm"], row["prompt_set"], row.get("sample")) for row in drawn.further)
    draws = {("X", name, sample): n for name, n in (("protocol", 10), ("test", 5), ("valid", 20)) for sample in (1, 2)}
    assert counts == draws | {("B0", "valid", None): 5, ("B1", "valid", None): 5}
    assert Counter(row["arm"] for row in drawn.answers) == {"B0": 39, "B1": 39, "X": 35}
    assert generated.further == []


def test_draws_differ_from_each_other_and_come_again(tiny_base, adapter, drawn):
    said = {}
    for row in [row | {"sample": 0} for row in drawn.answers] + drawn.further:
        if row["arm"] == "X" and row["prompt_set"] == "test":
            said.setdefault(row["prompt_id"], []).append(row["text"])
    assert all(len(set(texts)) == 3 for texts in said.values())
    parts = splits() | {"valid": [row | {"split": "valid"} for row in make_rows(25, seed=4)]}
    again, _ = every(tiny_base, adapter, ask(parts, RECIPE, DRAWN), DRAWN)
    assert (again.answers, again.further) == (drawn.answers, drawn.further)


def test_a_draw_follows_the_temperature_whatever_is_answered_beside_it():
    logits = mx.log(mx.array([0.7, 0.2, 0.1]))
    draw = Drawn(1.0, list(range(3000)))
    alone = [int(draw(logits[None], [place]).item()) for place in range(3000)]
    shares = np.bincount(alone, minlength=3) / 3000
    assert np.abs(shares - [0.7, 0.2, 0.1]).max() < 0.03
    together = Drawn(1.0, list(range(3000)))(mx.broadcast_to(logits, (500, 3)), list(range(500)))
    assert together.tolist() == alone[:500]
    cold = Drawn(0.05, list(range(50)))(mx.broadcast_to(logits, (50, 3)), list(range(50)))
    assert set(cold.tolist()) == {0}


def test_the_arms_differ(generated):
    answers, likelihoods = generated.answers, generated.likelihoods
    texts = {arm: [row["text"] for row in answers if row["arm"] == arm][:15] for arm in ("B0", "B1", "X")}
    assert len({json.dumps(one) for one in texts.values()}) == 3
    assert len(set(texts["B0"])) > 1
    held_out = [row for row in likelihoods if row["prompt_set"] == "test"]
    assert len({sum(row["total_nats"] for row in held_out if row["arm"] == arm) for arm in ("B0", "B1", "X")}) == 3


def test_likelihoods_are_of_all_test_replies_under_every_arm(tiny_base, generated):
    likelihoods = [row for row in generated.likelihoods if row["prompt_set"] == "test"]
    assert [row["arm"] for row in likelihoods] == ["B0", "B1", "X"] * 12
    base = load_base(tiny_base)
    rows = splits()["test"]
    examples = [encode(row["messages"], base.tokenizer, row["id"]) for row in rows]
    expected = [one.total_nats for one in score(split_head(base.model), examples)]
    found = [row["total_nats"] for row in likelihoods if row["arm"] == "B0"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for row, example, likelihood in zip(rows, examples, likelihoods[::3], strict=True):
        assert likelihood["tokens"] == example.supervised
        assert likelihood["bytes"] == len(row["messages"][-1]["content"].encode())


def test_learned_replies_and_choices_are_scored_under_base_and_twin(tiny_base, adapter, generated):
    scored = {
        name: [row for row in generated.likelihoods if row["prompt_set"] == name]
        for name in ("train", "choice", "alone")
    }
    assert {row["arm"] for rows in scored.values() for row in rows} == {"B0", "X"}
    assert len(scored["train"]) == 2 * 12
    learned = {row["id"]: row for row in splits()["train"]}
    base = load_base(tiny_base)
    attach(base, adapter)
    rows = [row for row in scored["train"] if row["arm"] == "X"]
    examples = [encode(learned[row["prompt_id"]]["messages"], base.tokenizer, row["prompt_id"]) for row in rows]
    expected = [one.total_nats for one in score(split_head(base.model), examples)]
    np.testing.assert_allclose([row["total_nats"] for row in rows], expected, rtol=1e-5)
    taking_part = {row["reply_id"] for row in scored["choice"]}
    assert {(row["reply_id"], row["arm"]) for row in scored["alone"]} == {
        (name, arm) for name in taking_part for arm in ("B0", "X")
    }


def held(name, conversation, text):
    messages = [{"role": role, "content": said} for role, said in (("system", "s"), ("user", "q"), ("assistant", text))]
    return {"id": name, "conversation_id": conversation, "stock": False, "messages": messages}


def test_a_choice_is_among_the_nearest_in_length_of_other_conversations_and_no_two_alike():
    texts = ["merge it now", "Merge it now.", "drop the queue", "ok", "wait for the green build first", "no, patch it"]
    rows = [held(f"r{n}", "a" if n in (0, 3) else f"c{n}", text) for n, text in enumerate(texts)]
    tasks = choice_tasks(questions("test", rows), RECIPE)
    offered = {
        row["id"]: [task.reply["id"] for task in tasks if task.prompt_set == "choice" and task.question.id == row["id"]]
        for row in rows
    }
    assert offered["r0"][0] == "r0"
    assert sorted(offered["r0"][1:]) == ["r2", "r4", "r5"]
    assert {task.reply["id"] for task in tasks if task.prompt_set == "alone"} == {f"r{n}" for n in range(6)}
    assert {task.question.messages[-1]["content"] for task in tasks if task.prompt_set == "alone"} == {"…"}


def test_with_too_few_other_replies_there_is_no_choice():
    rows = [held("r0", "a", "merge it"), held("r1", "b", "drop it")]
    assert choice_tasks(questions("test", rows), RECIPE) == []


def test_the_champion_answers_what_the_twin_answers(tiny_base, adapter, generated):
    both, _ = every(tiny_base, adapter, ask(splits(), RECIPE, CONFIG), champion=adapter)
    answers, likelihoods = both.answers, both.likelihoods

    def said(rows, arm, text):
        return [(row["prompt_set"], row["prompt_id"], row[text]) for row in rows if row["arm"] == arm]

    assert said(answers, "C", "text") == said(answers, "X", "text")
    held_out = [row for row in likelihoods if row["prompt_set"] == "test"]
    assert said(held_out, "C", "total_nats") == said(held_out, "X", "total_nats")
    assert [row for row in answers if row["arm"] != "C"] == generated.answers


def test_what_answered_is_noted_by_its_hashes(adapter, tiny_base, tmp_path):
    recipe = read_json(shutil.copytree(adapter, tmp_path / "a") / "recipe.json")
    other = shutil.copytree(adapter, tmp_path / "b")
    write_json(tmp_path / "a/recipe.json", recipe | {"base": {"id": "small"}})
    (other / "adapters.safetensors").write_bytes(b"other")
    noted = stage.models(tmp_path / "a", None)
    assert noted == {
        "adapter": sha256_file(adapter / "adapters.safetensors"),
        "recipe": sha256_file(tmp_path / "a/recipe.json"),
        "base": sha256_text('{"id":"small"}'),
        "champion": None,
    }
    assert stage.models(tmp_path / "a", other)["champion"] == sha256_file(other / "adapters.safetensors")


def test_a_champion_that_is_not_the_registered_one_is_refused(tmp_path, monkeypatch, adapter):
    monkeypatch.chdir(tmp_path)
    recipe = {"base": {"id": "small"}, "prompt": {"tags": "none"}}
    assert stage.registered(None, recipe) is None
    with pytest.raises(ModelError, match="holds no adapter; promote.champion is aaaa"):
        stage.registered("a" * 64, recipe)
    shutil.copytree(adapter, stage.CHAMPION)
    with pytest.raises(ModelError, match="dvc checkout"):
        stage.registered("a" * 64, recipe)
    champion = sha256_file(stage.CHAMPION / "adapters.safetensors")
    write_json(stage.CHAMPION / "recipe.json", recipe | {"run": "another"})
    assert stage.registered(champion, recipe) == stage.CHAMPION
    (stage.CHAMPION / "recipe.json").unlink()
    with pytest.raises(ModelError, match=r"has no recipe\.json\. Bring it back with `dvc checkout --force"):
        stage.registered(champion, recipe)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"base": {"id": "big"}}, 'base is {"id":"big"}, that of models/adapter is {"id":"small"}'),
        ({"prompt": {"tags": "context"}}, 'prompt is {"tags":"context"}, that of models/adapter is {"tags":"none"}'),
    ],
)
def test_a_champion_of_another_base_or_prompt_is_refused(tmp_path, monkeypatch, adapter, other, told):
    monkeypatch.chdir(tmp_path)
    recipe = {"base": {"id": "small"}, "prompt": {"tags": "none"}}
    shutil.copytree(adapter, stage.CHAMPION)
    write_json(stage.CHAMPION / "recipe.json", recipe | other)
    with pytest.raises(ModelError, match=re.escape(told)):
        stage.registered(sha256_file(stage.CHAMPION / "adapters.safetensors"), recipe)


def test_rows_hold_what_the_judge_reads(generated):
    answers, likelihoods = generated.answers, generated.likelihoods
    cal = next(row for row in answers if row["prompt_set"] == "cal")
    source = next(row for row in splits()["cal"] if row["id"] == cal["prompt_id"])
    assert cal["prompt"] == source["messages"][-2]["content"]
    assert cal["reply"] == source["messages"][-1]["content"]
    assert (cal["half"], cal["stock"], cal["conversation_id"]) == ("fit", False, source["conversation_id"])
    assert answers[0]["prompt"] == protocol()[0].text
    assert answers[0]["conversation_id"] is None
    assert all(math.isfinite(row["total_nats"]) for row in likelihoods)


def test_the_fixed_prompts_are_asked_as_a_cold_start():
    asked = ask(splits(), RECIPE, CONFIG).protocol
    assert [message["role"] for message in asked[0].messages] == ["system", "user"]
    assert asked[0].messages[0]["content"] == "You are Sam. [trajectory: cold-start]"


def test_kept_keys_change_no_token(tiny_base):
    base = load_base(tiny_base)
    speaker = Speaker(base)
    prompts = [prompt_tokens(row["messages"][:-1], base.tokenizer) for row in make_rows(12, seed=5)]
    prompts += [prompts[-1], prompts[-1][:-1], prompts[0]]
    for prompt in prompts:
        kept = speaker.reply(prompt, 16)
        assert kept == Speaker(base).reply(prompt, 16)
        stopped = kept.tokens < 16
        assert kept.stopped == stopped


def test_prompts_answered_together_get_the_replies_they_get_alone(tiny_base, tiny_llama):
    for folder in (tiny_base, tiny_llama):
        base = load_base(folder)
        prompts = [prompt_tokens(row["messages"][:-1], base.tokenizer) for row in make_rows(20, seed=6)]
        together = dict(Speaker(base).replies(prompts, 16))
        assert [together[place] for place in range(20)] == [Speaker(base).reply(prompt, 16) for prompt in prompts]


def test_replies_that_end_early_leave_the_others_alone(tiny_base):
    base = load_base(tiny_base)
    prompts = [prompt_tokens(row["messages"][:-1], base.tokenizer) for row in make_rows(16, seed=6)]
    said = [greedy(base.model, base.tokenizer, prompt, 16) for prompt in prompts]
    # Tokens that some replies hold, at several places, now end a reply.
    ends = {tokens[place] for place, tokens in enumerate(said) if place % 3 == 0}
    base.tokenizer.eos_token_ids = base.tokenizer.eos_token_ids | ends
    together = dict(Speaker(base).replies(prompts, 16))
    alone = [Speaker(base).reply(prompt, 16) for prompt in prompts]
    assert [together[place] for place in range(16)] == alone
    assert len({reply.tokens for reply in alone}) > 2


def test_a_reply_scored_on_kept_keys_is_as_likely_as_anywhere(tiny_base, tiny_llama):
    for folder in (tiny_base, tiny_llama):
        base = load_base(folder)
        examples = [encode(row["messages"], base.tokenizer, row["id"]) for row in make_rows(12, seed=8)]
        expected = score(split_head(base.model), examples)
        speaker = Speaker(base)
        found = [speaker.score(example) for example in [*examples, *examples]]
        np.testing.assert_allclose(
            [one.total_nats for one in found], [one.total_nats for one in [*expected, *expected]], rtol=1e-5
        )
        assert [one.tokens for one in found[:12]] == [one.tokens for one in expected]


def test_what_prompts_share_is_computed_once(monkeypatch, tiny_base):
    from twin import reply

    computed = []
    original = reply.generate_step
    monkeypatch.setattr(
        reply, "generate_step", lambda rest, *a, **k: computed.append(len(rest)) or original(rest, *a, **k)
    )
    base = load_base(tiny_base)
    speaker = Speaker(base)
    shared = list(range(5, 45))
    for tail in ([50], [51, 52], [51, 52]):
        speaker.reply([*shared, *tail], 4)
    assert computed == [41, 2, 1]


def test_switching_the_adapter_needs_a_fresh_memory(tiny_base, adapter):
    base = load_base(tiny_base)
    speaker = Speaker(base)
    prompt = prompt_tokens(make_rows(1)[0]["messages"][:-1], base.tokenizer)
    plain = speaker.reply(prompt, 8)
    switch = attach(base, adapter)
    speaker.forget()
    tuned = speaker.reply(prompt, 8)
    switch.off()
    speaker.forget()
    assert speaker.reply(prompt, 8) == plain != tuned


def test_a_streamed_reply_is_the_reply(tiny_base):
    base = load_base(tiny_base)
    for row in make_rows(6, seed=7):
        prompt = prompt_tokens(row["messages"][:-1], base.tokenizer)
        pieces = list(Speaker(base).stream(prompt, 24))
        assert "".join(pieces) == Speaker(base).reply(prompt, 24).text
        assert len(pieces) > 1


def test_a_prompt_that_is_too_long_is_an_error_not_a_cut(tiny_base):
    base = load_base(tiny_base)
    with pytest.raises(ModelError, match=r"prompt of 505 tokens and a reply of 12 exceed the base's context of 512"):
        Speaker(base).reply([7] * 505, 12)
    long = replace(CONFIG, few_shot=13)
    with pytest.raises(ModelError, match=r"exceed the base's context .* Lower .* generate\.few_shot"):
        Arm("B1", base, Speaker(base), few_shot(splits()["train"], long.few_shot) * 3).likelihoods(
            real_tasks(questions("test", splits()["test"]))
        )


def test_test_prompts_are_spread_over_conversations():
    rows = make_rows(30)
    for count in (3, 10, 17):
        chosen = spread(rows, count)
        per_conversation = Counter(row["conversation_id"] for row in chosen)
        assert len(chosen) == count
        assert len(per_conversation) == min(count, 10)
        assert max(per_conversation.values()) <= -(-count // 10)
        assert [row for row in rows if row in chosen] == chosen
    assert spread(rows, None) == spread(rows, 99) == rows


def test_few_shot_pairs_are_plain_usual_and_of_different_conversations():
    rows = make_rows(60)
    for row in rows[:9]:
        row["stock"] = True
    rows[20]["messages"][-1] = {"role": "assistant", "content": "a rant " * 50}
    pairs = few_shot(rows, 8)
    assert [message["role"] for message in pairs] == ["user", "assistant"] * 8
    source = {(row["messages"][-2]["content"], row["messages"][-1]["content"]): row for row in rows}
    chosen = [source[one["content"], other["content"]] for one, other in zip(pairs[::2], pairs[1::2], strict=True)]
    assert len({row["conversation_id"] for row in chosen}) == 8
    assert not any(row["stock"] or "rant" in row["messages"][-1]["content"] for row in chosen)
    hashes = [sha256_text(row["id"]) for row in chosen]
    assert hashes == sorted(hashes)
    assert few_shot(list(reversed(rows)), 8) == pairs


def test_too_few_conversations_for_the_few_shot_pairs_are_an_error():
    with pytest.raises(DataError, match=r"has 2 conversations with a reply .* generate\.few_shot asks for 3"):
        few_shot(make_rows(6), 3)


def test_few_shot_pairs_stand_between_system_line_and_context():
    pairs = few_shot(splits()["train"], 2)
    question = questions("test", splits()["test"])[0]
    shown = with_examples(question.messages, pairs)
    assert shown[0] == question.messages[0]
    assert list(shown[1:5]) == pairs
    assert shown[5:] == question.messages[1:]


def test_the_twin_answers_cal_apart_and_again_where_the_graph_knows_something(tiny_base, adapter, tmp_path):
    graph = EmbeddedGraph()
    graph.add(Triple("PR", "waits_for", "Jonas", 0.9))
    asked = ask(splits(), RECIPE, CONFIG)
    shown = told(asked.shared[:10], graph, RECIPE)
    graph.close()
    said, apart = stage.generate(lambda: load_base(tiny_base), adapter, asked, CONFIG, told=shown)
    live = apart.live
    counts = Counter((row["arm"], row["prompt_set"]) for row in live)
    assert counts == {("X", "cal"): 4, ("F", "protocol"): 1}
    (row,) = [row for row in live if row["arm"] == "F"]
    assert (row["prompt_id"], row["facts"]) == ("review", [["pr", "waits_for", "jonas", 0.9]])
    (plain,) = [one for one in said.answers if one["arm"] == "X" and one["prompt_id"] == "review"]
    assert row["messages_sha256"] != plain["messages_sha256"] and row["prompt"] == plain["prompt"]
    (informed,) = shown.informed
    system, *others = informed.question.messages
    assert '- "pr waits for jonas"' in system["content"]
    assert others == list(next(one for one in asked.protocol if one.id == "review").messages[1:])


def test_x_and_f_are_asked_for_what_the_graph_told_and_only_f_is_shown_it(tiny_base, adapter):
    graph = EmbeddedGraph()
    graph.add(Triple("PR", "waits_for", "Jonas", 0.9))
    asked = ask(splits(), RECIPE, CONFIG)
    shown = told(asked.protocol, graph, RECIPE)
    graph.close()
    _, apart = stage.generate(lambda: load_base(tiny_base), adapter, asked, CONFIG, told=shown)
    asked_for = {row["arm"]: (row["prompt"], row["asked"]) for row in apart.reminders}
    assert asked_for == dict.fromkeys("XF", ("Remind me: pr, waits for?", ["pr", "waits_for", "jonas", 0.9]))
    (reminder,), (knowing,) = shown.reminders, shown.reminded
    assert "jonas" not in str(reminder.question.messages)
    assert '- "pr waits for jonas"' in knowing.question.messages[0]["content"]
    assert knowing.question.messages[1:] == reminder.question.messages[1:]
    shown_to = {row["arm"]: row["messages_sha256"] for row in apart.reminders}
    assert shown_to == {
        "X": messages_sha256(reminder.question.messages),
        "F": messages_sha256(knowing.question.messages),
    }


def test_a_fact_is_asked_for_once_and_only_where_one_answer_is_right_and_unsaid():
    owned, known, blocked, other = (
        Edge("auth-module", predicate, object_, 0.9)
        for predicate, object_ in (("owned_by", "mira"), ("named", "auth"), ("blocked_by", "a"), ("blocked_by", "b"))
    )
    shown = [[known, blocked, other, owned], [owned], [blocked, owned], [other]]
    made = [(one.question.id, one.fact) for one in reminders(shown, RECIPE)]
    assert made == [
        ("Remind me: auth module, owned by?", owned),
        ("Remind me: auth module, blocked by?", blocked),
    ]
    many = [[Edge(f"thing{number}", "is", "so", 0.9)] for number in range(100)]
    assert len(reminders(many, RECIPE)) == 60


def test_without_a_graph_the_other_rows_are_the_same(everything):
    said, apart = everything
    live = apart.live
    assert {row["arm"] for row in live} == {"X"}
    assert all(row["nats"] >= row["worst_nats"] > 0 for row in [*live, *said.answers])


def test_what_the_base_says_depends_on_no_adapter(tiny_base, generated):
    alone = baseline(load_base(tiny_base), ask(splits(), RECIPE, CONFIG), CONFIG)
    assert [row for row in generated.answers if row["arm"] != "X"] == alone.answers
    assert [row for row in generated.likelihoods if row["arm"] != "X"] == alone.likelihoods


def test_what_the_base_said_to_other_prompts_is_refused(tmp_path, generated):
    generated.write(tmp_path)
    read = Said.read(tmp_path)
    assert read == generated
    fewer = ask(splits() | {"test": splits()["test"][1:]}, RECIPE, CONFIG)
    for part in (Said(read.answers), Said(likelihoods=read.likelihoods), Said(further=read.answers)):
        with pytest.raises(ProvenanceError, match="which this run does not ask. Let it answer again with `dvc repro`"):
            part.ordered(fewer)


def test_facts_of_a_run_lie_where_a_change_of_them_is_seen(tmp_path):
    (tmp_path / "facts.csv").write_text("subject,predicate,object\nPR,waits_for,Jonas\n")
    with pytest.raises(ConfigError, match="facts that a run depends on lie in data/graph"):
        told_by(str(tmp_path / "facts.csv"), [], RECIPE)
    assert not told_by(None, [], RECIPE).informed


def test_plain_questions_come_with_their_right_answer_first(tmp_path: Path) -> None:
    tasks = capability_tasks(RECIPE)
    assert len(tasks) == 4 * len({task.question.id for task in tasks}) >= 160
    assert {task.prompt_set for task in tasks} == {"capability"}
    assert tasks[0].question.messages[-1]["content"].endswith("capital of Japan?")
    assert (tasks[0].said["content"], tasks[0].known()["reply_id"]) == ("Tokyo", "capability-0/0")
    (tmp_path / "some.yaml").write_text("- {ask: What, answers: [a, b, c, c]}\n")
    with pytest.raises(DataError, match="question 1 needs `ask` and 4 different `answers`"):
        capability_tasks(RECIPE, tmp_path / "some.yaml")
