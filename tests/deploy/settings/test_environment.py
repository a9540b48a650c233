import os
import stat
import string
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from vru.deploy.settings import environment, server_env
from vru.deploy.settings.environment import Environment, EnvironmentFileError
from vru.deploy.settings.limits import scale_limits
from vru.deploy.settings.values import quoted, text
from vru.deploy.settings.variables import BUILT, CONFIGURED, END_MARKER, OLDER_NAMES, VARIABLES
from vru.domain import VruError


def write(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(EnvironmentFileError) as caught:
        environment.load(path)
    return [str(problem) for problem in caught.value.problems]


def changed(example: Environment, old: str, new: str) -> Path:
    content = example.path.read_text()
    assert old in content
    return write(example.path, content.replace(old, new, 1))


def test_init_writes_a_private_file_that_can_be_read_at_once(example: Environment) -> None:
    assert stat.S_IMODE(example.path.stat().st_mode) == 0o600
    assert example.host == "192.0.2.10"
    assert example.external_ip == "192.0.2.10"
    assert example.ssh_port is None
    assert environment.load(example.path) == example


def test_generated_secrets_are_long_different_and_need_no_quotes(example: Environment) -> None:
    secrets = example.secrets()
    assert len(secrets) == len(set(secrets)) == sum(variable.secret for variable in VARIABLES.values())
    for secret in secrets:
        assert len(secret) >= 32
        assert set(secret) <= set(string.ascii_letters + string.digits + "_-")


def test_no_secret_is_in_the_repr(example: Environment) -> None:
    assert not [secret for secret in example.secrets() if secret in repr(example)]


def test_init_does_not_overwrite(example: Environment) -> None:
    before = example.path.read_bytes()
    with pytest.raises(VruError, match="--force"):
        environment.generate(example.path, {})
    assert example.path.read_bytes() == before


def test_force_keeps_the_values_and_the_old_file(example: Environment) -> None:
    before = example.path.read_bytes()
    again = environment.generate(example.path, {"VRU_HTTP_PORT": "8080"}, force=True)
    assert again.values == {**example.values, "VRU_HTTP_PORT": "8080"}
    previous = example.path.with_name(".env.production.previous")
    assert previous.read_bytes() == before
    assert stat.S_IMODE(previous.stat().st_mode) == 0o600


def test_nothing_is_left_behind_when_a_given_value_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(VruError, match="VRU_SSH_PORT must be a whole number"):
        environment.generate(tmp_path / ".env.production", {"VRU_SSH_PORT": "ssh"})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(VruError, match="vru init") as caught:
        environment.load(tmp_path / ".env.production")
    assert "There is no such file" in caught.value.message


def test_all_problems_are_reported_at_once_with_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path / ".env.production",
        "VRU_HOST=a\n"
        "VRU_HTPP_PORT=80\n"  # 2: misspelt
        "VRU_HTTP_PORT=eighty\n"  # 3: no port
        "VRU_HOST=b\n"  # 4: again
        "VRU_SECRET_KEY=\n"  # 5: empty
        "VRU_API_PUBLIC_PORT\n"  # 6: no =
        "VRU_BIND_HOST=0.0.0.0\n"  # 7: not the operator's
        "VRU_DATABASE_PASSWORD='open\n",  # 8: open quote
        0o644,
    )
    found = problems(path)
    assert [line for line in found if line.startswith("line 2: VRU_HTPP_PORT") and "VRU_HTTP_PORT?" in line]
    assert [line for line in found if line.startswith("line 3: VRU_HTTP_PORT must be a whole number")]
    assert [line for line in found if line.startswith("line 4: VRU_HOST is set again, first on line 1")]
    assert [line for line in found if line.startswith("line 5: VRU_SECRET_KEY is empty")]
    assert [line for line in found if line.startswith("line 6: VRU_API_PUBLIC_PORT has no =")]
    assert [line for line in found if line.startswith("line 7: VRU_BIND_HOST is set by the platform itself")]
    assert [line for line in found if line.startswith("line 8: This is no NAME=value")]
    assert [line for line in found if "mode is 0644" in line and "chmod 600" in line]
    assert [line for line in found if "seems truncated" in line]
    assert [line for line in found if line.startswith("VRU_ADMIN_PASSWORD is not set")]


@pytest.mark.parametrize("cut", [1, 2, len(END_MARKER) + 1, 200, 2000])
def test_a_truncated_file_is_noticed_wherever_it_ends(example: Environment, cut: int) -> None:
    write(example.path, example.path.read_text()[:-cut])
    assert [line for line in problems(example.path) if "seems truncated" in line]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o400, 0o660])
