"""A card prepared for its first boot: what lies on its boot partition then, and what is refused."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.card import START, boot_partition, image

PI = Path(__file__).parents[2] / "deploy" / "pi"
FRESH = "console=tty1 root=PARTUUID=4e639091-02 rootwait quiet"
HOOK = "systemd.run=/boot/firmware/meshpeer/first-boot"
ONCE = f"{HOOK} systemd.run_success_action=reboot systemd.run_failure_action=reboot"
UNIT = "systemd.unit=kernel-command-line.target"
IMAGERS = "systemd.run=/boot/firmware/firstrun.sh systemd.run_success_action=reboot"


def prepare(boot, *options):
    return subprocess.run(
        ["sh", PI / "prepare", boot, *options], check=False, capture_output=True, text=True
    )


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "meshpeer_1+py3.11_arm64.deb"
    path.write_text("!<arch>\n")
    return path


@pytest.fixture
def boot(tmp_path):
    folder = tmp_path / "bootfs"
    folder.mkdir()
    (folder / "cmdline.txt").write_text(f"{FRESH}\n")
    return folder


def settings(text):
    """Read them as first-boot does."""
    script = f'{text}\nprintf "%s\\n" "$nickname" "$radio" "$country" "$ssid" "$password"'
    done = subprocess.run(["sh", "-euc", script], check=True, capture_output=True)
    return done.stdout.decode().splitlines()


def test_a_card_gets_the_package_a_script_and_a_hook(boot, package):
    done = prepare(boot, "--deb", package, "--country", "DE", "--nickname", "Ann's `Pi`")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert {path.name for path in (boot / "meshpeer").iterdir()} == {
        "first-boot",
        "settings",
        package.name,
    }
    line = (boot / "cmdline.txt").read_text()
    assert line == f"cfg80211.ieee80211_regdom=DE {FRESH} {ONCE} {UNIT}\n"
    told = settings((boot / "meshpeer" / "settings").read_text())
    assert told == ["Ann's `Pi`", "wlan0", "DE", "", ""]


def test_a_second_time_changes_what_was_told_and_no_more(boot, package):
    prepare(boot, "--deb", package, "--country", "DE")
    once = (boot / "cmdline.txt").read_text()
    done = prepare(boot, "--deb", package, "--radio", "wlan1")
    assert done.returncode == 0, done.stderr
    assert (boot / "cmdline.txt").read_text() == once
    told = settings((boot / "meshpeer" / "settings").read_text())
    assert told == ["", "wlan1", "", "", ""]


def test_what_raspberry_pi_imager_set_runs_first(boot, package):
    (boot / "cmdline.txt").write_text(f"{FRESH} {IMAGERS} {UNIT}\n")
    for _ in range(2):
        assert prepare(boot, "--deb", package).returncode == 0
        words = (boot / "cmdline.txt").read_text().split()
        runs = [word for word in words if word.startswith("systemd.run=")]
        assert runs == ["systemd.run=/boot/firmware/firstrun.sh", HOOK]
        assert words.count("systemd.run_failure_action=reboot") == 1
        assert words.count(UNIT) == 1


def test_a_package_for_another_processor_is_noted(boot, package):
    other = package.rename(package.with_name("meshpeer_1+py3.11_amd64.deb"))
    done = prepare(boot, "--deb", other, "--country", "DE")
    assert done.returncode == 0, "in a virtual machine it is right"
    assert "a Raspberry Pi takes one by `build --arch arm64`" in done.stderr


def test_without_a_country_it_says_what_follows(boot, package):
    assert "keeps its own radio off" in prepare(boot, "--deb", package).stderr


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--country", "GB"], "country is DE there already, not GB"),
        (["--country", "de"], "two capital letters"),
        (["--network", "my village"], "--network"),
        (["--channel", "one"], "--channel"),
        (["--deb", "/nowhere.deb"], "there is no /nowhere.deb"),
        (["--ssh-key", "/nowhere.pub"], "has no public key"),
        (["--radio"], "--radio wants a value"),
        (["--colour", "red"], "no option --colour"),
        (["--ssid", "village"], "go with --access-point"),
        (
            ["--access-point", "wlan0", "--ssid", "a", "--password", "12345678"],
            "cell and access point at once",
        ),
        (
            ["--access-point", "wlan1", "--ssid", "a", "--password", "1234567"],
            "--password: 8 to 63",
        ),
        (
            ["--access-point", "wlan1", "--ssid", "a\\b", "--password", "12345678"],
            "--ssid",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changed(boot, package, options, why):
    line = f"cfg80211.ieee80211_regdom=DE {FRESH}\n"
    (boot / "cmdline.txt").write_text(line)
    done = prepare(boot, "--deb", package, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("prepare: ")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1
    assert [path.name for path in boot.iterdir()] == ["cmdline.txt"]
    assert (boot / "cmdline.txt").read_text() == line


def test_a_folder_that_is_no_boot_partition_is_refused(tmp_path, package):
    done = prepare(tmp_path, "--deb", package)
    assert done.returncode == 2
    assert "has no cmdline.txt" in done.stderr


def test_an_image_gets_the_same_as_a_folder(boot, package, tmp_path):
    if not all(map(shutil.which, ("mcopy", "mkfs.vfat"))):
        pytest.skip("images need Debian's packages mtools and dosfstools")
    for card in (image(tmp_path, FRESH), boot_partition(tmp_path, FRESH)):
        where = f"{card}@@{START if card.name == 'card.img' else 0}"
        for path in (card, boot):
            done = prepare(path, "--deb", package, "--country", "DE")
            assert done.returncode == 0, done.stderr
        for name in ("cmdline.txt", "meshpeer/settings", "meshpeer/first-boot"):
            read = subprocess.run(
                ["mtype", "-i", where, f"::/{name}"], check=True, capture_output=True
            )
            assert read.stdout == (boot / name).read_bytes()


def test_what_is_no_image_is_refused(tmp_path, package):
    if not shutil.which("mcopy"):
        pytest.skip("images need Debian's package mtools")
    packed = tmp_path / "image.img.xz"
    packed.write_bytes(bytes(4096))
    done = prepare(packed, "--deb", package)
    assert done.returncode == 2
    assert "unpacked" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        *sorted(PI.iterdir()),
        *sorted(PI.parent.glob("debian/p*[tm]")),
        Path(__file__).with_name("install.sh"),
    ],
    ids=lambda script: script.name,
)
def test_scripts_are_plain_posix(script):
    if not shutil.which("shellcheck"):
        pytest.skip("looking through scripts needs Debian's package shellcheck")
    done = subprocess.run(
        ["shellcheck", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
