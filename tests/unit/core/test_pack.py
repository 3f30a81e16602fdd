"""Domain packs: which ones are refused, and with which message."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.core.pack import load_pack, parse_pack
from learntoask.core.prompt import check_prompts

CASES = Path(__file__).parents[2] / "data" / "cases"
TASKS = """
  - name: repair
    fields: [{name: bike}]
  - name: rental
    fields: [{name: day}]
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: shop\ntasks: []", "tasks"),
        ("name: shop\ntasks: [{name: a, fields: []}]", "tasks.0.fields"),
        (
            "name: shop\ntasks: [{name: a, fields: [{name: x}, {name: x}]}]",
            r"field names occur twice .*\['x'\]",
        ),
        ("name: shop\ntasks: [{name: a, fields: [{name: x, patterns: ['(']}]}]", "'\\('.*regular expression"),
        (
            'name: shop\ntasks: [{name: a, fields: [{name: x, patterns: ["\\bday"]}]}]',
            "backspace.*single quotes",
        ),
        ("name: shop\ntasks: [{name: a, fields: [{name: x, answerPattern: [y]}]}]", "mean 'answerPatterns'"),
        (
            f"name: shop\ntasks: {TASKS}  - name: rental\n    fields: [{{name: day}}]",
            r"task names .*\['rental'\]",
        ),
        (f"name: shop\ntasks: {TASKS}demoTask: repairs", "did you mean 'repair'"),
        (f"name: shop\ntasks: {TASKS}demo: [hello]", "demo needs demoTask"),
        (
            "name: shop\nfluency: {minWords: 9, maxWords: 3}\ntasks: [{name: a, fields: [{name: x}]}]",
            r"fluency: minWords \(9\) is greater than maxWords \(3\)",
        ),
        ("- a list", "document: must be fields with values"),
        ("name: shop\ntaskFrom: task\ntasks: [{name: a, fields: [{name: x}]}]", "taskFrom: must be a list"),
        (
            "name: shop\nstop_at: acts\ntasks: [{name: a, fields: [{name: x}]}]",
            "stop_at: unknown field; did you mean 'stopAt'",
        ),
        ("name: shop\ntasks: [{name: a, fields: [{name: yes}]}]", r"tasks\.0\.fields\.0\.name: must be text"),
        ("name: [", "not valid YAML"),
        ("name: shop\n\ttasks: []", "pack.yaml:2: .*indent with spaces, not with tabs"),
        (
            "name: shop\nroles: {expert: User, user: user}\ntasks: [{name: a, fields: [{name: x}]}]",
            "are both 'user'",
        ),
        (
            "name: shop\nendMarkers: ['']\ntasks: [{name: a, fields: [{name: x}]}]",
            "endMarkers.0: must not be empty",
        ),
        (
            "name: shop\nnonAnswers: ['.']\ntasks: [{name: a, fields: [{name: x}]}]",
            "nonAnswers.0: pattern '.' matches every message",
        ),
        (
            "name: shop\ntasks: [{name: a, fields: [{name: x, patterns: ['a*']}]}]",
            "'a\\*' matches every message",
        ),
        (f"name: shop\ntasks: {TASKS}demoTask: repairs", "pack.yaml:7: document: demoTask 'repairs'"),
    ],
)
def test_a_faulty_pack_is_refused_by_file_and_field(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_pack(text, where="shop/pack.yaml")
    assert "shop/pack.yaml" in str(caught.value)


def test_one_wrong_field_is_one_line_of_the_message() -> None:
    with pytest.raises(InputError) as caught:
        parse_pack("name: shop\ntasks: [{name: a, fields: [{name: x, values: [1]}]}]", where="p")
    assert str(caught.value) == "p:2: tasks.0.fields.0.values.0: must be text; put it in quotes (got 1)"


def test_a_key_that_is_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(InputError, match="key 'patterns' is given twice, in lines 16 and 18"):
        load_pack(CASES / "yaml-duplicate-keys" / "pack.yaml")


def test_merged_keys_of_yaml_may_be_overridden() -> None:
    pack = parse_pack(
        "name: shop\ntasks:\n- &a {name: a, fields: [{name: x}]}\n- {<<: *a, name: b}", where="p"
    )
    assert [task.name for task in pack.tasks] == ["a", "b"]


@pytest.mark.parametrize(
    ("key", "template", "message"),
    [
        ("policy", "{{ goal }", "prompts.policy, line 1"),
        ("policy", "{{ gaol }}", "prompts.policy: 'gaol' is undefined"),
        (
            "policy",
            "{% if not may_stop %}{{ fields + 1 }}{% endif %}",
            "prompts.policy: can only concatenate",
        ),
        ("microGoal", "{% for field in fields %}", "prompts.microGoal, line 1"),
        ("macroGoal", "{{ stop }}", "prompts.macroGoal: 'stop' is undefined"),
        ("judge", "{{ 1 / 0 }}", "prompts.judge: division by zero"),
    ],
)
def test_a_faulty_prompt_is_found_without_a_log(key: str, template: str, message: str) -> None:
    pack = parse_pack(f"name: shop\ntasks: {TASKS}prompts: {{{key}: '{template}'}}", where="p")
    with pytest.raises(InputError, match=message):
        check_prompts(pack)


def test_a_role_name_of_both_sides_is_refused() -> None:
    roles = "roles: {userAliases: [user, Assistant], expertAliases: [assistant]}"
    with pytest.raises(InputError, match="userAliases and expertAliases both have assistant"):
        parse_pack(f"name: shop\ntasks: {TASKS}{roles}", where="p")


def test_a_pack_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_bytes(b"name: caf\xe9")
    with pytest.raises(InputError, match=r"pack\.yaml cannot be read"):
        load_pack(path)


def test_the_default_task_is_the_only_one_or_the_one_called_so() -> None:
    assert parse_pack(f"name: shop\ntasks: {TASKS}", where="p").default_task is None
    assert parse_pack("name: shop\ntasks: [{name: a, fields: [{name: x}]}]", where="p").default_task == "a"
    called_so = f"name: shop\ntasks: {TASKS}  - name: default\n    fields: [{{name: day}}]"
    assert parse_pack(called_so, where="p").default_task == "default"


def test_an_unknown_task_names_the_known_ones() -> None:
    pack = parse_pack(f"name: shop\ntasks: {TASKS}", where="p")
    with pytest.raises(InputError, match=r"'sale' is not in pack 'shop' \(it has: rental, repair\)"):
        pack.task("sale")
