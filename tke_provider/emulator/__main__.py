"""``python -m tke_provider.emulator``: read the flags, start, say where."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path

from tke_provider.emulator.clock import KINDS, Pace
from tke_provider.emulator.nodes import UnreachableError
from tke_provider.emulator.validation import MetadataMissingError, services_folder

_UNUSABLE = 2


def main(argv: list[str] | None = None) -> int:
    """Run until interrupted. Returns the exit status."""
    args = _parser().parse_args(argv)
    # Without this SIGTERM would end the process before it has removed its temporary state, which holds keys.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        services_folder()
        if args.state:
            _serve(args, args.state)
        else:
            with tempfile.TemporaryDirectory(prefix="tke-emulator-") as folder:
                _serve(args, Path(folder) / "state.json")
    except ModuleNotFoundError as e:
        return _refuse(f"{e.name} is not installed; run: pip install 'airflow-provider-tke[emulator]'")
    except (MetadataMissingError, UnreachableError, ValueError, OSError) as e:
        return _refuse(str(e))
    except KeyboardInterrupt:
        pass
    return 0


def _refuse(why: str) -> int:
    print(f"emulator: {why}", file=sys.stderr)  # noqa: T201
    return _UNUSABLE


def _serve(args: argparse.Namespace, state: Path) -> None:
    import uvicorn

    from tke_provider.emulator.app import App, running
    from tke_provider.emulator.cloud import Settings

    settings = Settings(
        state=state,
        secret_id=args.secret_id,
        secret_key=_secret(args.secret_key_file),
        kubeconfig=args.kubeconfig,
        helm=args.helm,
        registry=args.registry,
        registry_user=args.registry_user,
        registry_password=_secret(args.registry_password_file),
        paces=dict(args.clock),
        rate=args.rate_limit,
        temporary=args.state is None,
    )
    family = socket.AF_INET6 if ip_address(args.host).version == 6 else socket.AF_INET  # noqa: PLR2004
    with running(settings) as cloud, socket.create_server((args.host, args.port), family=family) as listener:
        port = listener.getsockname()[1]
        print(  # noqa: T201
            f"Tencent Cloud emulator on http://{args.host}:{port}, account {cloud.state.uin}, "
            f"SecretId {cloud.state.root}; its SecretKey is in {args.secret_key_file or settings.state}",
            flush=True,
        )
        uvicorn.Server(uvicorn.Config(App(cloud), log_level="warning", lifespan="off")).run([listener])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tke_provider.emulator", description="A Tencent Cloud on this machine."
    )
    add = parser.add_argument
    add("--port", type=int, required=True, help="0 for any that is free")
    add("--host", type=_host, default="127.0.0.1", help="an address of this machine (default: %(default)s)")
    add("--state", type=Path, help="where the state is kept; without it nothing outlives the process")
    add("--secret-id", default="", help="the account's SecretId (default: made once)")
    add("--secret-key-file", type=_file, help="a file with its SecretKey (default: made once, kept in the state file)")
    add(
        "--kubeconfig",
        type=_file,
        help="the real cluster behind cls-local000; its node pools become Node objects there",
    )
    add("--helm", default="helm", help="the program that makes releases there (default: the one on PATH)")
    add("--registry", default="", help="URL of the real registry behind tcr-local000")
    add("--registry-user", default="", help="its user, given out by CreateInstanceToken")
    add("--registry-password-file", type=_file, help="a file with that user's password")
    add(
        "--clock",
        type=_pace,
        action="append",
        default=[],
        metavar="[KIND:]PACE",
        help=f"at-once (default), looks=N, seconds=T or told; KIND is one of {', '.join(KINDS)}; may be repeated",
    )
    add(
        "--rate-limit",
        type=int,
        default=20,
        help="calls a second of one action and caller, 0 for no limit (default: 20)",
    )
    return parser


def _host(text: str) -> str:
    if ip_address(text).is_unspecified:
        raise argparse.ArgumentTypeError(f"{text} would offer this cloud to the whole network; name one address")
    return text


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text}")
    return Path(text)


def _pace(text: str) -> tuple[str, Pace]:
    kind, _, pace = text.rpartition(":")
    if kind and kind not in KINDS:
        raise argparse.ArgumentTypeError(f"{kind!r} is no kind; there are {', '.join(KINDS)}")
    try:
        return kind or "default", Pace.parse(pace)
    except ValueError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def _secret(path: Path | None) -> str:
    return path.read_text(encoding="utf-8").strip() if path else ""


if __name__ == "__main__":
    sys.exit(main())
