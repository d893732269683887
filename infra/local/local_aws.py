#!/usr/bin/env python3
"""AWS on this machine, without Docker: one process on the loopback interface that runs the whole template.yaml.

  install   make the environment if need be (once, about half a minute)
  up        make the environment if need be, start the server
  deploy    create or update the stack from template.yaml (or infra/terraform, --with terraform) and the packages made by
            infra/package.py
  outputs   print the stack's outputs (queue URLs, bucket and function names) as JSON
  env       print them for a shell, with what clients need: eval "$(python3 infra/local/local_aws.py env)"
  sam-local write for `sam local invoke` how functions in containers reach the stack (deploy does, where a container engine runs)
  status    say whether it runs, and where its log is
  down      stop it; everything it held is gone
  free-port print a port that is free for a server and a recorder beside it

LOCAL_AWS_PORT sets the port. Without it, commands use the port of the local AWS that this checkout runs, and `up`
starts one on 4566 or, if another program has that port, on the next free one. Several can run side by side, each with
its own state. If LOCAL_AWS_RECORD names a file, `up` also starts a recorder on the next port that writes every call of
a function to it. Clients need AWS_ENDPOINT_URL=http://127.0.0.1:<port>, a region (AWS_REGION; boto3 reads
AWS_DEFAULT_REGION) and the keys test/test.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import containers
import environment
import server
from environment import PROJECT, Failure

DEFAULT_PORT = 4566
# Ports that a local AWS chooses by itself; those of the tests come after them, so that the two are never confused.
PORTS = range(DEFAULT_PORT, DEFAULT_PORT + 10)
# Shell variable -> output of the stack.
SHELL_NAMES = {
    "TRIPS_QUEUE_URL": "TripsQueueUrl", "PREDICTIONS_QUEUE_URL": "PredictionsQueueUrl", "DEAD_LETTER_QUEUE_URL": "DeadLetterQueueUrl",
    "REJECTS_QUEUE_URL": "RejectsQueueUrl",
    "DATA_BUCKET": "DataBucketName", "MODEL_BUCKET": "ModelBucketName", "RETRAINER_FUNCTION": "RetrainerFunctionName",
    "BACKFILL_STATE_MACHINE": "BackfillStateMachineArn", "TRAINING_STATE_MACHINE": "TrainingStateMachineArn", "TRIPS_STREAM": "TripsStreamName", "PREDICTIONS_STREAM": "PredictionsStreamName",
    "BATCH_FAILURES_QUEUE_URL": "BatchFailuresQueueUrl", "BATCH_PREDICTOR_FUNCTION": "BatchPredictorFunctionName", "SCORER_FUNCTION": "ScorerFunctionName",
}
FREE_PORTS = range(PORTS.stop, PORTS.stop + 40)


def install(args: argparse.Namespace) -> None:
    environment.ensure()


def up(args: argparse.Namespace) -> None:
    python = environment.ensure()
    print(server.start(args.port, python))


def free_port(args: argparse.Namespace) -> None:
    print(server.free_pair(FREE_PORTS))


def down(args: argparse.Namespace) -> None:
    print(server.stop(args.port))
    containers.withdraw(args.port)


def status(args: argparse.Namespace) -> None:
    print(server.describe(args.port))


def deploy(args: argparse.Namespace) -> None:
    environment.reenter()
    # Imported here because boto3 and the SAM reader exist only in the environment.
    import stack
    import terraform_stack

    endpoint = server.running_endpoint(args.port)
    parameters = dict(args.parameter)
    if args.tool == "terraform":
        outputs = terraform_stack.deploy(endpoint, args.stack, server.home_of(args.port), args.zips, parameters)
    else:
        outputs = stack.deploy(endpoint, args.stack, PROJECT / "template.yaml", args.zips, parameters)
        expose_to_containers(args.port, args.stack)
    print(json.dumps(outputs, indent=2))


def expose_to_containers(port: int, name: str) -> None:
    """Lets `sam local invoke` find a stack, unless it is one of the tests'; without a container engine nothing needs to."""
    import stack

    if port not in PORTS:
        return
    try:
        if exposed := containers.expose(port, stack.variables(server.endpoint(port), name)):
            stack.progress(exposed)
    except Failure as failure:
        stack.progress(str(failure))


def sam_local(args: argparse.Namespace) -> None:
    environment.reenter()
    import stack

    exposed = containers.expose(args.port, stack.variables(server.running_endpoint(args.port), args.stack), args.to)
    if exposed is None:
        raise Failure("no container engine answers here (docker info; as root also podman info)")
    print(exposed)


