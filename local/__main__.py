"""``python -m local``: the local stack on the command line."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import get_args

from local import StackError, endpoints, stack
from local.airflow import Airflow
from local.part import Database
from local.process import tail


def main(argv: list[str] | None = None) -> int:
    """Run one command; 1 means that something did not work, or is not up, and was named on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except StackError as e:
        print(e, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="The local stack: every part real.")
    commands = parser.add_subparsers(required=True)
    names = ", ".join(f"{kind.name}{' (on request)' * kind.on_request}" for kind in stack.PARTS)

    up = commands.add_parser("up", help="start what does not answer yet, and wait until it does")
    up.add_argument("parts", nargs="*", metavar="PART", help=f"{names}, with what it needs; default: all of the stack")
    up.add_argument("--kubeconfig", type=Path, help="use this cluster (also: KUBECONFIG) and start none")
    up.add_argument("--database", choices=get_args(Database), help="where Airflow keeps its state [sqlite]")
    up.set_defaults(command=_up)

    down = commands.add_parser("down", help="stop, and leave nothing behind but the state under .local/")
    down.add_argument("parts", nargs="*", metavar="PART")
    down.set_defaults(command=_down)

    commands.add_parser("status", help="which parts answer").set_defaults(command=_status)

    logs = commands.add_parser("logs", help="show the log of a part")
    logs.add_argument("part", metavar="PART")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    logs.set_defaults(command=_logs)

    env = commands.add_parser(
        "env", help='addresses, logins and Airflow\'s settings, for: eval "$(python -m local env)"'
    )
    env.add_argument("--json", action="store_true")
    env.set_defaults(command=_env)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    stack.up(arguments.parts, stack.wanted_settings(arguments.kubeconfig, arguments.database))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    stack.down(arguments.parts)
    return 0


def _status(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command takes its arguments
    states = stack.status()
    for name, answers in states.items():
        print(f"{name:<12} {'up' if answers else 'down'}")
    return 0 if all(states.values()) else 1


def _logs(arguments: argparse.Namespace) -> int:
    (kind,) = stack.select([arguments.part])
    log = kind(stack.current_settings()).log
    if not log.exists():
        raise StackError(f"{kind.name} has no log yet: {log} does not exist")
    print(tail(log, 200))
    others = sorted(str(path) for path in log.parent.glob("*.log") if path != log)
    if others:
        print(f"More logs of {kind.name}: {' '.join(others)}", file=sys.stderr)
    if arguments.follow:
        _follow(log)
    return 0


def _follow(log: Path) -> None:
    with log.open(errors="replace") as lines:
        lines.seek(0, os.SEEK_END)
        while True:
            sys.stdout.write(lines.read())
            sys.stdout.flush()
            time.sleep(0.2)


def _env(arguments: argparse.Namespace) -> int:
    settings = stack.current_settings()
    values = endpoints.read(settings).environment()
    airflow = Airflow(settings)
    if airflow.folder.exists():
        values |= airflow.variables()
    if arguments.json:
        print(json.dumps(values, indent=2))
    else:
        print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in values.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
