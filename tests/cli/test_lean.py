"""The running peer does without OpenSSL, and whoever needs it later still finds it."""

import subprocess
import sys


def test_openssl_is_hidden_in_the_block_and_found_after_it():
    script = (
        "import sys\n"
        "from meshpeer.cli.lean import without_openssl\n"
        "with without_openssl():\n"
        "    import meshpeer.cli.daemon, hashlib\n"
        "print('ssl' in sys.modules, hashlib.blake2s(b'x').hexdigest()[:4])\n"
        "import ssl; print(bool(ssl.OPENSSL_VERSION))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "ec30", "True"], done.stderr
