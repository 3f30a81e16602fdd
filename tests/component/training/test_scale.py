"""Two workers compute what one does, whatever they divide, and a run continues with another number of workers."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from worlds import scale as world
from worlds import tiny_training as tiny

# A forked child has torch and transformers imported.
FORK = multiprocessing.get_context("forkserver")
PATIENCE = 280
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # learning rates are 0.003 and 0.001


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("deepspeed", reason="DeepSpeed (extra `scale`) is absent")
    folder = tmp_path_factory.mktemp("scale")
    torch.set_num_threads(1)
    (folder / "warm").mkdir()
    save_file(tiny.warm_weights(folder / "warm"), folder / "warm.safetensors")
    world.train_sft(folder / "stopped-alone", stop_at=world.STOPPED_AT)
    FORK.set_forkserver_preload(["worlds.scale"])
    port = world.free_port()
    with pytest.MonkeyPatch.context() as patch:
        # The fork server of Python 3.11 looks for what it preloads on its own path, not on ours.
        patch.setenv("PYTHONPATH", str(Path(world.__file__).parents[1]))
        processes = [
            FORK.Process(target=world.worker, args=(rank, port, folder)) for rank in range(world.SIZE)
        ]
        for process in processes:
            process.start()
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            for running in processes:
                running.kill()
            pytest.fail("the workers hang")
    assert [process.exitcode for process in processes] == [0, 0]
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, torch.Tensor]:
    return world.train_sft(folder / "alone")


@pytest.mark.parametrize("zero", range(4))
def test_two_workers_learn_what_one_does(folder: Path, alone: dict[str, torch.Tensor], zero: int) -> None:
    together = load_file(folder / f"sft-{zero}.safetensors")
    start = dict(tiny.policy().model.named_parameters())
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, **CLOSE)
    moved = max(float((weight - start[name]).detach().abs().max()) for name, weight in alone.items())
    assert moved > 50 * CLOSE["atol"]


@pytest.mark.parametrize("zero", [0, 3])
def test_two_workers_sample_and_improve_as_one_does(folder: Path, zero: int) -> None:
    expected = world.train_grpo(folder / f"grpo-alone-{zero}", load_file(folder / "warm.safetensors"))
    together = load_file(folder / f"grpo-{zero}.safetensors")
    for name, weight in expected.items():
        torch.testing.assert_close(together[name], weight, **CLOSE)


@pytest.mark.parametrize("zero", [0, 3])
def test_a_run_of_two_goes_on_alone(folder: Path, alone: dict[str, torch.Tensor], zero: int) -> None:
    resumed = world.train_sft(folder / f"stopped-{zero}")
    for name, weight in alone.items():
        torch.testing.assert_close(resumed[name], weight, **CLOSE)


def test_a_run_of_one_goes_on_with_two(folder: Path, alone: dict[str, torch.Tensor]) -> None:
    resumed = load_file(folder / "sft-resumed.safetensors")
    for name, weight in alone.items():
        torch.testing.assert_close(resumed[name], weight, **CLOSE)
