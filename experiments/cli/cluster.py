"""`sandwich cluster`: what a cluster of several machines needs beside Ray."""

import json
import os
import shlex

import click

from experiments.cli.options import JSON
from sandwich.runtime.token import keep_token


@click.group()
def cluster() -> None:
    """What a cluster of several machines needs beside Ray.

    \b
    Example: sandwich cluster token
    """


@cluster.command("token")
@JSON
def token_command(as_json: bool) -> None:
    """Make the token that a cluster's machines ask each other for, unless there is one; and say how to pass it on.

    Only its owner can read the file. Who has the token can run code on every machine of the cluster.

    \b
    Example: sandwich cluster token
    """
    path, made = keep_token()
    if as_json:
        click.echo(json.dumps({"file": str(path), "made": made}))
        return
    click.echo(f"The token {'is now' if made else 'was already'} in {path}, which only its owner can read.")
    if os.environ.get("RAY_AUTH_TOKEN"):
        click.echo(
            "RAY_AUTH_TOKEN is set here, and Ray takes that one: unset it, or set it on every machine.", err=True
        )
    click.echo(f"""
To each of the other machines:
  ssh MACHINE 'umask 077 && mkdir -p .ray && cat > .ray/auth_token' < {shlex.quote(str(path))}

On the first machine, with ADDRESS the one by which the others reach it:
  export RAY_AUTH_MODE=token
  ray start --head --node-ip-address=ADDRESS --port=6379 --include-dashboard=false --disable-usage-stats

On each of the others:
  export RAY_AUTH_MODE=token
  ray start --address=ADDRESS:6379 --disable-usage-stats

Then, on the first machine:
  RAY_ADDRESS=ADDRESS:6379 sandwich run default

`ray stop` on each machine ends it.""")
