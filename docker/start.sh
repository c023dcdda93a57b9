#!/bin/sh
# Start one of the processes: start.sh web|gateway|worker|beat|migrate|health
set -eu

app=$(cd "$(dirname "$0")/.." && pwd)
root=$(dirname "$app")
cd "$app"
PATH="$root/venv/bin:$PATH"
export PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DJANGO_SETTINGS_MODULE=marketplace.settings
export STATIC_ROOT="${STATIC_ROOT:-$root/static}"

need() {
    eval "value=\${$1:-}"
    if [ -z "$value" ]; then
        echo "Tank cannot start $process: set $1." >&2
        exit 1
    fi
}

process=${1:-web}
case $process in
web | gateway | worker | beat | migrate)
    need DATABASE_URL
    need SECRET_KEY
    need TANK_ENCRYPTION_KEY
    ;;
esac

case $process in
web)
    exec python -m marketplace.runtime.serving marketplace.asgi:application --host 0.0.0.0 --port "${PORT:-8000}"
    ;;
gateway)
    exec python manage.py gateway --host 0.0.0.0 --port "${PORT:-8000}" --processes "${GATEWAY_PROCESSES:-1}"
    ;;
worker)
    need CELERY_BROKER_URL
    exec celery -A marketplace.celery worker --concurrency "${WORKER_CONCURRENCY:-2}" --loglevel INFO
    ;;
beat)
    need CELERY_BROKER_URL
    exec celery -A marketplace.celery beat --pidfile= --loglevel INFO
    ;;
migrate)
    need DATABASE_OWNER_URL
    exec python manage.py migrate --no-input
    ;;
health)
    exec python -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' \
        "http://127.0.0.1:${PORT:-8000}/readyz"
    ;;
*)
    # Anything else is a management command: fund, grant, verify ...
    exec python manage.py "$@"
    ;;
esac