def outputs(args: argparse.Namespace) -> None:
    print(json.dumps(outputs_of(args), indent=2))


def env(args: argparse.Namespace) -> None:
    found = outputs_of(args)
    client = {
        "AWS_ENDPOINT_URL": server.endpoint(args.port), "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    }
    places = {name: found[output] for name, output in SHELL_NAMES.items() if output in found}
    print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in {**client, **places}.items()))


def outputs_of(args: argparse.Namespace) -> dict[str, str]:
    environment.reenter()
    import stack
    import terraform_stack

    endpoint = server.running_endpoint(args.port)
    if args.tool == "terraform":
        return terraform_stack.outputs(endpoint, args.stack, server.home_of(args.port))
    return stack.outputs(endpoint, args.stack)


def key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return key, value


def stated_port() -> int | None:
    text = os.environ.get("LOCAL_AWS_PORT")
    if not text:
        return None
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise Failure(f"LOCAL_AWS_PORT must be a port number, got {text!r}")
    return int(text)


def port_in_use() -> int:
    """Returns the port that is set, or that of the first local AWS that this checkout runs, else the default."""
    return stated_port() or next((port for port in PORTS if server.recorded(port)), DEFAULT_PORT)


def port_to_start_on() -> int:
    """Returns the port that is set, else one that this checkout uses already, else the first free one.

    It announces the port if that is neither the default nor in use by this checkout.
    """
    if stated := stated_port():
        return stated
    mine = next((port for port in PORTS if server.recorded(port)), None)
    port = mine or next((port for port in PORTS if server.is_free(port)), None)
    if port is None:
        raise Failure(f"ports {PORTS.start} to {PORTS.stop - 1} are all taken; set LOCAL_AWS_PORT to a free one")
    if port != DEFAULT_PORT and port != mine:
        print(f"local AWS: port {DEFAULT_PORT} is taken by {server.holder(DEFAULT_PORT)}; this one is on port {port}", file=sys.stderr)
    return port


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb, about in ((install, "make the environment"), (up, "start the local AWS"), (down, "stop it"), (status, "say whether it runs"),
                        (free_port, "print a port that is free for a server and a recorder beside it")):
        verbs.add_parser(verb.__name__.replace("_", "-"), help=about, description=about).set_defaults(run=verb)

    about = "create or update the stack; its outputs as one JSON document on stdout, progress on stderr"
    deploying = verbs.add_parser("deploy", help=about, description=about)
    deploying.add_argument("--stack", default="tripcast", help="name of the stack (default: %(default)s)")
    deploying.add_argument("--zips", type=Path, default=PROJECT / "target" / "local", metavar="DIR",
                           help="where infra/package.py wrote <binary>/bootstrap.zip (default: target/local)")
    deploying.add_argument("--parameter", type=key_value, action="append", default=[], metavar="KEY=VALUE",
                           help="a template parameter, for example TripsVisibilitySeconds=2; repeat for more")
    add_tool(deploying)
    deploying.set_defaults(run=deploy)

    about = "write for `sam local invoke` how functions in containers reach the stack"
    exposing = verbs.add_parser("sam-local", help=about, description=about)
    exposing.add_argument("--stack", default="tripcast", help="name of the stack (default: %(default)s)")
    exposing.add_argument("--to", type=Path, default=containers.VARIABLES, metavar="FILE", help="the file for --env-vars (default: %(default)s)")
    exposing.set_defaults(run=sam_local)

    for verb, about in ((outputs, "print the outputs of a deployed stack as JSON"), (env, "print them for a shell to evaluate")):
        showing = verbs.add_parser(verb.__name__, help=about, description=about)
        showing.add_argument("--stack", default="tripcast", help="name of the stack (default: %(default)s)")
        add_tool(showing)
        showing.set_defaults(run=verb)
    return parser


def add_tool(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--with", dest="tool", choices=("sam", "terraform"), default="sam",
                      help="template.yaml by CloudFormation, or infra/terraform (default: %(default)s)")


def main() -> None:
    args = command_line().parse_args()
    try:
        args.port = port_to_start_on() if args.run is up else port_in_use()
        args.run(args)
    except Failure as failure:
        sys.exit(f"local AWS: {failure}")
    except OSError as error:
        sys.exit(f"local AWS: {error}")
    except KeyboardInterrupt:
        sys.exit("local AWS: interrupted")


if __name__ == "__main__":
    main()