def test_only_mode_0600_is_accepted(example: Environment, mode: int) -> None:
    example.path.chmod(mode)
    if not os.access(example.path, os.R_OK):
        pytest.skip("not root")
    assert problems(example.path) == [f"It holds passwords, but its mode is {mode:04o}. Run: chmod 600 {example.path}"]


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("VRU_ADMIN_PASSWORD", '"a\'quote-and-more-of-it"', "must not hold"),
        ("VRU_ADMIN_PASSWORD", "short", "16 characters"),
        ("VRU_SECRET_KEY", "x" * 31, "32 characters"),
        ("VRU_ADMIN_EMAIL", "nobody", "an e-mail address"),
        ("VRU_MONITORING_ALLOW", "10.0.0.1/8", "networks such as"),
        ("VRU_EDGE_SUBNET", "8.8.8.0/24", "private"),
        ("VRU_CORS_ORIGINS", "https://a.example/path", "origins such as"),
        ("VRU_BACKUP_TIME", "25:00", "a time such as"),
        ("VRU_API_GATEWAY_MEMORY", "lots", "a size such as"),
        ("VRU_ML_ENGINE_CPUS", "0", "CPU cores"),
        ("VRU_DOCKER_SOURCE", "snap", "distribution or docker"),
        ("VRU_REDIS_IMAGE", "redis", "an image with its tag"),
        ("VRU_HTTP_PORT", "3000", "are both 3000"),
        ("VRU_LOG_LEVEL", "LOUD", "DEBUG or INFO"),
    ],
)
def test_a_value_that_cannot_be_is_refused(example: Environment, name: str, value: str, wanted: str) -> None:
    path = changed(example, f"\n{name}={quoted(example[name])}\n", f"\n{name}={value}\n")
    (found,) = problems(path)
    assert name in found
    assert wanted in found


def test_a_refused_secret_is_not_shown(example: Environment) -> None:
    path = changed(example, example["VRU_REDIS_PASSWORD"], "geheim")
    assert "geheim" not in " ".join(problems(path))


@given(st.text(alphabet=st.characters(exclude_characters="'\\", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_what_is_quoted_is_read_back_as_it_was(value: str) -> None:
    try:
        text(value)
    except ValueError:
        return
    from io import StringIO

    assert dotenv_values(stream=StringIO(f"X={quoted(value)}\n"), interpolate=False)["X"] == value


def test_urls_follow_from_the_address_and_the_ports(example: Environment) -> None:
    assert example.cors_origins == ("http://192.0.2.10", "http://192.0.2.10:3000")
    assert example.replace(VRU_EXTERNAL_IP="2001:db8::1").url(8000) == "http://[2001:db8::1]:8000"
    assert example.replace(VRU_CORS_ORIGINS="https://a.example, https://b.example").cors_origins == (
        "https://a.example",
        "https://b.example",
    )


def test_a_host_on_the_command_line_goes_before_the_files(example: Environment) -> None:
    assert environment.load(example.path, host="198.51.100.7").require_host() == "198.51.100.7"
    with pytest.raises(VruError, match="VRU_HOST must be a host name"):
        environment.load(example.path, host="-oProxyCommand=evil")


def test_without_a_host_commands_that_need_one_say_so(tmp_path: Path) -> None:
    without = environment.generate(tmp_path / ".env.production", {})
    assert without.host is None
    with pytest.raises(VruError, match="--host"):
        without.require_host()


def test_older_names_are_derived(example: Environment) -> None:
    derived = server_env.derive(example)
    assert set(derived) == set(OLDER_NAMES)
    assert derived["DATABASE_URL"] == f"postgresql://vru:{example['VRU_DATABASE_PASSWORD']}@postgres:5432/vru"
    assert derived["JWT_SECRET_KEY"] == example["VRU_SECRET_KEY"]
    assert derived["REACT_APP_API_URL"] == "http://192.0.2.10:8000"
    assert not set(derived) & set(VARIABLES)


def test_the_servers_env_has_everything_quoted_and_nothing_about_the_login(example: Environment) -> None:
    limits = scale_limits(example.values, None)
    content = server_env.server_env(
        example, limits, dict.fromkeys(BUILT, "0123456789ab"), dict.fromkeys(CONFIGURED, "ba9876543210")
    )
    from io import StringIO

    values = dotenv_values(stream=StringIO(content), interpolate=False)
    assert values["VRU_REDIS_PASSWORD"] == example["VRU_REDIS_PASSWORD"]
    assert values["VRU_API_GATEWAY_CPUS"] == "3"
    assert values["VRU_API_GATEWAY_MEMORY"] == "3072m"
    assert values["VRU_EXTERNAL_IP"] == "192.0.2.10"
    assert values["POSTGRES_PASSWORD"] == example["VRU_DATABASE_PASSWORD"]
    assert not {"VRU_HOST", "VRU_SSH_KEY", "VRU_SSH_USER", "VRU_SSH_PORT"} & set(values)
    assert all(line.startswith("#") or line.endswith("'") for line in content.splitlines())


def test_a_line_appended_to_the_file_is_a_line_like_any_other(example: Environment) -> None:
    whole = "".join(
        line for line in example.path.read_text().splitlines(keepends=True) if not line.startswith("VRU_LOG_LEVEL=")
    )
    write(example.path, f"{whole}VRU_LOG_LEVEL=DEBUG\n", 0o600)
    assert environment.load(example.path)["VRU_LOG_LEVEL"] == "DEBUG"
    write(example.path, f"{whole}VRU_LOG_LEVEL=DEBUG", 0o600)
    [problem] = problems(example.path)
    assert "The last line has no line end" in problem
    assert "truncated" not in problem
    write(example.path, f"{whole}VRU_LOG_LEVEL=INFO\nVRU_LOG_LEVEL=DEBUG\n", 0o600)
    [problem] = problems(example.path)
    assert "VRU_LOG_LEVEL is set again" in problem


def test_a_fix_with_a_path_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "my project"
    folder.mkdir()
    path = environment.generate(folder / ".env.production", {}).path
    path.chmod(0o644)
    with pytest.raises(VruError) as caught:
        environment.load(path)
    assert caught.value.fix == f"Run: chmod 600 '{path}'"
