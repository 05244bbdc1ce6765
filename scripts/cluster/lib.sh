# Sourced by the scripts beside it: processes that are started in a folder, waited for and stopped.
#
# $folder is where everything of a run is: data, settings, and a .pid and a .log for each process.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# What is downloaded once, for all runs.
packages=$(realpath -m "${CARGO_TARGET_DIR:-$here/../../target}")/cluster

now_ms() {
  date +%s%3N
}

# spawn <name> <command>...: in the background, in a session of its own, so that Ctrl-C reaches only who waits for it.
spawn() {
  local name=$1
  shift
  if is_running "$name"; then
    echo "$name runs already in $folder: stop it first" >&2
    return 1
  fi
  setsid "$@" >"$folder/$name.log" 2>&1 </dev/null &
  echo $! >"$folder/$name.pid"
}

# A zombie does not run.
is_alive() {
  kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

is_running() {
  [ -f "$folder/$1.pid" ] && is_alive "$(cat "$folder/$1.pid")"
}

# wait_for <name> <seconds> <command>...: until the command succeeds. Fails at once when the process has died.
wait_for() {
  local name=$1 end=$(($(now_ms) + $2 * 1000))
  shift 2
  until "$@" 2>/dev/null; do
    if ! is_running "$name"; then
      echo "$name has died. The end of $folder/$name.log:" >&2
      tail -n 20 "$folder/$name.log" >&2
      return 1
    fi
    if [ "$(now_ms)" -ge "$end" ]; then
      echo "$name is not ready in time; see $folder/$name.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

# is_open <address> <port>
is_open() {
  (exec 3<>"/dev/tcp/$1/$2")
}

# stop <name>: only the process whose number we wrote down. Gives it 15 seconds.
stop() {
  local pid
  [ -f "$folder/$1.pid" ] || return 0
  pid=$(cat "$folder/$1.pid")
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 150); do
    is_alive "$pid" || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$folder/$1.pid"
}

# stop_all <prefix>: side by side. Waits for these alone: who started them may still have others.
stop_all() {
  local file stopping=()
  for file in "$folder/$1"*.pid; do
    [ -f "$file" ] || continue
    stop "$(basename "$file" .pid)" &
    stopping+=($!)
  done
  [ ${#stopping[@]} -eq 0 ] || wait "${stopping[@]}"
}

# fetch <package>: the jars of packages/<package>.xml, once.
fetch() {
  local into=$packages/$1 wanted=$here/packages/$1.xml
  cmp --silent "$wanted" "$into/fetched.xml" && return
  echo "Fetching $1 into $into (a minute, once)" >&2
  rm -rf "$into"
  mkdir -p "$into"
  mvn -B -q -f "$wanted" dependency:copy-dependencies -DoutputDirectory="$into/lib" -DincludeScope=runtime >&2
  cp "$wanted" "$into/fetched.xml"
}

usage() {
  awk 'NR > 1 && !/^#/ { exit } NR > 1 && !/shellcheck/ { sub(/^# ?/, ""); print }' "$0" >&2
  exit 2
}
