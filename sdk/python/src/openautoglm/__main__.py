"""``python -m openautoglm``: which version this is, and how to start."""

from openautoglm import __version__

_TEXT = f"""\
openautoglm {__version__}, the Python client of Open-AutoGLM

It talks to a server. Say which, and with which key:

    export OPENAUTOGLM_URL=http://127.0.0.1:8080
    export OPENAUTOGLM_API_KEY=...

Then:

    from openautoglm import AutoClient

    with AutoClient() as client:
        answer = client.analyze(metrics={{"cpu_usage": [95, 96, 98, 94]}})
        print(answer.explain())

To start a controller and a worker of its fleet:

    python -m openautoglm.core --role=controller --port=8080
    python -m openautoglm.worker --controller http://127.0.0.1:8080 --model NAME"""


def main() -> None:
    """Prints it."""
    print(_TEXT)


if __name__ == "__main__":
    main()
