"""The command line. It parses, calls one file of `parley.cli`, and prints what went wrong in one line.

Nothing heavy is imported here: help and version answer at once.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

from parley.cli import office_arguments as office
from parley.cli.problem import Problem, Status

EXIT_STATUSES: Final = (
    "Exit status: 0 fine, 1 failed, 2 wrong usage, 3 wrong settings, 4 no connection, 5 no valid key, 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.verb is None:
        parser.print_help()
        return Status.USAGE
    try:
        run: Callable[[argparse.Namespace], int] = importlib.import_module(f"parley.cli.{args.verb}").run
        return run(args)
    except Problem as problem:
        if args.debug:
            raise
        print(f"parley: {problem}", file=sys.stderr)
        return problem.status
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    except BrokenPipeError:  # `parley … | head`
        sys.stderr.close()
        return Status.OK


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley", description="The Realtime API as software that anybody runs.", epilog=EXIT_STATUSES
    )
    parser.set_defaults(verb=None, debug=False)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND")

    def verb(name: str, text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=text, description=text, epilog=EXIT_STATUSES)
        made.set_defaults(verb=name)
        made.add_argument("--debug", action="store_true", help="show the traceback of an error")
        return made

    add_serve(verb("serve", "Run the server."))
    add_talk(verb("talk", "Hold a conversation with a running server."))
    add_say(verb("say", "Ask one typed question."))
    office.add_users(verb("users", "Let people in, and lock them out."))
    office.add_keys(verb("keys", "Make, list and revoke API keys."))
    office.add_credits(verb("credits", "Add credits, and see where they went."))
    office.add_prices(verb("prices", "Show what models cost, in credits: tokens by the million, minutes, calls."))
    office.add_db(verb("db", "Back up, check and migrate the database."))
    office.add_webhooks(verb("webhooks", "See what was announced to your programs, and announce it again."))
    add_doctor(verb("doctor", "Check whether everything is as it should be, and say what to do."))
    add_config(verb("config", "Show or check the settings."))
    add_version(verb("version", "Show the version."))
    return parser


def add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port of HTTP and WebSocket (default 8000)")
    parser.add_argument("--config", metavar="FILE", help="settings file (default parley.toml, if there is one)")
    parser.add_argument("--tls", choices=["off", "local"], help="local: https and wss with a certificate made here")
    parser.add_argument("--log-level", choices=["debug", "info", "warning", "error"], help="what is logged")
    parser.add_argument("--log-format", choices=["auto", "json", "text"], help="JSON lines or text")


def add_talk(parser: argparse.ArgumentParser) -> None:
    """Microphone, `--wav` or `--text`: what is said. The rest: how, and what becomes of the answer."""
    said = parser.add_mutually_exclusive_group()
    said.add_argument("--wav", metavar="FILE", action="append", help="speak this recording; may be repeated")
    said.add_argument("--text", metavar="TEXT", action="append", help="ask this in writing; may be repeated")
    parser.add_argument("--turns", type=int, metavar="N", help="stop after so many turns")
    parser.add_argument("--vad", choices=["server_vad", "semantic_vad"], help="how the end of your turn is found")
    parser.add_argument("--no-timing", dest="timing", action="store_false", help="leave out where the time went")
    add_session(parser)


def add_say(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs=1, help="the question")
    parser.set_defaults(wav=None, turns=None, vad=None, timing=False)
    add_session(parser)


def add_session(parser: argparse.ArgumentParser) -> None:
    """Where the server is, and what the session is like."""
    parser.add_argument("--voice", help="for example marin, cedar, alloy")
    parser.add_argument("--instructions", metavar="TEXT", help="what the assistant is told about its part")
    parser.add_argument("--model", default="gpt-realtime", help="realtime model (default gpt-realtime)")
    parser.add_argument("--out", metavar="FILE", help="save the spoken answers as WAV instead of playing them")
    parser.add_argument("--url", help="address of the server (default: the one that the settings describe)")
    parser.add_argument("--key", help="API key (default: PARLEY_API_KEY, else the local key)")
    parser.add_argument("--cafile", metavar="FILE", help="certificate to trust (default: the local one)")
    parser.add_argument("--config", metavar="FILE", help="settings file")
    parser.add_argument("--json", action="store_true", help="print one JSON object a turn")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", help="settings file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=["show", "check"])
    parser.add_argument("--config", metavar="FILE", help="settings file")
    parser.add_argument("--origin", action="store_true", help="also show where each value comes from")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


if __name__ == "__main__":
    sys.exit(main())
