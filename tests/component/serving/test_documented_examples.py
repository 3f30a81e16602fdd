"""The Python examples of README, pages and client run as they are against a gateway with the example pack."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path

import learntoask.client
import pytest
from learntoask.core.pack import load_pack
from worlds.gateway import gateway
from worlds.serving import ScriptedEngine, serving

ROOT = Path(__file__).resolve().parents[3]
PHARMACY = ROOT / "examples" / "pharmacy" / "pack.yaml"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    (f"{page.name}:{number}", code)
    for page in PAGES
    for number, code in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
]
OF_THE_CLIENT = re.search(r"\n\n((?:    .*\n)+)", learntoask.client.__doc__ or "")
_ADDRESS = re.compile(r'"[\w.-]+:50051"')


def _on(address: str, code: str) -> str:
    replaced, count = _ADDRESS.subn(f'"{address}"', code)
    assert count, "the example asks no server"
    return replaced


async def _run(code: str) -> ScriptedEngine:
    engine = ScriptedEngine()
    async with (
        serving(engine, pack=load_pack(PHARMACY)) as server,
        gateway(PHARMACY, server.address) as front,
    ):
        names = vars(learntoask.client).copy()
        await asyncio.to_thread(exec, _on(front.address, code), names)
    return engine


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in EXAMPLES])
async def test_an_example_of_a_page_gets_answers(code: str) -> None:
    engine = await _run(code)
    assert {context.task for context in engine.contexts} == {"remedy"}


async def test_the_example_of_the_client_gets_answers() -> None:
    assert OF_THE_CLIENT is not None
    engine = await _run(textwrap.dedent(OF_THE_CLIENT[1]))
    assert len(engine.contexts) == 2
