import pytest

from raymoco import passwords
from raymoco.config import load_run_config
from raymoco.errors import InputError
from raymoco.passwords import hide, mask, reveal, without_user


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(passwords, "_known", {})
    monkeypatch.setattr(passwords, "_secrets", set())
    for name in (passwords.USER, passwords.PASSWORD, passwords.TOKEN):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("uri", "masked"),
    [
        ("http://me:s3cret@host:5000/x", "http://me:***@host:5000/x"),
        ("https://me:p:w@d@host", "https://me:***@host"),
        ("https://:s3cret@host", "https://:***@host"),
        ("pkg.mod:Store?/file&token=s3cret&x=1", "pkg.mod:Store?/file&token=***&x=1"),
        ("sqlite:////a/b.db?timeout=60", "sqlite:////a/b.db?timeout=60"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_a_password_in_a_uri_is_masked_and_this_process_can_still_connect(uri, masked):
    assert mask(uri) == masked
    assert mask(masked) == masked
    assert reveal(masked) == uri
    assert hide(f"API request to {uri} failed") == f"API request to {masked} failed"


def test_a_known_password_is_hidden_wherever_a_text_has_it():
    mask("http://me:s3cret@host")
    assert hide("s3cret was wrong") == "*** was wrong"


def test_another_process_needs_the_environment(monkeypatch):
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD"):
        reveal("http://me:***@host:5000/x")
    monkeypatch.setenv(passwords.PASSWORD, "s3cret")
    assert reveal("http://me:***@host:5000/x") == "http://host:5000/x"


def test_no_config_and_no_message_holds_a_password():
    config = load_run_config("digits", ["tracking.uri=http://me:s3cret@host"])
    assert "s3cret" not in config.to_yaml()
    assert without_user(config.tracking.uri) == "http://host"
    with pytest.raises(InputError) as refused:
        load_run_config("digits", ["tracking.url=http://me:s3cret@host"])
    assert "s3cret" not in str(refused.value)
