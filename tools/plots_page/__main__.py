"""Makes the page of `dvc plots`: pinned packages of npm → .dvc/plots/offline.html and the licences beside it.

DVC's own page loads Vega from a CDN. This one holds it, so that curves are drawn from the disk alone; its policy lets
nothing be loaded. Needs npm and the network, this once.
"""

import base64
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from twin.files import read_text, write_text

PACKAGES: Final = {
    "vega": ("5.33.1", "vega.min.js"),
    "vega-lite": ("5.23.0", "vega-lite.min.js"),
    "vega-embed": ("6.29.0", "vega-embed.min.js"),
}
"""Versions of the line that DVC 3's specifications are written for, Vega-Lite 5, and the script of each."""
SHA512: Final = {
    "vega": "+GViBV02lldi4aBOR8OWMdGu5ApqARUG69Bkh0hNnEwGRqWbqBFV6UFMkOSw6bwVeLAUCfXDjvogYHc6vMTV9w==",
    "vega-lite": "dT3pPQcxzshiv0WnkUzBS6BMECn95uEVvIdofdO4jNg8rSlDqeuMyvEUvZ8Xbr8jQwIItKnzBi0F/B00burNcQ==",
    "vega-embed": "0RVfLKHWgepeHYozLLj5rxH2Kr18r+QQQY3XgGqJQjY+F52nsAWAe8drSYWksApUy6F5GizX7sXuZu8rxmzpbw==",
}
"""Of the scripts, base64."""
BUNDLED: Final = (
    "d3-", "delaunator", "fast-json-patch", "internmap", "json-stringify-pretty-compact", "robust-predicates", "semver",
    "topojson-client", "tslib", "vega",
)  # fmt: skip
"""How the names of the packages begin that the scripts hold."""
TEMPLATE: Final = Path(__file__).with_name("page.html")
PAGE: Final = Path(".dvc/plots/offline.html")
LICENCES: Final = Path(".dvc/plots/LICENCES.txt")
ACTING: Final = ("</script", "<!--", "{scripts}", "{plot_divs}", "{refresh_tag}")
"""What would end the script, or be filled by DVC."""


def install(folder: Path) -> None:
    """Bring the packages into a folder's node_modules; none of their programs runs."""
    wanted = [f"{name}@{version}" for name, (version, _) in PACKAGES.items()]
    options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(["npm", "install", *options, "--prefix", str(folder), *wanted], check=True)


def script(modules: Path, name: str) -> str:
    """Return a package's script.

    Raises:
        SystemExit: it is another one than was looked at.
    """
    version, file = PACKAGES[name]
    text = read_text(modules / name / "build" / file)
    found = base64.b64encode(hashlib.sha512(text.encode()).digest()).decode()
    if found != SHA512[name]:
        raise SystemExit(
            f"{name} {version}: {file} has sha512 {found}, not {SHA512[name]}. Look at it before taking it."
        )
    odd = [piece for piece in ACTING if piece in text]
    assert not odd, f"{name}: {', '.join(odd)} in the script"
    # What follows is a note for debuggers, whose file is not there.
    return text.partition("\n//# sourceMappingURL")[0].strip()


def page(modules: Path) -> str:
    """Return the page with DVC's placeholders left open."""
    scripts = [
        f"<script>/*! {name} {version}, BSD-3-Clause, see LICENCES.txt */\n{script(modules, name)}\n</script>"
        for name, (version, _) in PACKAGES.items()
    ]
    return read_text(TEMPLATE).replace("{vendored}", "\n".join(scripts))


def licences(modules: Path) -> str:
    """Return the licence of each package in the scripts, those of one text together."""
    texts: dict[str, list[str]] = {}
    for folder in sorted(
        path.parent for path in modules.glob("*/package.json") if path.parent.name.startswith(BUNDLED)
    ):
        file = next((path for path in sorted(folder.glob("LICEN*")) if path.is_file()), None)
        told = json.loads(read_text(folder / "package.json"))
        text = read_text(file).strip() if file else f"{told['license']}, no text in the package"
        texts.setdefault(text, []).append(f"{told['name']} {told['version']}")
    return "\n\n".join(f"{', '.join(names)}\n\n{text}\n\n{'-' * 72}" for text, names in texts.items()) + "\n"


def main() -> None:
    """Write page and licences."""
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        modules = Path(folder) / "node_modules"
        write_text(PAGE, page(modules))
        write_text(LICENCES, licences(modules))
    print(f"{PAGE}: {PAGE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
