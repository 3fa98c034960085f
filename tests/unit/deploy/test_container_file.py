import json
import re
import shlex
from pathlib import Path

from escrowd.settings.loading import load_settings
from escrowd.wallets.settings import AtExit
from tests.unit.deploy.commands import unknown
from tests.unit.deploy.parsing import DEPLOY, ROOT, environment, instructions

FILE = DEPLOY / "Containerfile"
INSTRUCTIONS = list(instructions(FILE))
LAST_STAGE = [each for each in INSTRUCTIONS if each.stage == INSTRUCTIONS[-1].stage]
SECRET_WORDS = re.compile(r"key|pass|secret|token|login|credential", re.IGNORECASE)


def texts(name: str) -> list[str]:
    """Return the instructions of a name in the last stage, which becomes the image."""
    return [each.text for each in LAST_STAGE if each.name == name]


def test_base_may_be_another_one_tomorrow() -> None:
    """Every stage begins with the one base that is named with a version, and never with ``latest``."""
    (base,) = [each.text for each in INSTRUCTIONS if each.stage == 0]
    assert re.fullmatch(r"DEBIAN=docker\.io/library/debian:12\.\d+-slim", base)
    stages = [each.text.split()[0] for each in INSTRUCTIONS if each.name == "FROM"]
    assert set(stages) == {"${DEBIAN}"}
    assert "latest" not in " ".join(each.text for each in INSTRUCTIONS)


def test_container_runs_as_root() -> None:
    """The image runs as a user of its own, by number, to whom its only volume belongs."""
    (user,) = texts("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (run,) = texts("RUN")
    assert f"--uid {user.split(':')[0]} " in run
    (volume,) = texts("VOLUME")
    assert f"--mode 0700 {volume}" in run
    after_user = [each.name for each in LAST_STAGE[[each.name for each in LAST_STAGE].index("USER") :]]
    assert {"RUN", "COPY", "ADD"} & set(after_user) == set()


def test_layer_holds_a_secret() -> None:
    """No variable of the image is named like a secret, nothing is added unseen, and only named files are copied in."""
    variables = [name for text in texts("ENV") for name in environment(text)]
    assert [name for name in variables if SECRET_WORDS.search(name)] == []
    assert [each for each in INSTRUCTIONS if each.name == "ADD"] == []
    sources = {
        source
        for each in INSTRUCTIONS
        if each.name == "COPY" and "--from=" not in each.text
        for source in each.text.split()[:-1]
    }
    assert sources == {
        "requirements/build.lock", "requirements/run.lock", "pyproject.toml", "README.md", "LICENSE", "src",
        "requirements/monero.lock", "scripts/install-monero",
    }  # fmt: skip
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_image_sets_what_is_no_setting() -> None:
    """Every ``ESCROWD_…`` variable is a setting; wallets are closed, since a container takes its processes with it."""
    variables = {name: value for text in texts("ENV") for name, value in environment(text).items()}
    model = load_settings(environment=variables).model
    assert model.sessions.at_exit is AtExit.CLOSE
    (into,) = [each.text.split()[-1] for each in INSTRUCTIONS if "install-monero --strict" in each.text]
    assert model.monero.directory == Path(into) / "current" / "bin"
    assert model.api.host == "0.0.0.0"  # noqa: S104 - the container's own network
    assert texts("EXPOSE") == [str(model.api.port)]
    assert texts("VOLUME") == [str(model.data_directory)]


def test_image_starts_a_command_that_there_is_not() -> None:
    """The image runs a command of escrowd under tini, and ends it with the signal that it knows."""
    (entry,) = texts("ENTRYPOINT")
    (command,) = texts("CMD")
    assert json.loads(entry)[:2] == ["/usr/bin/tini", "--"]
    assert json.loads(entry)[2].endswith("/bin/escrowd")
    assert unknown(json.loads(command)) is None
    assert texts("STOPSIGNAL") == ["SIGTERM"]


def test_all_that_is_installed_is_checked() -> None:
    """Every Python package is checked by its hash, and Monero is the pinned one or there is no image."""
    installs = re.findall(r"pip install [^&]*", " ".join(each.text for each in INSTRUCTIONS if each.name == "RUN"))
    assert len(installs) == 3
    assert all("--require-hashes" in each or "--no-deps /wheels/" in each for each in installs)
    (monero,) = [shlex.split(each.text) for each in INSTRUCTIONS if each.name == "RUN" and "monero" in each.text]
    assert monero[:2] == ["scripts/install-monero", "--strict"]


def test_health_is_asked_elsewhere() -> None:
    """The image is healthy when the service says that it is ready."""
    (check,) = texts("HEALTHCHECK")
    assert "http://127.0.0.1:8080/readyz" in check


def test_image_runs_what_was_not_tested() -> None:
    """What runs, and what builds, are the versions and hashes that the tests run with."""
    tested = locked(ROOT / "requirements" / "dev.lock")
    for name in ("run.lock", "build.lock"):
        lock = locked(ROOT / "requirements" / name)
        assert lock
        assert {package: rest for package, rest in lock.items() if tested.get(package) != rest} == {}


# ---------------------------------------------------------------------------------------------------------------------


def locked(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return the version and the hashes of each package in a lock file."""
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for entry in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8")):
        name, _, rest = entry.partition("==")
        found[name.partition("[")[0]] = (rest.split()[0], frozenset(re.findall(r"sha256:[0-9a-f]{64}", entry)))
    return found
