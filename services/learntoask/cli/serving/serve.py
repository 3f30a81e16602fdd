"""`lta serve`: the policy of a run, a published policy or any model folder, over gRPC."""

from __future__ import annotations

from typing import Any

import click

from learntoask.cli.serving.flags import records_option, server_options

run_argument = click.argument(
    "run", required=False, help="Name of a run or its manifest; its gate must have passed."
)
model_option = click.option("--model", help="Instead of a run: a model folder, or s3://bucket/folder.")
pack_option = click.option("--pack", help="With --model: the domain pack, or s3://bucket/key.")


@click.command
@run_argument
@model_option
@pack_option
@click.option(
    "--publication",
    envvar="LTA_PUBLICATION",
    show_envvar=True,
    help="Instead of a run: key of a serve stage in the store (LTA_STORE…).",
)
@click.option(
    "--policy",
    envvar="LTA_POLICY",
    show_envvar=True,
    help="With --publication: key of the stage that holds the model.",
)
@server_options
@records_option
def serve(
    run: str | None,
    model: str | None,
    pack: str | None,
    publication: str | None,
    policy: str | None,
    **flags: Any,
) -> None:
    """Serve a policy over gRPC until SIGTERM or Ctrl-C. Environment variables LTA_SERVE_… have more settings."""
    from learntoask.cli.serving.policy import policy_config, published_config  # noqa: PLC0415

    def configure() -> Any:
        if publication:
            return published_config(publication, policy, flags)
        return policy_config(run, model, pack, flags)

    config = configure()  # a run without a policy is told before the seconds that importing torch takes
    from learntoask.serving.process import run_server  # noqa: PLC0415 - torch

    run_server(
        config, configure=configure, ready=lambda address: click.echo(f"serving on {address}", err=True)
    )
