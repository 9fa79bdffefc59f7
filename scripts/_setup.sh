# Sourced by scripts/demo and scripts/test: stands in the checkout with a working .venv.
# Defines `on_screen` (runs a command on the screen there is, or on a virtual one) and $VENV.

cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV="$PWD/.venv"
# What a caller exports for other projects must not reach this one.
unset PYTHONPATH PYTHONHOME

# Qt, OpenGL and a virtual screen. PyQt6 carries Qt, but not the libraries of X11 below it.
SYSTEM_PACKAGES=(
  xvfb xauth
  libgl1 libegl1 libopengl0 libgl1-mesa-dri libglx-mesa0
  libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1
  libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1
  libdbus-1-3 libfontconfig1 libglib2.0-0
)

stop() {
  echo "$*" >&2
  exit 1
}

# Sets $python to a Python that will do; PYTHON=... names one.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$(command -v "$candidate")
      "$python" -c 'import ensurepip, venv' 2>/dev/null || stop "Python's venv module is missing." \
        "Please install it (Debian, Ubuntu: sudo apt-get install python3-venv), then run this again."
      return 0
    fi
  done
  stop "Python 3.11 or newer is needed, and this machine has" \
    "$("${PYTHON:-python3}" --version 2>/dev/null || echo none). Please install it, then run this again."
}

# Names of $SYSTEM_PACKAGES that are neither installed nor provided by an installed package
# (newer releases rename some, such as libglib2.0-0t64, which provides libglib2.0-0).
missing_packages() {
  local installed name
  installed=" $(dpkg-query -W -f='${db:Status-Abbrev} ${Package}, ${Provides}\n' \
    | sed -n 's/^[a-z]i *//p' | sed 's/([^)]*)//g' | tr ',\n' '  ' | tr -s ' ') "
  for name in "${SYSTEM_PACKAGES[@]}"; do
    [[ $installed == *" $name "* ]] || printf '%s\n' "$name"
  done
}

install_system_packages() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    if [[ $(uname -s) == Linux ]] && ! command -v xvfb-run >/dev/null; then
      stop "This is not Debian or Ubuntu: please install Xvfb, OpenGL and the xcb libraries of" \
        "Qt 6 (on Debian: ${SYSTEM_PACKAGES[*]}) with your package manager, then run this again."
    fi
    return 0
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    stop "System packages are missing. Please run this line, then this script again:" \
      $'\n'"  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
  fi
  echo "Installing system packages: ${missing[*]}"
  quietly apt-get update
  DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "${missing[@]}"
}

# quietly COMMAND...: shows what it said only where it fails.
quietly() {
  local said
  said=$("$@" 2>&1 </dev/null) || stop "$said"$'\n'"This failed: $*"
}

# What the environment was made from: when it changes, the environment is brought up to date.
fingerprint() {
  { echo "$VENV"; "$python" --version; cat pyproject.toml constraints.txt scripts/_setup.sh; } | cksum
}

# An environment knows its own place: one that was copied or moved is made anew.
is_usable() {
  head -n 1 "$VENV/bin/pip" 2>/dev/null | grep -qF "#!$VENV/bin/python" \
    && "$VENV/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

pip_install() {
  "$VENV/bin/python" -m pip --disable-pip-version-check --no-input install --quiet \
    --constraint constraints.txt "$@" </dev/null
}

make_environment() {
  local now
  now=$(fingerprint)
  if is_usable; then
    [[ -f $VENV/made-from && $(<"$VENV/made-from") == "$now" ]] && return 0
    echo "Bringing .venv up to date"
  else
    echo "Making .venv (about 2 GB, a few minutes the first time)"
    "$python" -m venv --clear "$VENV"
  fi
  rm -f "$VENV/made-from"
  # The build back-end is installed here, pinned, so that nothing unpinned takes part.
  pip_install --upgrade "pip>=25"
  pip_install hatchling editables
  pip_install --no-build-isolation --editable ".[testing]"
  echo "$now" >"$VENV/made-from"
}

has_screen() {
  [[ -n ${DISPLAY:-} || -n ${WAYLAND_DISPLAY:-} || $(uname -s) == Darwin ]]
}

# on_screen COMMAND...: a virtual screen only where there is none.
on_screen() {
  if has_screen; then
    "$@"
  else
    xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
  fi
}

find_python
install_system_packages
make_environment
